def midpoint_step(z, now, then, velocity):
    middle = (now + then) / 2
    tried = z + (middle - now) * velocity(z, now)
    return z + (then - now) * velocity(tried, middle)
