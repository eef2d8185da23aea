"""A frozen CNN as an extractor of features: what its layers say of pictures that it never saw.

The pictures are OpenMoji's: drawings, while the network learned on photographs. Each subject counts once, whatever its
genders and skin tones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.gradcam import layer_of
from llm_tutorial.data.openmoji import Layer, Picture, drawings, openmoji
from llm_tutorial.data.splits import check_split, split_of

LAYERS = ("stem", *(f"blocks.{index}" for index in range(16)), "head")
STRENGTHS = tuple(10.0**power for power in range(-5, 3))
"""Values of scikit-learn's C: what the data weigh against the norm."""


def subjects(split: str) -> list[Picture]:
    """One picture of each subject, the first in Unicode's order.

    Test subjects are those that `llm_tutorial.data.openmoji` keeps for validation or test, so none looks like one of the
    others; about a fifth of its training subjects is for validation here.

    Args:
        split: ``train``, ``validation`` or ``test``.

    Raises:
        ValueError: An unknown split.

    Example:
        >>> [len(subjects(split)) for split in ("train", "validation", "test")]
        [1051, 255, 347]
    """
    check_split(split)
    names = ("validation", "test") if split == "test" else ("train",)
    first: dict[str, Picture] = {}
    for picture in (each for name in names for each in openmoji(name)):
        first.setdefault(picture.base, picture)
    pictures = list(first.values())
    if split == "test":
        return pictures
    held_out = [split_of(f"features {picture.drawing}") != "train" for picture in pictures]
    return [each for each, held in zip(pictures, held_out, strict=True) if held == (split == "validation")]


def group_labels(pictures: Sequence[Picture]) -> tuple[list[str], Tensor]:
    """The nine groups of OpenMoji in alphabetical order, and the number of each picture's.

    Example:
        >>> names, labels = group_labels(subjects("test"))
        >>> len(names), names[labels[0]]
        (9, 'Smileys & Emotion')
    """
    names = sorted({picture.group for picture in openmoji()})
    return names, torch.tensor([names.index(picture.group) for picture in pictures])


def inputs(
    pictures: Sequence[Picture],
    side: int = 96,
    layer: Layer = "color",
    background: tuple[int, int, int] = (255, 255, 255),
) -> Tensor:
    """Pictures as EfficientNet-Lite0 takes them: drawn at 64 pixels, enlarged, `(x - 127) / 128`.

    Args:
        pictures: Of OpenMoji.
        side: Height and width.
        layer: ``color``, or ``line`` for the lines alone.
        background: Red, green and blue from 0 to 255.

    Returns:
        (pictures, 3, side, side).

    Example:
        >>> inputs(subjects("test")[:2], 96).shape
        torch.Size([2, 3, 96, 96])
    """
    pixels = torch.from_numpy(drawings(pictures, 64, layer, background).copy()).permute(0, 3, 1, 2).float()
    if side != 64:
        pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    return (pixels - 127) / 128


@torch.no_grad()
def pooled_features(model: nn.Module, images: Tensor, layers: Sequence[str], batch: int = 64) -> dict[str, Tensor]:
    """The mean of each map of some layers, for a network that stays as it is.

    Args:
        model: Takes the pictures; it is in evaluation mode meanwhile.
        images: (pictures, channels, height, width).
        layers: Their names; each gives (pictures, maps, rows, columns), or (pictures, features), which stay.
        batch: Pictures at once; it changes memory and time, not the result.

    Returns:
        (pictures, maps) by the layer's name.

    Raises:
        ValueError: The model has no such layer, a layer gives something else, such as tokens, or there are no pictures.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        >>> pooled_features(model, torch.rand(2, 1, 8, 8), ["1"])["1"].shape
        torch.Size([2, 4])
    """
    if not len(images):
        raise ValueError("no pictures\n没有图片")
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        return layer_of(model, name).register_forward_hook(
            lambda layer, given, output: found[name].append(_mean_over_places(output, name))
        )

    training, handles = model.training, []
    try:
        for name in layers:
            handles.append(keep(name))
        model.eval()
        for part in images.split(batch):
            model(part.contiguous(memory_format=torch.channels_last))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def _mean_over_places(output: Tensor, name: str) -> Tensor:
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if not isinstance(output, Tensor) or output.dim() not in (2, 4):
        raise ValueError(
            f"layer {name!r} gives {shape}: expected (pictures, maps, rows, columns); of tokens take the mean yourself, "
            f"over dimension 1\n第 {name!r} 层给出 {shape}：应当是（图片，特征图，行，列）；若是词元，请自己对第 1 维取平均"
        )
    return output.mean((2, 3)) if output.dim() == 4 else output


def colour_histogram(pixels: ArrayLike, levels: int = 4) -> Tensor:
    """The root of the share of pixels in each box of colours: a baseline that knows no shape.

    Args:
        pixels: Red, green and blue from 0 to 255, (pictures, height, width, 3).
        levels: Boxes for each of the three colours.

    Returns:
        (pictures, levels³), each of length 1.

    Example:
        >>> colour_histogram(np.zeros((2, 8, 8, 3), np.uint8))[:, :2].tolist()
        [[1.0, 0.0], [1.0, 0.0]]
    """
    boxes = np.asarray(pixels).astype(int) * levels // 256
    numbers = (boxes[..., 0] * levels + boxes[..., 1]) * levels + boxes[..., 2]
    counts = [np.bincount(each.ravel(), minlength=levels**3) / each.size for each in numbers]
    return torch.tensor(np.sqrt(counts), dtype=torch.float32)


def small_pixels(pixels: ArrayLike, side: int = 16) -> Tensor:
    """Pictures made small, as plain numbers from 0 to 1: a baseline that knows no invariance.

    Args:
        pixels: Red, green and blue from 0 to 255, (pictures, height, width, 3).
        side: Height and width.

    Returns:
        (pictures, 3 side²).

    Example:
        >>> small_pixels(np.zeros((2, 64, 64, 3), np.uint8)).shape
        torch.Size([2, 768])
    """
    images = torch.from_numpy(np.asarray(pixels).copy()).permute(0, 3, 1, 2).float() / 255
    return F.adaptive_avg_pool2d(images, side).flatten(1)


class Probe(NamedTuple):
    """A linear classifier on standardised features.

    Attributes:
        mean: Of each feature in training, (features,).
        scale: Its standard deviation, (features,).
        weight: (classes, features).
        bias: (classes,).
        strength: C, as chosen.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    strength: float

    def scores(self, features: Tensor) -> Tensor:
        """(pictures, features) -> (pictures, classes)."""
        return (features - self.mean) / self.scale @ self.weight.T + self.bias

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share that is right."""
        return float((self.scores(features).argmax(-1) == labels).double().mean())


def fit_probe(
    features: Tensor,
    labels: Tensor,
    validation: tuple[Tensor, Tensor] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    scaled_by: Tensor | None = None,
) -> Probe:
    """Logistic regression with an L2 norm; of several strengths the one that is right most often on validation.

    With fewer examples than features it is solved in the space that the examples span, where the solution lies.

    Args:
        features: (examples, features).
        labels: (examples,), every class from 0 on among them.
        validation: Features and labels to choose by; of equals the smallest strength.
        strengths: Values of C; a large one regularises little. A single one needs no validation.
        scaled_by: Features of pictures, with labels or without, that mean and standard deviation are taken of; by
            default those of the examples.

    Raises:
        ValueError: Several strengths and nothing to choose by, or a class without an example.

    Example:
        >>> probe = fit_probe(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([0, 0, 1, 1]), strengths=[1.0])
        >>> probe.accuracy(torch.tensor([[0.5], [2.5]]), torch.tensor([0, 1]))
        1.0
    """
    if validation is None and len(strengths) > 1:
        raise ValueError("several strengths and no validation set\n给了几个强度，却没有验证集")
    if len(missing := set(range(int(labels.max()) + 1)) - set(labels.tolist())) or int(labels.max()) == 0:
        raise ValueError(f"no example of class {sorted(missing) or 1}\n类别 {sorted(missing) or 1} 没有样例")
    everything = features if scaled_by is None else scaled_by
    mean, scale = everything.mean(0), everything.std(0).clamp_min(1e-6)
    standard = ((features - mean) / scale).double()
    rotation = torch.linalg.svd(standard, full_matrices=False).Vh if len(standard) < standard.shape[1] else None
    known = standard if rotation is None else standard @ rotation.T
    model = LogisticRegression(max_iter=1000, warm_start=True)
    found: list[tuple[float, Probe]] = []
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(known.numpy(), labels.numpy())
        weight = torch.from_numpy(np.array(model.coef_))
        weight = weight if rotation is None else weight @ rotation
        bias = torch.from_numpy(np.array(model.intercept_))
        if len(weight) == 1:  # two classes have one score
            weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
        probe = Probe(mean, scale, weight.float(), bias.float(), strength)
        found.append((probe.accuracy(*validation) if validation else 0.0, probe))
    return max(found, key=lambda each: each[0])[1]


def shots(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of examples drawn at random, equally many of each class.

    Args:
        labels: (examples,).
        count: Of each class; all of a class that has fewer.
        seed: Of the draw. With the same seed a smaller draw is part of a larger one.

    Example:
        >>> sorted(shots(torch.tensor([0, 0, 1, 1, 1]), 2, seed=0).tolist())[:2]
        [0, 1]
    """
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.int64]] = []
    for label in range(int(labels.max()) + 1):
        (mine,) = np.nonzero(labels.numpy() == label)
        chosen.append(rng.permutation(mine)[:count])
    return torch.from_numpy(np.concatenate(chosen))


def recall_at(queries: Tensor, gallery: Tensor, right: Tensor, counts: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """The share of queries with something right among their k nearest, by the cosine; nothing is trained.

    Args:
        queries: (queries, features).
        gallery: (gallery, features).
        right: Whether an item of the gallery answers a query, (queries, gallery).
        counts: Values of k.

    Raises:
        ValueError: Shapes that do not fit, or a query without an answer.

    Example:
        >>> recall_at(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, -0.5]]), torch.eye(2).bool(), counts=[1, 2])
        {1: 0.5, 2: 1.0}
    """
    if right.shape != (len(queries), len(gallery)):
        raise ValueError(
            f"{len(queries)} queries, {len(gallery)} items, right of shape {tuple(right.shape)}\n"
            f"查询 {len(queries)} 个，库中 {len(gallery)} 项，right 的形状却是 {tuple(right.shape)}"
        )
    if not bool(right.any(1).all()):
        raise ValueError("a query has no answer in the gallery\n有的查询在库里没有答案")
    order = (F.normalize(queries, dim=-1) @ F.normalize(gallery, dim=-1).T).argsort(descending=True, stable=True)
    hits = right.gather(1, order)
    return {count: float(hits[:, :count].any(1).double().mean()) for count in counts}
