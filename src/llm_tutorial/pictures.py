"""Which OpenMoji pictures a training sees, and how often.

Two in three pictures show people, most of them in a skin tone; red hearts and police cars are single pictures. Drawn
one like another, a model would see hardly anything but people, and drawn by group alone hardly a skin tone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm_tutorial.data.openmoji import Picture, drawings

PEOPLE = "People & Body"


def stratum(picture: Picture) -> str:
    """The group of a picture; people by their skin tone, so that each has its share.

    Example:
        >>> from llm_tutorial.data.openmoji import openmoji
        >>> sorted({stratum(picture) for picture in openmoji() if picture.group == PEOPLE})
        ['dark', 'light', 'medium', 'medium-dark', 'medium-light', 'two tones', 'yellow']
    """
    if picture.group != PEOPLE:
        return picture.group
    return "two tones" if len(picture.tones) > 1 else picture.tones[0] if picture.tones else "yellow"


class Shares:
    """Batches of which each stratum has its share: within it every subject, then every picture of a subject.

    A batch depends on seed and step alone, so that a run that was stopped goes on with the same pictures.

    Args:
        pictures: To choose from.
        shares: Weight of each stratum; without it they are all equal.
        seed: Of the draw.

    Raises:
        ValueError: No pictures, or a stratum without a weight.

    Example:
        >>> from llm_tutorial.data.openmoji import openmoji
        >>> pictures = openmoji("train", "combination")
        >>> batch = Shares(pictures).batch(step=0, size=1500)
        >>> print(f"{np.mean([pictures[index].tones == ('dark',) for index in batch]):.1f}")
        0.1
    """

    def __init__(self, pictures: Sequence[Picture], shares: Mapping[str, float] | None = None, seed: int = 0) -> None:
        strata = defaultdict[str, dict[str, list[int]]](dict)
        for index, picture in enumerate(pictures):
            strata[stratum(picture)].setdefault(picture.base, []).append(index)
        missing = sorted(set(strata) - set(shares if shares is not None else strata))
        if not pictures or missing:
            raise ValueError(f"no pictures, or no share of {missing}\n没有图片，或没有给出 {missing} 的份额")
        weights = np.array([1.0 if shares is None else shares[name] for name in strata])
        self.seed, self._weights = seed, weights / weights.sum()
        self._strata = [list(subjects.values()) for subjects in strata.values()]

    def batch(self, step: int, size: int = 64) -> NDArray[np.int64]:
        """Indices of the pictures of a batch."""
        rng = np.random.default_rng([self.seed, step])
        indices = []
        for number in rng.choice(len(self._strata), size, p=self._weights):
            subjects = self._strata[number]
            subject = subjects[rng.integers(len(subjects))]
            indices.append(subject[rng.integers(len(subject))])
        return np.array(indices)


def by_subject(pictures: Sequence[Picture], people: float = 0.3) -> dict[str, float]:
    """Shares by the number of subjects, and together ``people`` for the strata of people, equal among these.

    Args:
        pictures: To choose from.
        people: From 0 to 1.

    Example:
        >>> from llm_tutorial.data.openmoji import openmoji
        >>> shares = by_subject(openmoji("train", "combination"))
        >>> f"{shares['dark']:.3f} {shares['Flags']:.3f} {sum(shares.values()):.3f}"
        '0.043 0.127 1.000'
    """
    subjects = defaultdict[str, set[str]](set)
    for picture in pictures:
        subjects[stratum(picture)].add(picture.base)
    of_people = {stratum(picture) for picture in pictures if picture.group == PEOPLE}
    others = sum(len(bases) for name, bases in subjects.items() if name not in of_people)
    return {
        name: people / len(of_people) if name in of_people else (1 - people) * len(bases) / others
        for name, bases in subjects.items()
    }


def picture_tensor(pictures: Sequence[Picture], size: int = 32) -> Tensor:
    """Pictures on white as bytes, (pictures, 3, size, size)."""
    return torch.from_numpy(drawings(pictures, size).copy()).permute(0, 3, 1, 2).contiguous()


def scaled(images: Tensor) -> Tensor:
    """Bytes from 0 to 255 as numbers from -1 to 1.

    Example:
        >>> scaled(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1.,  1.])
    """
    return images.float() / 127.5 - 1
