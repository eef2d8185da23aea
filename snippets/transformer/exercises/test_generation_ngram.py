import random

import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor


def theirs(tokens, n):
    scores = NoRepeatNGramLogitsProcessor(n)(torch.tensor([tokens]), torch.zeros(1, 9))
    return set(scores[0].isinf().nonzero().flatten().tolist())


def test_a_repeated_pair_is_forbidden(answer):
    found = answer.forbidden([5, 6, 7, 5], 2)
    assert found == {6}, pytest.say(
        f"After 5, 6, 7, 5 the pair 5, 6 would come again: "
        f"only 6 is forbidden, not {found}.",
        f"在 5, 6, 7, 5 之后，会重复的是 5, 6：应当只禁止 6，而不是 {found}。",
    )


def test_every_continuation_counts(answer):
    found = answer.forbidden([1, 2, 1, 3, 1], 2)
    assert found == {2, 3}, pytest.say(
        f"1 was followed by 2 and by 3: wanted both, got {found}.",
        f"1 的后面出现过 2 和 3：两个都要禁止，得到 {found}。",
    )


def test_with_one_every_token_counts(answer):
    found = answer.forbidden([1, 2, 1], 1)
    assert found == {1, 2}, pytest.say(
        f"With n = 1 no token may come twice: wanted {{1, 2}}, got {found}.",
        f"n = 1 时任何词元都不能出现两次：应为 {{1, 2}}，得到 {found}。",
    )


def test_it_forbids_what_the_library_forbids(answer):
    draw = random.Random(0)
    for _ in range(200):
        n, length = draw.randint(1, 4), draw.randint(1, 12)
        tokens = [draw.randrange(4) for _ in range(length)]
        found = answer.forbidden(tokens, n)
        assert found == theirs(tokens, n), pytest.say(
            f"{tokens}, n = {n}: the library forbids {theirs(tokens, n)}, you {found}. "
            "Mind both ends: the last n tokens, and texts shorter than n.",
            f"{tokens}，n = {n}：库禁止 {theirs(tokens, n)}，你禁止 {found}。"
            "注意两头：最后那 n 个词元，以及比 n 还短的文本。",
        )
