def heun_step(y, kappa, then, direction):
    first = direction(y, kappa)
    tried = y + (then - kappa) * first
    second = direction(tried, then)
    return y + (then - kappa) * (first + second) / 2
