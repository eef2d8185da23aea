def flow_velocity(network, z, f):
    length = ((1 - f) ** 2 + f**2) ** 0.5
    a, sigma = (1 - f) / length, f / length
    x = z / length
    v = network(x, a, sigma)
    return (sigma - a) * x + (a + sigma) * v
