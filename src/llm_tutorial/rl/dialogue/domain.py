"""What the dialogue is about: four slots, their values by their real names, what sounds alike, and a timetable.

Cities, days and times of day have the names that the Unicode CLDR gives them in English and in Chinese. Which trains
run is made up, and always the same.
"""

from difflib import SequenceMatcher
from functools import cache

import numpy as np
from babel import Locale
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SLOTS = ("from", "to", "day", "time")
ZONES = (
    "Amsterdam", "Belgrade", "Berlin", "Bratislava", "Brussels", "Bucharest", "Budapest", "Paris", "Prague", "Rome",
    "Vienna", "Warsaw",
)  # fmt: skip
TIMES = {"en": ("morning1", "afternoon1", "evening1"), "zh": ("morning2", "afternoon2", "evening1")}
SIZES = (len(ZONES), len(ZONES), 7, 3)
VALUES = max(SIZES)
EXISTS = np.arange(VALUES) < np.array(SIZES)[:, None]  # (slots, values): what is a value of the slot at all


@cache
def names(language: str = "en") -> tuple[tuple[str, ...], ...]:
    """The values of each slot by name.

    Args:
        language: ``en`` or ``zh``.

    Example:
        >>> names()[1][6], names("zh")[1][6], names("zh")[2][0], names("zh")[3]
        ('Budapest', '布达佩斯', '星期一', ('上午', '下午', '晚上'))
    """
    locale = Locale(language)
    cities = tuple(city if language == "en" else locale.time_zones[f"Europe/{city}"]["city"] for city in ZONES)
    days = tuple(locale.days["stand-alone"]["wide"][day] for day in range(7))
    periods = locale.day_periods["stand-alone"]["wide"] if language == "en" else locale.day_periods["format"]["wide"]
    return cities, cities, days, tuple(periods[time] for time in TIMES[language])


@cache
def confusion(sharpness: float = 6.0) -> Floats:
    """If a value is misheard, what is heard in its place: (slots, values said, values heard), rows sum to 1.

    Names that share letters are taken for one another more often.

    Args:
        sharpness: 0 makes all mistakes equally likely.

    Example:
        >>> likely = confusion()[0, ZONES.index("Budapest")]
        >>> ZONES[likely.argmax()], round(float(likely.sum()), 6)
        ('Bucharest', 1.0)
    """
    matrix = np.zeros((len(SLOTS), VALUES, VALUES))
    for slot, words in enumerate(names()):
        for said, word in enumerate(words):
            alike = np.array([SequenceMatcher(None, word, other).ratio() for other in words])
            weights = np.exp(sharpness * alike) * (np.arange(len(words)) != said)
            matrix[slot, said, : len(words)] = weights / weights.sum()
    return matrix


@cache
def timetable(share: float = 0.5, seed: int = 0) -> Flags:
    """Which trains run: (from, to, day, time), none from a city to itself.

    Args:
        share: Share of the possible trains.
        seed: Of the draw.

    Example:
        >>> timetable().shape, bool(timetable()[3, 3].any())
        ((12, 12, 7, 3), False)
    """
    runs = np.random.default_rng(seed).random(SIZES) < share
    runs[np.arange(SIZES[0]), np.arange(SIZES[0])] = False
    return runs
