"""Captioned shapes, drawn by code, and a checker that sees whether a picture obeys its caption.

A scene is one or two things on white: colour, shape and size each, and where the one is, or how the two stand. Draws
are without end and never the same, and what was asked for can be checked without a judge: `describe` finds what is in
a picture by drawing every shape again where something stands and taking the one that fits best. It was made for the
pictures that a model draws: a blot that is no shape is called `unclear`.

Eight of the 48 pairs of colour and shape are held out: `combinations` shows them alone, and `train` never, though it
shows each of their colours and shapes.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Language = Literal["en", "zh"]
Images = NDArray[np.uint8]
Floats = NDArray[np.float64]

COLOURS = {
    "red": (220, 40, 40), "orange": (250, 140, 20), "yellow": (245, 215, 40), "green": (40, 160, 60),
    "blue": (40, 90, 220), "purple": (130, 50, 180), "pink": (250, 140, 190), "black": (25, 25, 25),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES = {"small": (0.12, 0.14), "large": (0.185, 0.205)}  # radius of the circle around it, as a share of the side
PLACES = {
    "top left": (0, 0), "top": (1, 0), "top right": (2, 0), "left": (0, 1), "centre": (1, 1), "right": (2, 1),
    "bottom left": (0, 2), "bottom": (1, 2), "bottom right": (2, 2),
}  # fmt: skip
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
SPLITS = ("train", "validation", "combinations")
WORDINGS = 3
THRESHOLD = 50  # darkness of a pixel, in one channel, from which on it belongs to a thing
SMALLEST = 0.005  # of the surface: less is noise
CLEAR = 0.72  # fit below which a shape is unclear

_CHINESE = {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色",
    "pink": "粉色", "black": "黑色", "circle": "圆形", "square": "正方形", "triangle": "三角形", "star": "五角星",
    "cross": "十字", "ring": "圆环", "small": "小", "large": "大", "top left": "左上角", "top": "上方",
    "top right": "右上角", "left": "左侧", "centre": "正中", "right": "右侧", "bottom left": "左下角",
    "bottom": "下方", "bottom right": "右下角", "left of": "左边", "right of": "右边", "above": "上面",
    "below": "下面",
}  # fmt: skip


class Thing(NamedTuple):
    """One thing; what is None is left open."""

    colour: str | None
    shape: str | None
    size: str | None = None
    place: str | None = None


class Scene(NamedTuple):
    """One thing, or two and where the first stands as seen from the second."""

    things: tuple[Thing, ...]
    relation: str | None = None


class Seen(NamedTuple):
    """What `describe` found: a thing, its centre (right, down) and radius as shares of the side, and how well it fits.

    `fit` is the share of the drawn and the found surface that both have, from 0 to 1.
    """

    thing: Thing
    centre: tuple[float, float]
    radius: float
    fit: float


def held_out(colour: str, shape: str) -> bool:
    """Whether a pair of colour and shape is kept out of training.

    >>> print(*sorted(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES if held_out(colour, shape)), sep=", ")
    black circle, blue ring, green square, orange triangle, pink cross, purple triangle, red circle, yellow ring
    """
    return (colour, shape) in _held_out()


def scenes(count: int, split: str = "train", seed: int = 0, things: int | None = None) -> list[Scene]:
    """Draws scenes, the same ones for the same arguments; one of two things states no places.

    Args:
        count: how many.
        split: `train`; `validation`, of which no scene is in `train`; or `combinations`, in each of which at least
            one thing has a colour and a shape that `train` never shows together.
        seed: of the draw.
        things: 1 or 2; either, as it falls, without it.

    Raises:
        ValueError: an unknown split, or another number of things.

    Example:
        >>> for scene in scenes(3): print(caption(scene))
        a small purple star to the left of a small yellow circle
        a large pink star in the centre
        a large black cross to the right of a large blue star
        >>> [caption(scene) for scene in scenes(2, "combinations", things=1)]
        ['a large purple triangle at the bottom left', 'a large orange triangle at the bottom left']
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    if things not in (None, 1, 2):
        raise ValueError(f"1 or 2 things, not {things}")
    rng = np.random.default_rng([SPLITS.index(split), seed])
    drawn: list[Scene] = []
    while len(drawn) < count:
        scene = _scene(rng, things or int(rng.integers(1, 3)))
        if _split(scene) == split:
            drawn.append(scene)
    return drawn


def caption(scene: Scene, language: Language = "en", wording: int = 0) -> str:
    """Says what a scene shows; what a thing leaves open is left out.

    Args:
        scene: one thing or two.
        language: `en` or `zh`.
        wording: from 0 to `WORDINGS` - 1, all with the same meaning.

    Raises:
        ValueError: an unknown language or wording.

    Example:
        >>> one = Scene((Thing("red", "circle", "large", "top left"),))
        >>> two = Scene((Thing("red", "circle", "small"), Thing("blue", "star")), "left of")
        >>> for wording in range(WORDINGS): print(caption(one, "en", wording), "|", caption(two, "en", wording))
        a large red circle at the top left | a small red circle to the left of a blue star
        large red circle, top left | small red circle left of blue star
        at the top left there is a large red circle | there is a small red circle, and it is to the left of a blue star
        >>> for wording in range(WORDINGS): print(caption(one, "zh", wording), "|", caption(two, "zh", wording))
        左上角有一个红色的大圆形 | 一个红色的小圆形在一个蓝色的五角星的左边
        红色的大圆形，左上角 | 红色的小圆形，位于蓝色的五角星左边
        一个红色的大圆形位于图的左上角 | 一个蓝色的五角星的左边有一个红色的小圆形
    """
    if language not in ("en", "zh"):
        raise ValueError(f"unknown language {language!r}; there are en, zh")
    if not 0 <= wording < WORDINGS:
        raise ValueError(f"a wording from 0 to {WORDINGS - 1}, not {wording}")
    first, *others = scene.things
    if language == "en":
        names = [" ".join(filter(None, (thing.size, thing.colour, thing.shape or "thing"))) for thing in scene.things]
        one = [f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in names]
        if others:
            relation = f"to the {scene.relation}" if scene.relation in ("left of", "right of") else scene.relation
            return (
                f"{one[0]} {relation} {one[1]}",
                f"{names[0]} {scene.relation} {names[1]}",
                f"there is {one[0]}, and it is {relation} {one[1]}",
            )[wording]
        place = first.place
        if not place:
            return (one[0], names[0], f"there is {one[0]}")[wording]
        where = f"{'in' if place == 'centre' else 'on' if place in ('left', 'right') else 'at'} the {place}"
        return (f"{one[0]} {where}", f"{names[0]}, {place}", f"{where} there is {one[0]}")[wording]
    nouns = [_chinese_name(thing) for thing in scene.things]
    if others:
        relation = _CHINESE[scene.relation or ""]
        return (
            f"一个{nouns[0]}在一个{nouns[1]}的{relation}",
            f"{nouns[0]}，位于{nouns[1]}{relation}",
            f"一个{nouns[1]}的{relation}有一个{nouns[0]}",
        )[wording]
    if not first.place:
        return (f"一个{nouns[0]}", nouns[0], f"图里有一个{nouns[0]}")[wording]
    place = _CHINESE[first.place]
    return (f"{place}有一个{nouns[0]}", f"{nouns[0]}，{place}", f"一个{nouns[0]}位于图的{place}")[wording]


def draw(scene: Scene, side: int = 32, seed: int = 0) -> Images:
    """Draws a scene; place and size vary a little, and what the scene leaves open is chosen, with the seed.

    Args:
        scene: one thing, or two with a relation.
        side: of the picture, in pixels.
        seed: of the draw.

    Returns:
        Of shape (side, side, 3).

    Raises:
        ValueError: more than two things, two without a relation, or a side below 16.

    Example:
        >>> draw(Scene((Thing("red", "circle", "large", "centre"),)))[16, 16].tolist()
        [220, 40, 40]
    """
    if len(scene.things) not in (1, 2) or (len(scene.things) == 2) is not (scene.relation in RELATIONS):
        raise ValueError("a scene has one thing, or two and a relation")
    if side < 16:
        raise ValueError(f"a side of at least 16 pixels, not {side}")
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), 255.0)
    for index, thing in enumerate(scene.things):
        colour = COLOURS[thing.colour or str(rng.choice(list(COLOURS)))]
        shape = thing.shape or str(rng.choice(SHAPES))
        radius = rng.uniform(*SIZES[thing.size or str(rng.choice(list(SIZES)))])
        centre = _centre(thing, scene.relation, index, rng)
        inside = (centre[0] * side, centre[1] * side)
        cover = _cover(shape, inside, radius * side, side, side)[..., None]  # (side, side, 1)
        image = image * (1 - cover) + np.array(colour) * cover
    return np.rint(image).astype(np.uint8)


def describe(image: Images) -> list[Seen]:
    """What stands in a picture, the largest first.

    Args:
        image: of shape (side, side, 3), on a light ground, as a model drew it; noise and blur are borne with.

    Returns:
        One entry for each thing that is not too small; its shape is `unclear` where none fits.

    Raises:
        ValueError: another shape or type of array.

    Example:
        >>> [seen] = describe(draw(Scene((Thing("green", "star", "small", "top right"),))))
        >>> seen.thing
        Thing(colour='green', shape='star', size='small', place='top right')
    """
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture of shape (side, side, 3) in uint8, not {image.shape} in {image.dtype}")
    side = len(image)
    darkness = 255 - image.astype(float)  # (side, side, 3)
    parts, _ = ndimage.label(darkness.max(2) > THRESHOLD, np.ones((3, 3)))
    seen = []
    for part, box in enumerate(ndimage.find_objects(parts), 1):
        rows, columns = (slice(max(edge.start - 3, 0), edge.stop + 3) for edge in box)
        here = parts[rows, columns] == part
        if here.sum() >= SMALLEST * side**2:
            near = ndimage.binary_dilation(here, np.ones((3, 3)))
            seen.append(_fitted(darkness[rows, columns] * near[..., None], (columns.start, rows.start), side))
    return sorted(seen, key=lambda found: -found.radius)


def obeys(image: Images, scene: Scene) -> dict[str, bool]:
    """Whether a picture shows what was asked for.

    Args:
        image: of shape (side, side, 3), as `describe` takes it.
        scene: one thing or two; what it leaves open is not checked.

    Returns:
        For `count`, and each of `colour`, `shape`, `size`, `place` and `relation` that the scene states, whether it is
        right, of two things in both. Which of two things is which is told by what they look like.

    Example:
        >>> asked = Scene((Thing("red", "circle"), Thing("blue", "star")), "left of")
        >>> drawn = Scene((Thing("red", "circle"), Thing("blue", "ring")), "right of")
        >>> obeys(draw(drawn), asked)
        {'count': True, 'colour': True, 'shape': False, 'relation': False}
    """
    seen = describe(image)
    missing = [Seen(Thing(None, None), (np.nan, np.nan), 0.0, 0.0)] * (len(scene.things) - len(seen))
    best, most = dict[str, bool](), (-1, False)
    for found in permutations([*seen, *missing], len(scene.things)):
        right, matches = {"count": len(seen) == len(scene.things)}, 0
        for name in Thing._fields:
            wanted = [getattr(thing, name) for thing in scene.things]
            shown = [getattr(other.thing, name) for other in found]
            if any(wanted):
                agree = [want in (None, show) for want, show in zip(wanted, shown, strict=True)]
                right[name], matches = all(agree), matches + sum(agree)
        if scene.relation:
            right["relation"] = _relation(found[0], found[1]) == scene.relation
        if (matches, right.get("relation", True)) > most:
            best, most = right, (matches, right.get("relation", True))
    return best


@cache
def _held_out() -> frozenset[tuple[str, str]]:
    """One shape of every colour, none of them more than twice, in the order of their hashes."""
    pairs = sorted(
        ((colour, shape) for colour in COLOURS for shape in SHAPES),
        key=lambda pair: hashlib.sha256(" ".join(pair).encode()).digest(),
    )
    chosen: list[tuple[str, str]] = []
    for colour, shape in pairs:
        if all(colour != other for other, _ in chosen) and sum(shape == other for _, other in chosen) < 2:
            chosen.append((colour, shape))
    return frozenset(chosen)


def _split(scene: Scene) -> str:
    if any(thing.colour and thing.shape and held_out(thing.colour, thing.shape) for thing in scene.things):
        return "combinations"
    return "validation" if hashlib.sha256(repr(scene).encode()).digest()[0] < 26 else "train"


def _scene(rng: np.random.Generator, count: int) -> Scene:
    """Any scene, with all that can be said about it."""

    def one_of(names: Sequence[str]) -> str:
        return names[int(rng.integers(len(names)))]

    looks = [(one_of([*COLOURS]), one_of(SHAPES), one_of([*SIZES])) for _ in range(count)]
    if count == 1:
        return Scene((Thing(*looks[0], one_of([*PLACES])),))
    if looks[0] == looks[1]:  # two that differ, so that the relation says something
        return _scene(rng, count)
    return Scene(tuple(Thing(*look) for look in looks), one_of([*RELATIONS]))


def _centre(thing: Thing, relation: str | None, index: int, rng: np.random.Generator) -> tuple[float, float]:
    """Where a thing is drawn, as shares of the side."""
    if relation:
        right, down = RELATIONS[relation]
        sign = 1 - 2 * index
        along, across = 0.26 * sign + rng.uniform(-0.01, 0.01), rng.uniform(-0.08, 0.08)
        return 0.5 + along * right + across * down, 0.5 + along * down + across * right
    column, row = PLACES[thing.place or str(rng.choice(list(PLACES)))]
    return 0.28 + 0.22 * column + rng.uniform(-0.03, 0.03), 0.28 + 0.22 * row + rng.uniform(-0.03, 0.03)


def _inside(shape: str, right: Floats, down: Floats) -> NDArray[np.bool_]:
    """Which points lie in a shape with the circle of radius 1 around it."""
    distance = np.hypot(right, down)
    if shape == "circle":
        return distance <= 1
    if shape == "ring":
        return (distance <= 1) & (distance >= 0.5)
    if shape == "square":
        return np.maximum(abs(right), abs(down)) <= 0.5**0.5
    if shape == "cross":
        return (np.maximum(abs(right), abs(down)) <= 0.94) & (np.minimum(abs(right), abs(down)) <= 0.33)
    corners, hollow = {"triangle": (3, 0.5), "star": (5, 0.4)}[shape]
    turned = np.arctan2(right, -down) % (2 * np.pi / corners)  # from a corner on, clockwise from the top
    folded = np.minimum(turned, 2 * np.pi / corners - turned)  # an edge runs from a corner to a hollow between corners
    x, y = distance * np.cos(folded), distance * np.sin(folded)
    end_x, end_y = hollow * np.cos(np.pi / corners), hollow * np.sin(np.pi / corners)
    return (x - 1) * end_y + (1 - end_x) * y <= 0


def _cover(
    shape: str, centre: tuple[float, float], radius: float, width: int, height: int, fineness: int = 4
) -> Floats:
    """How much of each pixel a shape covers, from 0 to 1: (height, width); centre and radius are in pixels."""
    right, down = ((np.arange(size * fineness) + 0.5) / fineness for size in (width, height))
    inside = _inside(shape, *np.meshgrid((right - centre[0]) / radius, (down - centre[1]) / radius))
    return inside.reshape(height, fineness, width, fineness).mean((1, 3))


@cache
def _surfaces() -> dict[str, float]:
    """Shape -> its surface, where its radius is 1."""
    return {shape: float(_cover(shape, (32, 32), 30, 64, 64).sum() / 30**2) for shape in SHAPES}


def _fitted(darkness: Floats, corner: tuple[int, int], side: int) -> Seen:
    """The thing that looks most like a part of a picture: of every shape, one as large and as soft is drawn there.

    Args:
        darkness: what the thing takes from white: (height, width, 3).
        corner: where this part of the picture begins, to the right and down, in pixels.
        side: of the whole picture.
    """
    height, width, _ = darkness.shape
    strength = darkness.sum(2)
    pure = np.median(darkness[strength >= np.quantile(strength[strength > THRESHOLD], 0.75)], axis=0)
    surface = np.clip(darkness @ pure / (pure @ pure), 0, 1)  # how much of each pixel is covered: (height, width)
    total = surface.sum()
    centre = (
        float(surface.sum(0) @ (np.arange(width) + 0.5) / total),
        float(surface.sum(1) @ (np.arange(height) + 0.5) / total),
    )
    best, fit, radius = np.zeros_like(surface), -1.0, 0.0
    for name, unit in _surfaces().items():
        sharp = _cover(name, centre, float(np.sqrt(total / unit)), width, height, 2 if side > 32 else 4)
        for blur in (0, 0.6, 1):
            drawn = ndimage.gaussian_filter(sharp, blur * side / 32) if blur else sharp
            same = float(np.minimum(drawn, surface).sum() / np.maximum(drawn, surface).sum())
            if same > fit:
                best, fit, shape, radius = drawn, same, name, float(np.sqrt(total / unit)) / side
    colour = 255 - best.ravel() @ darkness.reshape(-1, 3) / (best**2).sum()  # as it is where the edge is not soft
    place = ((corner[0] + centre[0]) / side, (corner[1] + centre[1]) / side)
    thing = Thing(
        min(COLOURS, key=lambda name: float(np.linalg.norm(COLOURS[name] - colour))),
        shape if fit >= CLEAR else "unclear",
        min(SIZES, key=lambda name: abs(radius - sum(SIZES[name]) / 2)),
        min(PLACES, key=lambda name: float(np.hypot(*(0.28 + 0.22 * np.array(PLACES[name]) - place)))),
    )
    return Seen(thing, place, radius, fit)


def _relation(first: Seen, second: Seen) -> str | None:
    """Where the first stands as seen from the second: the direction in which they are farther apart."""
    apart = np.subtract(first.centre, second.centre)
    if np.isnan(apart).any():  # one of them is not there
        return None
    return max(RELATIONS, key=lambda name: float(apart @ RELATIONS[name]))


def _chinese_name(thing: Thing) -> str:
    size = _CHINESE[thing.size] if thing.size else ""
    shape = _CHINESE[thing.shape] if thing.shape else "东西"
    return (f"{_CHINESE[thing.colour]}的" if thing.colour else "") + size + shape
