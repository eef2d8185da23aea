"""Euler's step follows the velocity at its start. The midpoint method goes half a step
to try, looks at the velocity there, and then does the whole step, from the start, with
that one: two calls of the network, second order. Write it.

欧拉法的一步沿着起点的速度走。中点法先试走半步，看看那里的速度，
再从起点用它走完整步：调用网络两次，达到二阶。请写出这一步。
"""


def midpoint_step(z, now, then, velocity):
    # velocity(z, f): at the share of noise f; now and then: before and after the step
    # TODO: half a step, then the whole step with the velocity found there
    return z + (then - now) * velocity(z, now)
