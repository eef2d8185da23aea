from torch import nn


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),  # 14 × 14, sees 5
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),  # 7 × 7, sees 9
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),  # sees 17
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(),  # sees 25
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
