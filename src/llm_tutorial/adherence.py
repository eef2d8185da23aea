"""Does a drawing show what was asked for? Colours, counted pixel by pixel, and the nearest training picture.

The colours need no trained model: OpenMoji draws each skin tone and each coloured shape in one colour. What is shown,
beyond colours, ``llm_tutorial.text_image`` tells.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from llm_tutorial.colour import to_lab
from llm_tutorial.data.openmoji import Picture
from llm_tutorial.pictures import picture_tensor, scaled

SKIN = {  # sRGB of OpenMoji's skin
    "light": (250, 220, 188), "medium-light": (222, 187, 144), "medium": (193, 154, 101), "medium-dark": (165, 121, 57),
    "dark": (106, 70, 47),
}  # fmt: skip
NEAR, LEAST = 6.0, 6  # ΔE76 within which a pixel has a tone; pixels that make it the skin's, not those of an edge


def skin_tones(images: Tensor) -> list[str]:
    """The lightest skin tone that at least six pixels have: hair is drawn in the tones of darker skin.

    Where no tone has as many, the one with most pixels, or with the nearest one.

    Args:
        images: (pictures, 3, height, width), from -1 to 1.

    Example:
        >>> skin_tones(scaled(torch.tensor(SKIN["dark"], dtype=torch.uint8)).reshape(1, 3, 1, 1).expand(1, 3, 8, 8))
        ['dark']
    """
    palette = to_lab(scaled(torch.tensor(list(SKIN.values())))[:, :, None, None])[:, :, 0, 0]  # (tone, 3)
    pixels = to_lab(images).flatten(2).transpose(1, 2)  # (picture, pixel, 3)
    distances = torch.cdist(pixels, palette.expand(len(images), -1, -1))  # (picture, pixel, tone)
    near = (distances < NEAR) & (distances == distances.amin(-1, keepdim=True))
    votes = near.sum(1) - distances.amin(1) / 1e6  # (picture, tone); decides where nothing is near
    enough = votes > LEAST - 0.5
    chosen = torch.where(enough.any(1), enough.int().argmax(1), votes.argmax(1))
    return [list(SKIN)[index] for index in chosen.tolist()]


def fill_colours(images: Tensor) -> Tensor:
    """The colour of the middle of each picture in L*a*b*, (pictures, 3): the median over a square of a quarter the side.

    Args:
        images: (pictures, 3, side, side), from -1 to 1.

    Example:
        >>> fill_colours(torch.ones(1, 3, 32, 32)).round().tolist()
        [[100.0, 0.0, 0.0]]
    """
    side = images.shape[-1]
    start, stop = 3 * side // 8, 5 * side // 8
    return to_lab(images[..., start:stop, start:stop]).flatten(2).median(-1).values


def nearest_colours(images: Tensor, references: Tensor) -> Tensor:
    """Which of some pictures each picture is nearest to in the colour of its middle: (pictures,).

    Args:
        images: (pictures, 3, side, side), from -1 to 1.
        references: (references, 3, side, side).
    """
    return torch.cdist(fill_colours(images), fill_colours(references)).argmin(1)


def nearest_pictures(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of some pictures, by the root mean square ΔE76 of all pixels.

    Args:
        images: (pictures, 3, height, width), from -1 to 1.
        references: (references, 3, height, width).

    Returns:
        Its distance and its number, (pictures,) each.

    Example:
        >>> distance, number = nearest_pictures(torch.ones(1, 3, 8, 8), torch.stack([-torch.ones(3, 8, 8), torch.ones(3, 8, 8)]))
        >>> distance.tolist(), number.tolist()
        ([0.0], [1])
    """
    first, second = to_lab(images).flatten(1), to_lab(references).flatten(1)
    distances = torch.cdist(first, second) / (first.shape[1] / 3) ** 0.5
    found = distances.min(1)
    return found.values, found.indices


class Names:
    """Finds the picture with the most similar English name: the look-up that a model has to beat.

    Similar are names that have rare words in common: each word weighs the logarithm of how many names there are for one
    with it, and the weight in common is divided by that of the words in either.

    Args:
        pictures: To choose from.

    Example:
        >>> from llm_tutorial.data.openmoji import openmoji
        >>> train = openmoji("train", "combination")
        >>> [cook] = [picture for picture in openmoji() if picture.english == "woman cook: dark skin tone"]
        >>> train[Names(train).nearest(cook)].english
        'cook: dark skin tone'
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures, self._words = pictures, [_words(picture.english) for picture in pictures]
        counts = Counter(word for words in self._words for word in words)
        self._weights = {word: math.log((len(pictures) + 1) / count) for word, count in counts.items()}

    def nearest(self, picture: Picture) -> int:
        """Which of the pictures, but not the picture itself; of equals the first."""
        words = _words(picture.english)
        scores = [
            -1.0 if other.code == picture.code else self._weight(words & known) / self._weight(words | known)
            for other, known in zip(self.pictures, self._words, strict=True)
        ]
        return max(range(len(scores)), key=scores.__getitem__)

    def _weight(self, words: frozenset[str]) -> float:
        return sum(self._weights.get(word, math.log(len(self.pictures) + 1)) for word in words)


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w-]+", name.lower()))


def real_pictures(pictures: Sequence[Picture]) -> Tensor:
    """Pictures of OpenMoji as they are, (pictures, 3, 32, 32) from -1 to 1."""
    return scaled(picture_tensor(pictures))
