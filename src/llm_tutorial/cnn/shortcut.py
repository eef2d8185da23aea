"""A planted shortcut: one pixel that gives the class away."""

from torch import Tensor

PLACE = (2, 2)
"""Row and column of the marked pixel."""


def marked(images: Tensor) -> Tensor:
    """Pictures with one pixel at `PLACE` set to 1, the colour of ink.

    Args:
        images: (batch, 1, height, width).

    Raises:
        ValueError: Pictures too small to hold the pixel; the message gives their size.

    Example:
        >>> import torch
        >>> marked(torch.zeros(1, 1, 28, 28)).nonzero().tolist()
        [[0, 0, 2, 2]]
    """
    row, column = PLACE
    if images.shape[-2] <= row or images.shape[-1] <= column:
        raise ValueError(
            f"pictures of {tuple(images.shape[-2:])} have no pixel {PLACE}\n"
            f"大小为 {tuple(images.shape[-2:])} 的图片没有像素 {PLACE}"
        )
    images = images.clone()
    images[..., row, column] = 1
    return images
