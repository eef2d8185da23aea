"""Real photographs in colour, by name: two of scikit-learn's, five of scikit-image's."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from llm_tutorial.fetch import Source, fetch

PHOTOGRAPHS = Source(
    package="scikit-image",
    version="0.26.0",
    files={
        "skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "skimage/data/chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "skimage/data/coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "skimage/data/motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "skimage/data/rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    },
    licence="public domain and CC0; motorcycle: Middlebury 2014 stereo benchmark",
    credit="astronaut: NASA; cat: Stéfan van der Walt; coffee: Rachel Michetti; rocket: SpaceX; motorcycle: Scharstein et al.",
    size=13_711_217,
)
FILES = {
    "cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg", "astronaut": "astronaut.png",
    "motorcycle": "motorcycle_left.png",
}  # fmt: skip
INSTALLED = {"temple": "china.jpg", "flower": "flower.jpg"}
NAMES = (*INSTALLED, *FILES)
"""The names of all photographs."""


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph in colour.

    Args:
        name: One of `NAMES`.

    Returns:
        Red, green and blue from 0 to 255, (height, width, 3).

    Raises:
        ValueError: There is none of this name; the message has all names.
        FetchError: The file can be neither found in the cache nor downloaded.

    Example:
        >>> photograph("cat").shape, photograph("temple").shape
        ((300, 451, 3), (427, 640, 3))
    """
    if name not in NAMES:
        raise ValueError(
            f"no photograph {name!r}; there are {', '.join(NAMES)}\n没有照片 {name!r}；有的是 {'、'.join(NAMES)}"
        )
    return _read(name).copy()


@cache
def _read(name: str) -> NDArray[np.uint8]:
    if name in INSTALLED:
        return np.asarray(load_sample_image(INSTALLED[name]))
    with Image.open(fetch(PHOTOGRAPHS) / FILES[name]) as image:
        return np.asarray(image.convert("RGB"))
