"""From logits to the next token: what each setting of ``generate`` does, and how repetitive a text is.

Every class is a ``LogitsProcessor``: it takes the text so far (row, token) and the scores of the next token
(row, vocabulary), and gives new scores. They give what Transformers' own classes give, in all floating types.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class Temperature(LogitsProcessor):
    """Divides the scores: below 1 the likely become likelier, above 1 all become alike.

    Args:
        temperature: Above 0.

    Raises:
        ValueError: Zero or less; greedy decoding is ``do_sample=False``.

    Example:
        >>> Temperature(0.5)(None, torch.tensor([[1.0, 2.0]]))
        tensor([[2., 4.]])
    """

    def __init__(self, temperature: float) -> None:
        if not temperature > 0:
            raise ValueError(
                f"temperature must be above 0, not {temperature}; for the likeliest token say do_sample=False\n"
                f"temperature 应大于 0，不能是 {temperature}；要最可能的词元，请用 do_sample=False"
            )
        self.temperature = temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        return scores / self.temperature


class TopK(LogitsProcessor):
    """Keeps the ``k`` highest scores, and those equal to the last of them (Fan et al., 2018, arXiv:1805.04833).

    Args:
        k: At least 1; more than there are tokens keeps all.

    Raises:
        ValueError: Less than 1.

    Example:
        >>> TopK(2)(None, torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}\nk 至少为 1，不能是 {k}")
        self.k = k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        last = scores.topk(min(self.k, scores.shape[-1])).values[:, -1:]
        return scores.masked_fill(scores < last, -torch.inf)


class TopP(LogitsProcessor):
    """Keeps the likeliest tokens until their probabilities add up to ``p`` (Holtzman et al., 2019, arXiv:1904.09751).

    Args:
        p: From 0, which keeps the likeliest token alone, to 1, which keeps all.

    Raises:
        ValueError: Outside 0 to 1.

    Example:
        >>> TopP(0.8)(None, torch.tensor([[0.2, 0.5, 0.3]]).log()).isfinite().tolist()
        [[False, True, True]]
    """

    def __init__(self, p: float) -> None:
        _check_share(p)
        self.p = p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        rising, order = scores.sort(-1)
        removed = rising.softmax(-1).cumsum(-1) <= 1 - self.p
        removed[:, -1] = False  # the likeliest stays
        return scores.masked_fill(removed.scatter(1, order, removed), -torch.inf)


class MinP(LogitsProcessor):
    """Keeps tokens at least ``p`` times as likely as the likeliest (Nguyen et al., 2024, arXiv:2407.01082).

    Args:
        p: From 0, which keeps all, to 1, which keeps the likeliest.

    Raises:
        ValueError: Outside 0 to 1.

    Example:
        >>> MinP(0.5)(None, torch.tensor([[0.2, 0.5, 0.3]]).log()).isfinite().tolist()
        [[False, True, True]]
    """

    def __init__(self, p: float) -> None:
        _check_share(p)
        self.p = p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        p = scores.softmax(-1)
        highest = p.amax(-1, keepdim=True)
        return scores.masked_fill((p < self.p * highest) & (p < highest), -torch.inf)


class RepetitionPenalty(LogitsProcessor):
    """Lowers the score of each token that stands in the text: divides it, or multiplies it where it is negative.

    Keskar et al., 2019, arXiv:1909.05858, only divide; Transformers multiplies where the score is negative, since
    division would raise it. The prompt counts as text, padding as well unless it is left out.

    Args:
        penalty: Above 0; above 1 it lowers, below 1 it raises.
        skip: So many tokens at the start of each row do not count: the padding, or the whole prompt.

    Raises:
        ValueError: Zero or less.

    Example:
        >>> RepetitionPenalty(2.0)(torch.tensor([[0, 2]]), torch.tensor([[4.0, 4.0, -4.0]]))
        tensor([[ 2.,  4., -8.]])
    """

    def __init__(self, penalty: float, skip: int = 0) -> None:
        if not penalty > 0:
            raise ValueError(f"penalty must be above 0, not {penalty}\npenalty 应大于 0，不能是 {penalty}")
        self.penalty, self.skip = penalty, skip

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        seen = input_ids[:, self.skip :]
        found = scores.gather(1, seen)
        return scores.scatter(1, seen, torch.where(found < 0, found * self.penalty, found / self.penalty))


class PerRow(LogitsProcessor):
    """Other settings for each row of a batch, which ``generate`` itself cannot have.

    Args:
        rows: The processors of each row, in the order in which they work.

    Raises:
        ValueError: When called with another number of rows.

    Example:
        >>> scores = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
        >>> PerRow([[TopK(1)], [Temperature(2.0)]])(torch.zeros(2, 1, dtype=torch.long), scores)
        tensor([[  -inf, 2.0000],
                [0.5000, 1.0000]])
    """

    def __init__(self, rows: Sequence[Sequence[LogitsProcessor]]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary)."""
        if len(self.rows) != len(scores):
            raise ValueError(
                f"settings for {len(self.rows)} rows, but the batch has {len(scores)}\n"
                f"有 {len(self.rows)} 行的设置，而这一批有 {len(scores)} 行"
            )
        changed = []
        for row, processors in enumerate(self.rows):
            one = scores[row : row + 1]
            for processor in processors:
                one = processor(input_ids[row : row + 1], one)  # type: ignore[arg-type, assignment]
            changed.append(one)
        return torch.cat(changed)


class LikelihoodRecorder(LogitsProcessor):
    """Notes how likely the model itself found each token that was written, and changes nothing.

    Put it first, before anything that alters the scores. The last token of a text is not noted: what was chosen is seen
    when the next one is.

    Example:
        >>> recorder = LikelihoodRecorder()
        >>> for text in ([[7]], [[7, 1]]):
        ...     _ = recorder(torch.tensor(text), torch.tensor([[0.25, 0.75]]).log())
        >>> recorder.log_likelihoods().exp()
        tensor([[0.7500]])
    """

    def __init__(self) -> None:
        self._noted: list[Tensor] = []
        self._before: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Gives the scores back."""
        if self._before is not None:
            self._noted.append(self._before.gather(1, input_ids[:, -1:]))
        self._before = scores.float().log_softmax(-1)
        return scores

    def log_likelihoods(self) -> Tensor:
        """In nats, (row, written tokens - 1)."""
        return torch.cat(self._noted, 1)


def repeated(tokens: Sequence[Hashable], n: int = 4) -> float:
    """Share of n-grams that stood in the text before (seq-rep-n of Welleck et al., 2019, arXiv:1908.04319).

    Args:
        tokens: A text.
        n: Tokens of an n-gram.

    Returns:
        From 0 to 1; 0 for a text shorter than n.

    Example:
        >>> repeated("abcabcabc", 3), repeated("abcdefghi", 3)
        (0.5714285714285714, 0.0)
    """
    grams = _grams(tokens, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Iterable[Sequence[Hashable]], n: int = 2) -> float:
    """Different n-grams of all texts together over all their n-grams (distinct-n of Li et al., 2015, arXiv:1510.03055).

    Args:
        texts: Texts of equal length where they are compared: the longer, the lower.
        n: Tokens of an n-gram.

    Example:
        >>> distinct(["abab", "abcd"], 2)
        0.6666666666666666
    """
    grams = Counter(gram for text in texts for gram in _grams(text, n))
    return len(grams) / max(grams.total(), 1)


def _grams(tokens: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    return list(zip(*(tokens[place:] for place in range(n)), strict=False))


def _check_share(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, not {p}\np 应在 0 到 1 之间，不能是 {p}")
