"""English expressions and their Chinese, both as the Unicode CLDR formats them: exact, and without end.

The pairs come from Babel, which carries the CLDR (Unicode License v3), so an answer is right or wrong
without a judge. What a model never trained on is asked for by the name of a split:

* ``train`` and ``held_out`` share units, currencies and years but never a value: an amount, a date or a
  span of time belongs to one of the two by its hash, whatever the wording around it;
* ``new_units``, ``new_currencies`` and ``new_years`` hold what ``train`` leaves out altogether;
* ``sentences`` puts values of ``held_out`` into whole English sentences.
"""

import datetime
import hashlib
import random
from collections.abc import Callable
from typing import NamedTuple

from babel.dates import format_date, format_timedelta
from babel.numbers import format_currency
from babel.units import format_unit

UNITS = (
    "mass-kilogram", "mass-gram", "mass-tonne", "mass-pound", "mass-ounce", "digital-gigabyte", "digital-megabyte",
    "electric-volt", "power-watt", "temperature-celsius", "speed-kilometer-per-hour", "speed-meter-per-second",
    "frequency-hertz", "graphics-pixel", "energy-calorie", "angle-degree",
)  # fmt: skip
NEW_UNITS = (
    "mass-milligram", "digital-terabyte", "electric-ampere", "temperature-fahrenheit", "speed-mile-per-hour",
    "light-lumen", "pressure-pascal", "duration-night",
)  # fmt: skip
CURRENCIES = ("USD", "EUR", "JPY", "CNY", "GBP", "KRW", "INR", "CHF", "CAD", "AUD")
NEW_CURRENCIES = ("SEK", "BRL", "MXN", "THB", "TRY", "ZAR")
YEARS = (1950, 2049)
NEW_YEARS = (2100, 2199)
SPANS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}
SENTENCES = (
    "The meeting takes place {when}.", "Please send the report {when}.", "The train left {when}.",
    "The parcel contains exactly {what}.", "The label on the box says {what}.", "They paid {what} for it.",
)  # fmt: skip
SPLITS = ("train", "held_out", "new_units", "new_currencies", "new_years", "sentences")


class Pair(NamedTuple):
    """An English expression, its Chinese, and its kind: ``date``, ``quantity``, ``price`` or ``time``."""

    english: str
    chinese: str
    kind: str


def cldr_pairs(count: int, split: str = "train", seed: int = 0) -> list[Pair]:
    """Draws distinct pairs, the same ones for the same arguments.

    Args:
        count: How many pairs.
        split: One of ``SPLITS``.
        seed: Seed of the draw.

    Raises:
        ValueError: An unknown split, or more pairs asked for than the draw finds.

    Example:
        >>> for pair in cldr_pairs(3): print(*pair, sep=" | ")
        August 8, 2006 | 2006年8月8日 | date
        9.3 volts | 9.3伏特 | quantity
        in 74 minutes | 74分钟后 | time
        >>> set(cldr_pairs(500)) & set(cldr_pairs(500, "held_out"))
        set()
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    rng = random.Random(f"{split} {seed}")
    makers: tuple[Callable[[random.Random, str], Pair | None], ...] = {
        "new_units": (_quantity,),
        "new_currencies": (_price,),
        "new_years": (_date,),
    }.get(split, (_date, _quantity, _price, _time))
    pairs: dict[str, Pair] = {}
    for draw in range(100 * count + 1000):
        if len(pairs) == count:
            return list(pairs.values())
        pair = makers[draw % len(makers)](rng, split)
        if pair and split == "sentences":
            place = "{what}" if pair.kind in ("quantity", "price") else "{when}"
            words = f"on {pair.english}" if pair.kind == "date" else pair.english
            sentence = rng.choice([sentence for sentence in SENTENCES if place in sentence])
            pair = Pair(sentence.replace(place, words), pair.chinese, pair.kind)
        if pair:
            pairs.setdefault(pair.english, pair)
    raise ValueError(f"only {len(pairs)} distinct pairs were found for split {split!r}; ask for fewer than {count}")


def is_held_out(value: str) -> bool:
    """Whether a value belongs to ``held_out``: one in five does, by its hash, on every machine alike.

    Example:
        >>> [value for value in range(1, 40) if is_held_out(str(value))]
        [8, 9, 39]
    """
    return hashlib.sha256(value.encode()).digest()[0] < 51


def _wrong_side(value: object, split: str) -> bool:
    return is_held_out(str(value)) is (split == "train")


def _date(rng: random.Random, split: str) -> Pair | None:
    first, last = NEW_YEARS if split == "new_years" else YEARS
    day = datetime.date(first, 1, 1) + datetime.timedelta(days=rng.randrange(365 * (last - first + 1)))
    style = rng.choice(("medium", "long", "full"))
    if _wrong_side(day, split):
        return None
    return Pair(format_date(day, style, "en"), format_date(day, style, "zh"), "date")


def _amount(rng: random.Random) -> float | int:
    digits = rng.choice((1, 2, 3, 4))
    whole = rng.randrange(10 ** (digits - 1), 10**digits)
    return whole if rng.random() < 0.6 else whole + rng.randrange(1, 10) / 10


def _quantity(rng: random.Random, split: str) -> Pair | None:
    amount, unit = _amount(rng), rng.choice(NEW_UNITS if split == "new_units" else UNITS)
    if _wrong_side(amount, split):
        return None
    return Pair(
        format_unit(amount, unit, "long", locale="en"), format_unit(amount, unit, "long", locale="zh"), "quantity"
    )


def _price(rng: random.Random, split: str) -> Pair | None:
    amount, currency = _amount(rng), rng.choice(NEW_CURRENCIES if split == "new_currencies" else CURRENCIES)
    if currency in ("JPY", "KRW"):  # no subunit: CLDR would round, and 31.4 yen would be the 31 yen of the other side
        amount = int(amount)
    if _wrong_side(amount, split):
        return None
    english, chinese = (format_currency(amount, currency, locale=locale, format_type="name") for locale in ("en", "zh"))
    return Pair(english, chinese, "price")


def _time(rng: random.Random, split: str) -> Pair | None:
    span, sign, number = rng.choice(tuple(SPANS)), rng.choice((1, -1)), rng.randrange(1, 100)
    if _wrong_side(number, split):
        return None
    delta = datetime.timedelta(seconds=sign * number * SPANS[span])
    english, chinese = (
        format_timedelta(delta, granularity=span, threshold=1e9, add_direction=True, locale=locale)  # type: ignore[arg-type]
        for locale in ("en", "zh")
    )
    return Pair(english, chinese, "time")
