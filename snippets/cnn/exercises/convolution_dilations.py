"""A stack of convolutions with kernel 3, stride 1. Give the shortest list of dilations
with which the last layer sees at least `places` places, none left out in between.

一叠卷积，核都是 3，步幅都是 1。给出最短的一串扩张率，使最后一层至少看到 places 格，
而且中间一格不漏。
"""


def dilations(places: int) -> list[int]:
    # TODO: this reaches far enough, and leaves out most of what lies between
    return [places // 2] if places > 1 else []
