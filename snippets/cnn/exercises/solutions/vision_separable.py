from torch import nn


def separable(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
    )


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first = separable(channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.second = separable(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.norm1(self.first(x)).relu()
        return (x + self.norm2(self.second(y))).relu()
