"""How good translations are: chrF, BLEU, exact ones, placeholders kept; and how sure that is."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu import corpus_bleu

from llm_tutorial.data.messages import PLACEHOLDER, Message

ORDERS, BETA, DRAWS = 6, 2.0, 500


def kept(text: str, english: str) -> bool:
    """Whether a translation has the placeholders of its English, each as often, and no others.

    Example:
        >>> kept("{n} 个文件", "{n} files"), kept("{m} 个文件", "{n} files")
        (True, False)
    """
    return Counter(PLACEHOLDER.findall(text)) == Counter(PLACEHOLDER.findall(english))


def chrf_counts(text: str, reference: str) -> NDArray[np.int64]:
    """Character n-grams of a translation, of its reference, and those in common, for each n from 1 to 6: (6, 3).

    Spaces do not count. Where the reference is shorter than n, the translation's n-grams do not count either, as
    in sacrebleu.

    Args:
        text: A translation.
        reference: The translation by people.

    Example:
        >>> chrf_counts("打开文件", "打开 档")[:3].tolist()
        [[4, 3, 2], [3, 2, 1], [2, 1, 0]]
    """
    text, reference = ("".join(each.split()) for each in (text, reference))
    rows = []
    for n in range(1, ORDERS + 1):
        ours, theirs = (Counter(each[i : i + n] for i in range(len(each) - n + 1)) for each in (text, reference))
        rows.append([ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()])
    return np.array(rows)


def chrf(counts: NDArray[np.int64]) -> float:
    """The chrF of counts that were summed over a corpus (Popović, 2015), from 0 to 100.

    Args:
        counts: (6, 3), as of `chrf_counts`.

    Example:
        >>> f"{chrf(chrf_counts('打开文件', '打开文件夹')):.1f}"
        '72.6'
    """
    ours, theirs, common = counts[(counts[:, 0] > 0) & (counts[:, 1] > 0)].T
    if not common.sum():
        return 0.0
    precision, recall = (common / ours).mean(), (common / theirs).mean()
    return float(100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall))


def resampled(translations: Sequence[str], pairs: Sequence[Message], draws: int = DRAWS) -> list[float]:
    """The chrF of so many draws of messages with replacement; the same draws for every system, so that pairs compare.

    Args:
        translations: One for each message.
        pairs: Messages with the translation by people.
        draws: How many (Koehn, 2004).
    """
    counts = np.array([chrf_counts(text, pair.chinese) for text, pair in zip(translations, pairs, strict=True)])
    places = np.random.default_rng(0).integers(len(pairs), size=(draws, len(pairs)))
    return [round(chrf(counts[drawn].sum(0)), 3) for drawn in places]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where 19 of 20 of some draws lie: from their 2.5th percentile to their 97.5th.

    Example:
        >>> interval(range(201))
        (5.0, 195.0)
    """
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def score(translations: Sequence[str], pairs: Sequence[Message]) -> dict[str, float]:
    """Quality of translations: chrF, BLEU of characters (sacrebleu's ``zh``), exact ones, placeholders kept, length.

    ``exact`` and ``placeholders`` are percentages, the latter of the messages that have some or were given some;
    ``length`` is the number of characters over that of the translations by people.

    Args:
        translations: One for each message.
        pairs: Messages with the translation by people.

    Example:
        >>> score(["%d 个文件"], [Message("%d files", "%d 个文件", "", 0)])
        {'chrf': 100.0, 'bleu': 100.0, 'exact': 100.0, 'placeholders': 100.0, 'length': 1.0}
    """
    both = list(zip(translations, pairs, strict=True))
    right = [kept(text, pair.english) for text, pair in both if PLACEHOLDER.search(text + " " + pair.english)]
    found = {
        "chrf": chrf(np.sum([chrf_counts(text, pair.chinese) for text, pair in both], 0)),
        "bleu": corpus_bleu(list(translations), [[pair.chinese for pair in pairs]], tokenize="zh").score,
        "exact": 100 * float(np.mean([text == pair.chinese for text, pair in both])),
        "placeholders": 100 * float(np.mean(right)) if right else 100.0,
        "length": sum(map(len, translations)) / sum(len(pair.chinese) for pair in pairs),
    }
    return {name: round(value, 4) for name, value in found.items()}
