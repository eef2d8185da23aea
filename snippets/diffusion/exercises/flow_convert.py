"""A network was trained on a schedule and predicts v = a noise - sigma x0. It takes
the noisy sample x = a x0 + sigma noise and the two levels. Return what a flow sampler
wants at the share of noise f: noise - x0, for z = (1 - f) x0 + f noise.

一个网络在某个调度上训练，预测 v = a noise - sigma x0；它的输入是带噪样本
x = a x0 + sigma noise 和两个水平。流的采样器在噪声份额 f 处要的是 noise - x0，
给它的是 z = (1 - f) x0 + f noise。请写出这个换算。
"""


def flow_velocity(network, z, f):
    # network(x, a, sigma): predicts v; f: a number from 0 to 1
    # TODO: the levels a and sigma at f, with a² + sigma² = 1; x; then noise - x0 from v
    return network(z, 1 - f, f)
