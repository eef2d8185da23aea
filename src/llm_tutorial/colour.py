"""Colour as the eye orders it: CIE L*a*b* (D65), the difference of two colours in it, and groups of hues.

Distances in RGB say little of how different two colours look. In L*a*b* the Euclidean distance, called ΔE76, is about
what is seen: 2 is just visible side by side, and 50 is another colour.
"""

import torch
from torch import Tensor

SATURATED = 40.0  # chroma from which on a colour has a hue that is plainly seen
HUES = {  # angle in the plane of a* and b*, in degrees
    "red": (10, 48), "orange": (48, 78), "yellow": (78, 110), "green": (110, 190), "blue": (190, 310),
    "pink": (310, 370),
}  # fmt: skip
_TO_XYZ = torch.tensor(  # of linear sRGB, each row divided by the white of D65
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)


def to_lab(images: Tensor) -> Tensor:
    """Pictures in L*a*b*; differentiable, also in black.

    Args:
        images: sRGB, (batch, 3, height, width), from -1 to 1; what lies beyond is cut.

    Returns:
        Of the same shape: lightness from 0 to 100, then a* (green to red) and b* (blue to yellow).

    Example:
        >>> red = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1)
        >>> [round(value) for value in to_lab(red).flatten().tolist()]
        [53, 80, 67]
    """
    values = ((images + 1) / 2).clamp(0, 1)
    linear = torch.where(values > 0.04045, ((values.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, values / 12.92)
    relative = torch.einsum("ij,bjhw->bihw", _TO_XYZ.to(images), linear)
    knee = 6 / 29
    roots = torch.where(
        relative > knee**3, relative.clamp(min=knee**3 / 2) ** (1 / 3), relative / (3 * knee**2) + 4 / 29
    )
    x, y, z = roots.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def colour_difference(first: Tensor, second: Tensor) -> Tensor:
    """ΔE76 of each pixel.

    Args:
        first: (batch, 3, height, width), from -1 to 1.
        second: Of the same shape.

    Returns:
        (batch, height, width).

    Example:
        >>> white, black = torch.ones(1, 3, 1, 1), -torch.ones(1, 3, 1, 1)
        >>> round(colour_difference(white, black).item())
        100
    """
    return (to_lab(first) - to_lab(second)).square().sum(1).sqrt()


def chroma_and_hue(images: Tensor) -> tuple[Tensor, Tensor]:
    """How strong the colour of each pixel is, and its angle from 0 to 360 degrees.

    Args:
        images: (batch, 3, height, width), from -1 to 1.

    Returns:
        Chroma and hue, (batch, height, width) each.

    Example:
        >>> chroma, hue = chroma_and_hue(torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1))
        >>> round(chroma.item()), round(hue.item())
        (105, 40)
    """
    _, a, b = to_lab(images).unbind(1)
    return torch.hypot(a, b), torch.rad2deg(torch.atan2(b, a)) % 360


def difference_by_hue(made: Tensor, real: Tensor) -> dict[str, float]:
    """Mean ΔE76 over all pixels, and over those that are of each hue and saturated in the real pictures.

    Args:
        made: (batch, 3, height, width), from -1 to 1.
        real: Of the same shape.

    Returns:
        ``all``, and each of ``HUES`` that some pixel has.

    Example:
        >>> red, brown = (torch.tensor(rgb).reshape(1, 3, 1, 1) for rgb in ([0.6, -0.6, -0.7], [0.0, -0.3, -0.6]))
        >>> {hue: round(value) for hue, value in difference_by_hue(brown, red).items()}
        {'all': 50, 'red': 50}
    """
    difference = colour_difference(made, real)
    chroma, hue = chroma_and_hue(real)
    found = {"all": difference.mean().item()}
    for name, (first, last) in HUES.items():
        here = (chroma > SATURATED) & ((hue - first) % 360 < last - first)
        if here.any():
            found[name] = difference[here].mean().item()
    return found
