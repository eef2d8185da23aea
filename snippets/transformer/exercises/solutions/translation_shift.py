"""Labels are the target; the decoder reads it one place later."""

from torch import Tensor


def teacher_forcing(target: Tensor, start: int, padding: int) -> tuple[Tensor, Tensor]:
    read = target.roll(1, dims=1)
    read[:, 0] = start
    labels = target.masked_fill(target == padding, -100)
    return read, labels
