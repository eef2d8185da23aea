"""How many zeros at either end make the output ceil(n / stride) long, as TensorFlow's
"same" does? Return (left, right); right may be one more than left.

两端各补多少个零，输出长度才是 ceil(n / stride)（即 TensorFlow 的 "same"）？
返回 (左, 右)；右边可以比左边多一个。
"""


def same_padding(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    # TODO: this is right for stride 1 and odd kernels without dilation only
    half = kernel // 2
    return half, half
