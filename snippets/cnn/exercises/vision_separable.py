"""Make a residual block cheap: replace each 3 × 3 convolution by a depthwise one and a
1 × 1, in the order depthwise, 1 × 1. Outputs keep their shape; the shortcut stays.

把残差块变便宜：每个 3 × 3 卷积换成一个逐通道卷积加一个 1 × 1 卷积，先逐通道，后 1 × 1。
输出的形状不变，捷径保留。
"""

from torch import nn


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        # TODO: these are full convolutions
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.norm1(self.first(x)).relu()
        return (x + self.norm2(self.second(y))).relu()
