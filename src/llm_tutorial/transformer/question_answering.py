"""Extractive question answering: windows over a passage, a loss over start and end, spans, and how to score them.

The definitions of exact match and F1 follow SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250; 2018, arXiv:1806.03822),
but punctuation parts words, a Chinese character is a word, and a number keeps its sign and its point.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from llm_tutorial.transformer.question_data import QuestionExample

MAX_LENGTH, STRIDE, MAX_ANSWER = 128, 48, 40  # tokens: of a window, of the overlap, of an answer
_WORDS = re.compile(r"[\u4e00-\u9fff]|-?\d+(?:\.\d+)?(?:e-?\d+)?|[^\W\u4e00-\u9fff]+")


class Window(NamedTuple):
    """What the model reads at once: a question and as much of a passage as fits.

    Attributes:
        example: the number of its example.
        input_ids: ``[CLS] question [SEP] part of the passage [SEP]``.
        offsets: first and last character (exclusive) of each token in the passage; ``None`` for the other tokens.
        start: token that the answer begins with; 0, the place of ``[CLS]``, where the window holds no answer.
        end: token that the answer ends with.
    """

    example: int
    input_ids: list[int]
    offsets: list[tuple[int, int] | None]
    start: int
    end: int


class Prediction(NamedTuple):
    """The best span, where it starts in the passage, its score, and how much higher that of “no answer” is."""

    text: str
    start: int
    score: float
    no_answer: float


def windows(
    tokenizer: Any, examples: Sequence[QuestionExample], max_length: int = MAX_LENGTH, stride: int = STRIDE
) -> list[Window]:
    """Cuts passages into overlapping windows and finds the tokens of the answer.

    Args:
        tokenizer: a fast one, which knows the characters that a token came from.
        examples: questions with their passages.
        max_length: tokens of a window, with the question and three special ones.
        stride: tokens that neighbouring windows share.

    Raises:
        ValueError: a question that leaves no room for new tokens of the passage.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> from llm_tutorial.transformer.question_data import QuestionExample
        >>> example = QuestionExample("week", "Which day?", "The week begins on Monday.", "Monday", 19, False, "")
        >>> (window,) = windows(load_tokenizer("minilm"), [example])
        >>> window.offsets[window.start], window.offsets[window.end]
        ((19, 25), (19, 25))
    """
    try:
        read = tokenizer(
            [example.question for example in examples], [example.context for example in examples],
            truncation="only_second", max_length=max_length, stride=stride, return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )  # fmt: skip
    except BaseException as error:  # the tokenizers library panics where the overlap is longer than the room
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise ValueError(
            f"a question leaves no room for its passage in {max_length} tokens that overlap by {stride}; shorten it, or "
            f"choose a longer window or a smaller overlap\n"
            f"有的问题太长：窗口只有 {max_length} 个词元，又要重叠 {stride} 个，放不下段落。请缩短问题、加长窗口或减小重叠"
        ) from error
    found = []
    for place, number in enumerate(read["overflow_to_sample_mapping"]):
        parts, example = read.sequence_ids(place), examples[number]
        offsets = [
            tuple(span) if part == 1 else None for span, part in zip(read["offset_mapping"][place], parts, strict=True)
        ]
        start, end = _answer_tokens(offsets, example)
        found.append(Window(number, read["input_ids"][place], offsets, start, end))
    return found


def _answer_tokens(offsets: Sequence[tuple[int, int] | None], example: QuestionExample) -> tuple[int, int]:
    """First and last token of the answer; both 0 where it is not wholly inside."""
    if not example.answer:
        return 0, 0
    first, last = example.start, example.start + len(example.answer)
    inside = [place for place, span in enumerate(offsets) if span and span[0] < last and span[1] > first]
    whole = inside and offsets[inside[0]][0] <= first and offsets[inside[-1]][1] >= last  # type: ignore[index]
    return (inside[0], inside[-1]) if whole else (0, 0)


def collate(batch: Sequence[Window], pad: int, device: Any = "cpu") -> dict[str, Tensor]:
    """Windows of different lengths as one batch, padded on the right to the longest.

    There are no token types: MiniLM learned from single sentences, and has no use for a second type.

    Args:
        batch: windows.
        pad: id of the padding token.
        device: where the tensors go.

    Returns:
        ``input_ids`` and ``attention_mask``, each (batch, longest).
    """
    longest = max(len(window.input_ids) for window in batch)

    def padded(rows: Sequence[list[int]], value: int) -> Tensor:
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows], device=device)

    return {
        "input_ids": padded([window.input_ids for window in batch], pad),
        "attention_mask": padded([[1] * len(window.input_ids) for window in batch], 0),
    }


def span_loss(start_logits: Tensor, end_logits: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Cross-entropy of the right start and of the right end, averaged over both and summed over the batch.

    Args:
        start_logits: (batch, length).
        end_logits: (batch, length).
        starts: (batch,) of tokens.
        ends: (batch,) of tokens.

    Example:
        >>> float(span_loss(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([1]), torch.tensor([2])).exp())
        4.0
    """
    loss = nn.functional.cross_entropy
    return (loss(start_logits, starts, reduction="sum") + loss(end_logits, ends, reduction="sum")) / 2


def loss_of(model: nn.Module, batch: Sequence[Window], device: Any) -> Tensor:
    """Summed loss of windows, for ``llm_tutorial.training.fit``."""
    out = model(**collate(batch, _pad_of(model), device))
    starts = torch.tensor([window.start for window in batch], device=device)
    ends = torch.tensor([window.end for window in batch], device=device)
    return span_loss(out.start_logits, out.end_logits, starts, ends)


def batches(found: Sequence[Window], size: int, seed: int) -> Callable[[int], Sequence[Window]]:
    """Gives the batch of a step: windows of similar length together, in an order that the seed decides.

    Args:
        found: the training windows.
        size: of a batch.
        seed: of the order.
    """
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(found), generator=draw).tolist()
    pool, ordered = 8 * size, list[list[int]]()
    for at in range(0, len(order) - size + 1, pool):
        near = sorted(order[at : at + pool], key=lambda number: len(found[number].input_ids))
        cut = [near[place : place + size] for place in range(0, len(near) - size + 1, size)]
        ordered += [cut[place] for place in torch.randperm(len(cut), generator=draw).tolist()]
    return lambda step: [found[number] for number in ordered[step % len(ordered)]]


def best_span(start: Tensor, end: Tensor, allowed: Tensor, max_answer: int = MAX_ANSWER) -> tuple[int, int, float]:
    """The span that begins no later than it ends, is not too long, and has the highest sum of both scores.

    Args:
        start: (length,) scores.
        end: (length,) scores.
        allowed: (length,) of bool: tokens of the passage.
        max_answer: tokens of a span at most.

    Returns:
        First token, last token, score.

    Raises:
        ValueError: no token is allowed.

    Example:
        >>> start, end = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.0, 4.0, 3.0])
        >>> best_span(start, end, torch.ones(3, dtype=torch.bool))
        (2, 2, 8.0)
    """
    if not allowed.any():
        raise ValueError("no token may be an answer\n没有可以作为答案的词元")
    length = len(start)
    places = torch.arange(length)
    distance = places[None] - places[:, None]  # (start, end)
    valid = (distance >= 0) & (distance < max_answer) & allowed[:, None] & allowed[None]
    scores = (start[:, None] + end[None]).masked_fill(~valid, -torch.inf)
    best = int(scores.argmax())
    return best // length, best % length, float(scores.flatten()[best])


def predict(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[QuestionExample],
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    max_answer: int = MAX_ANSWER,
    batch_size: int = 16,
) -> list[Prediction]:
    """The best span of each passage: that of the window in which “no answer” beats it least.

    Args:
        model: with a span head: ``start_logits`` and ``end_logits`` come out.
        tokenizer: its tokenizer.
        examples: questions with their passages; their answers are not looked at.
        max_length: tokens of a window.
        stride: tokens that neighbouring windows share.
        max_answer: tokens of an answer at most.
        batch_size: windows read at once; it changes the memory needed, not the result.

    Returns:
        One prediction for each example; the higher its ``no_answer``, the surer that there is none.

    Raises:
        ValueError: a question that leaves no room for its passage.
    """
    found = predict_windows(model, tokenizer, examples, max_length, stride, max_answer, batch_size)
    return [min(each, key=lambda window: window.no_answer) for each in found]


@torch.inference_mode()
def predict_windows(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[QuestionExample],
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    max_answer: int = MAX_ANSWER,
    batch_size: int = 16,
) -> list[list[Prediction]]:
    """The best span of every window, and how much higher “no answer” scores in the same window.

    Args:
        model: as of ``predict``.
        tokenizer: as of ``predict``.
        examples: as of ``predict``.
        max_length: as of ``predict``.
        stride: as of ``predict``.
        max_answer: as of ``predict``.
        batch_size: as of ``predict``.

    Returns:
        For each example the predictions of its windows, in their order.

    Raises:
        ValueError: a question that leaves no room for its passage.
    """
    if not examples:
        return []
    asked = [example._replace(answer="", start=-1) for example in examples]
    found = windows(tokenizer, asked, max_length, stride)
    order = sorted(range(len(found)), key=lambda place: len(found[place].input_ids))
    training, device = model.training, next(model.parameters()).device
    model.eval()
    said = dict[int, Prediction]()
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        out = model(**collate([found[place] for place in places], _pad_of(model), device))
        for place, start, end in zip(places, out.start_logits.float().cpu(), out.end_logits.float().cpu(), strict=True):
            said[place] = _best_of(found[place], start, end, examples[found[place].example].context, max_answer)
    model.train(training)
    by_example: list[list[Prediction]] = [[] for _ in examples]
    for place, window in enumerate(found):
        by_example[window.example].append(said[place])
    return by_example


def _best_of(window: Window, start: Tensor, end: Tensor, context: str, max_answer: int) -> Prediction:
    length = len(window.offsets)  # without padding
    allowed = torch.tensor([span is not None for span in window.offsets])
    if not allowed.any():  # an empty passage
        return Prediction("", 0, -torch.inf, torch.inf)
    first, last, score = best_span(start[:length], end[:length], allowed, max_answer)
    (left, _), (_, right) = window.offsets[first] or (0, 0), window.offsets[last] or (0, 0)
    return Prediction(context[left:right], left, score, float(start[0] + end[0]) - score)


def words_of(text: str) -> list[str]:
    """The words that count when answers are compared: in lower case, without articles and punctuation.

    Example:
        >>> words_of("The value -1, `None`")
        ['value', '-1', 'none']
        >>> words_of("从星期一开始")
        ['从', '星', '期', '一', '开', '始']
    """
    found = [word for word in _WORDS.findall(text.lower()) if word not in ("a", "an", "the")]
    return found or text.split()  # nothing but signs, such as "="


def exact(predicted: str, gold: str) -> float:
    """1 where both have the same words in the same order.

    Example:
        >>> exact("`None`", "None"), exact("1", "-1")
        (1.0, 0.0)
    """
    return float(words_of(predicted) == words_of(gold))


def f1(predicted: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the words; without an answer, 1 where both are empty.

    Example:
        >>> f1("an int or None", "int"), f1("", ""), f1("int", "")
        (0.5, 1.0, 0.0)
    """
    left, right = words_of(predicted), words_of(gold)
    if not left or not right:
        return float(left == right)
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right))


def scores(
    predictions: Sequence[Prediction], examples: Sequence[QuestionExample], threshold: float
) -> dict[str, float]:
    """Exact match and F1 in percent, where whatever says “no answer” more clearly than the threshold is empty.

    Args:
        predictions: as from ``predict``.
        examples: with their answers.
        threshold: of ``no_answer``.

    Returns:
        ``em`` and ``f1`` of all; ``answerable``, F1 where there is an answer; ``refused``, share of the others.

    Raises:
        ValueError: no examples.

    Example:
        >>> example = QuestionExample("week", "Which day?", "It is Monday.", "Monday", 6, False, "")
        >>> scores([Prediction("Monday", 6, 3.0, -2.0)], [example], threshold=0.0)["em"]
        100.0
        >>> scores([Prediction("Monday", 6, 3.0, -2.0)], [example], threshold=-3.0)["em"]
        0.0
    """
    if not examples:
        raise ValueError("no examples to score\n没有可评分的例子")
    pairs = _answered(predictions, examples, threshold)
    return {
        "em": _percent([exact(*pair) for pair in pairs]),
        "f1": _percent([f1(*pair) for pair in pairs]),
        "answerable": _percent([f1(*pair) for pair in pairs if pair[1]]),
        "refused": _percent([f1(*pair) for pair in pairs if not pair[1]]),
    }


def f1_each(predictions: Sequence[Prediction], examples: Sequence[QuestionExample], threshold: float) -> list[float]:
    """F1 of each question, from 0 to 1, at a threshold: what ``interval`` compares."""
    return [f1(*pair) for pair in _answered(predictions, examples, threshold)]


def _answered(
    predictions: Sequence[Prediction], examples: Sequence[QuestionExample], threshold: float
) -> list[tuple[str, str]]:
    """What is answered, empty where refused, and what is right."""
    said = [prediction.text if prediction.no_answer <= threshold else "" for prediction in predictions]
    return [(text, example.answer) for text, example in zip(said, examples, strict=True)]


def interval(
    values: Sequence[float], groups: Sequence[str], draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of values and its 95 % bootstrap interval, drawn by whole groups: questions on one module are alike.

    Args:
        values: one a question, such as the difference of two methods' F1.
        groups: the group of each question.
        draws: resamples.
        seed: of the draws.

    Example:
        >>> interval([0.0, 1.0] * 50, list("ab") * 50)  # two groups: nothing is known
        (0.5, 0.0, 1.0)
        >>> mean, low, high = interval([0.0, 1.0] * 50, [str(number) for number in range(100)])
        >>> 0.39 < low < mean < high < 0.61
        True
    """
    parts: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        parts.setdefault(group, []).append(value)
    counts = torch.tensor([len(part) for part in parts.values()], dtype=torch.double)
    sums = torch.tensor([sum(part) for part in parts.values()], dtype=torch.double)
    drawn = torch.randint(len(parts), (draws, len(parts)), generator=torch.Generator().manual_seed(seed))
    low, high = (sums[drawn].sum(1) / counts[drawn].sum(1)).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return sum(values) / len(values), low, high


def by_kind(
    predictions: Sequence[Prediction], examples: Sequence[QuestionExample], threshold: float
) -> dict[str, float]:
    """F1 of each kind of question, in percent."""
    kinds: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        kinds.setdefault(example.kind, []).append(place)
    return {
        kind: scores([predictions[p] for p in places], [examples[p] for p in places], threshold)["f1"]
        for kind, places in kinds.items()
    }


def threshold_curve(
    predictions: Sequence[Prediction], examples: Sequence[QuestionExample]
) -> list[tuple[float, float]]:
    """F1 at every threshold that makes a difference: from refusing all to refusing nothing.

    Example:
        >>> examples = [QuestionExample("week", "?", "It is Monday.", answer, 6, False, "") for answer in ("Monday", "")]
        >>> predictions = [Prediction("Monday", 6, 3.0, -2.0), Prediction("It", 0, 1.0, 4.0)]
        >>> [f1 for _, f1 in threshold_curve(predictions, examples)]
        [50.0, 100.0, 50.0]
    """
    places = sorted({prediction.no_answer for prediction in predictions})
    between = [(low + high) / 2 for low, high in pairwise(places)]
    return [(at, scores(predictions, examples, at)["f1"]) for at in [places[0] - 1, *between, places[-1] + 1]]


def best_threshold(predictions: Sequence[Prediction], examples: Sequence[QuestionExample]) -> float:
    """The threshold with the highest F1; of equal ones the middle.

    Example:
        >>> examples = [QuestionExample("week", "?", "It is Monday.", answer, 6, False, "") for answer in ("Monday", "")]
        >>> best_threshold([Prediction("Monday", 6, 3.0, -2.0), Prediction("It", 0, 1.0, 4.0)], examples)
        1.0
    """
    curve = threshold_curve(predictions, examples)
    highest = max(value for _, value in curve)
    at = [place for place, value in curve if value == highest]
    return at[len(at) // 2]


def f1_crossed(
    predictions: Sequence[Prediction],
    examples: Sequence[QuestionExample],
    chosen_on: Sequence[Prediction] | None = None,
) -> list[float]:
    """F1 of each question, from 0 to 1, at the threshold that is best for the other half of them.

    No question has a say in its own threshold, so settings can be compared on one set. Halves are those of even and of
    odd places.

    Args:
        predictions: what is scored.
        examples: with their answers.
        chosen_on: predictions for the same questions by which the threshold is chosen; the same ones if not given.

    Example:
        >>> right, none = (QuestionExample("week", "?", "On Monday.", day, 3, False, "") for day in ("Monday", ""))
        >>> said = [Prediction("Monday", 6, 3.0, -2.0)] * 2 + [Prediction("On", 0, 1.0, 4.0)] * 2
        >>> f1_crossed(said, [right, right, none, none])
        [1.0, 1.0, 1.0, 1.0]
    """
    chosen_on = predictions if chosen_on is None else chosen_on
    found = [0.0] * len(examples)
    for half, other in ((0, 1), (1, 0)):
        at = best_threshold(chosen_on[other::2], examples[other::2])
        found[half::2] = f1_each(predictions[half::2], examples[half::2], at)
    return found


def judge(
    predictor: Callable[[Sequence[QuestionExample]], Sequence[Prediction]],
    sets: Mapping[str, Sequence[QuestionExample]],
) -> dict[str, Any]:
    """A method on all sets of questions, at thresholds that validation asks for.

    Args:
        predictor: answers questions.
        sets: ``validation`` and ``test``, whose passages fit into one window; ``longer``, for validation too, and
            ``written``, which have longer ones.

    Returns:
        ``thresholds`` of both lengths, ``sets`` with the scores of each set and of both halves of ``test``, ``kinds``
            of ``test``, and ``each`` with the F1 of every question.
    """
    said = {name: predictor(examples) for name, examples in sets.items()}
    short, long = (best_threshold(said[name], sets[name]) for name in ("validation", "longer"))
    at = {"validation": short, "test": short, "longer": long, "written": long}
    found = {name: scores(said[name], sets[name], at[name]) for name in sets}
    for name, new in (("seen wordings", False), ("new wordings", True)):
        places = [place for place, example in enumerate(sets["test"]) if example.new_wording == new]
        found[name] = scores([said["test"][p] for p in places], [sets["test"][p] for p in places], short)
    return {
        "thresholds": {"one window": short, "longer": long},
        "sets": found,
        "kinds": by_kind(said["test"], sets["test"], short),
        "each": {
            name: [round(value, 4) for value in f1_each(said[name], sets[name], at[name])]
            for name in ("test", "written")
        },
    }


def lexical(
    examples: Sequence[QuestionExample], clauses: bool = False, k1: float = 1.2, b: float = 0.75
) -> list[Prediction]:
    """No model: the line of the passage that BM25 (Robertson and Zaragoza, 2009) finds closest to the question.

    Args:
        examples: questions with their passages; their answers are not looked at.
        clauses: cut lines at commas, colons, semicolons and brackets as well.
        k1: how soon a repeated word stops counting.
        b: how much the length of a line counts.

    Returns:
        One prediction for each example; ``no_answer`` is the negative score.
    """
    return [_lexical(example, clauses, k1, b) for example in examples]


def _lexical(example: QuestionExample, clauses: bool, k1: float, b: float) -> Prediction:
    cut = r"[^\n,，:：;；()。]+" if clauses else r"[^\n。]+"
    parts = [(match.start(), match.group()) for match in re.finditer(cut, example.context) if match.group().strip()]
    bags = [Counter(words_of(text)) for _, text in parts]
    asked = set(words_of(example.question))
    mean = sum(bag.total() for bag in bags) / max(len(bags), 1)
    best = (-1.0, 0, "")
    for (start, text), bag in zip(parts, bags, strict=True):
        score = 0.0
        for word in asked & set(bag):
            count = sum(word in other for other in bags)
            rarity = torch.log(torch.tensor(1 + (len(bags) - count + 0.5) / (count + 0.5))).item()
            score += rarity * bag[word] * (k1 + 1) / (bag[word] + k1 * (1 - b + b * bag.total() / mean))
        if clauses and set(bag) <= asked:  # it repeats the question, and answers nothing
            continue
        best = max(best, (score, start, text), key=lambda each: each[0])
    score, start, text = best
    left = len(text) - len(text.lstrip())
    return Prediction(text.strip(), start + left, score, -score)


def _percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values) if values else 0.0


def _pad_of(model: nn.Module) -> int:
    config: Any = getattr(model, "module", model).config  # the wrapper for several devices has none
    return int(config.pad_token_id or 0)


def own_tokenizer(texts: Sequence[str], vocabulary: int = 6000) -> PreTrainedTokenizerFast:
    """WordPiece (Schuster and Nakajima, 2012) as BERT has it, with a vocabulary counted in texts of any languages.

    The vocabulary holds every character and the most frequent words, beginnings and ends of words. The trainer of the
    ``tokenizers`` library breaks ties otherwise in every run; counting gives the same vocabulary on every machine.

    Args:
        texts: the training split.
        vocabulary: tokens at most.

    Example:
        >>> tokenizer = own_tokenizer(["The default is None.", "一周从星期一开始。"] * 2)
        >>> tokenizer.convert_ids_to_tokens(tokenizer("一周", "None").input_ids)
        ['[CLS]', '一', '周', '[SEP]', 'none', '[SEP]']
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    pieces = Counter[str]()
    for word, count in words.items():
        for cut in range(1, len(word)):
            pieces[word[:cut]] += count
            pieces["##" + word[cut:]] += count
        pieces[word] += count
    letters = sorted({letter for word in words for letter in word})
    found = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    known = set(found)
    frequent = sorted(pieces, key=lambda piece: (-pieces[piece], piece))
    found += [piece for piece in frequent if piece not in known][: max(vocabulary - len(found), 0)]
    model = models.WordPiece({piece: number for number, piece in enumerate(found)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
