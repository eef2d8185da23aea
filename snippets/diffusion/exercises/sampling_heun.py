"""Euler's step follows the direction at its start. Heun's step tries that first, looks
at the direction where it has arrived, and then goes from the start along the mean of
both: two calls of the network, second order. Write it for the ODE
dy/dkappa = direction(y, kappa).

欧拉法的一步沿着起点的方向走。休恩（Heun）法先这样试走一步，看看到达处的方向，
再从起点沿两个方向的平均走：调用网络两次，达到二阶。
请为 dy/dkappa = direction(y, kappa) 写出这一步。
"""


def heun_step(y, kappa, then, direction):
    # direction(y, kappa): the noise that the network sees; then: the next kappa
    # TODO: the direction at the end of Euler's step, and the mean of both
    return y + (then - kappa) * direction(y, kappa)
