import math


def share(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
