import pytest
import torch

IDS = torch.tensor(
    [[4, 4, 1, 1, 2], [0, 3, 0, 0, 0]]
)  # two tokens of prompt, three more
SCORES = torch.zeros(2, 6)


def test_the_prompt_does_not_count(answer):
    lowered = answer.SubtractedPenalty(1.0, 0.0, 2)(IDS, SCORES)
    assert lowered[0, 4] == 0 and lowered[1, 3] == 0, pytest.say(
        "A token that stands only in the prompt was lowered.",
        "只在提示词里出现的词元也被压低了。",
    )


def test_each_time_counts(answer):
    lowered = answer.SubtractedPenalty(0.5, 0.0, 2)(IDS, SCORES)
    assert lowered[0].tolist() == [0, -1.0, -0.5, 0, 0, 0], pytest.say(
        f"Written: 1, 1, 2; frequency 0.5: wanted -1 and -0.5 there, got {lowered[0]}.",
        f"写出的是 1、1、2，frequency 为 0.5：应为 -1 和 -0.5，得到 {lowered[0]}。",
    )


def test_presence_counts_once(answer):
    lowered = answer.SubtractedPenalty(0.0, 2.0, 2)(IDS, SCORES)
    assert lowered[0].tolist() == [0, -2.0, -2.0, 0, 0, 0], pytest.say(
        f"Written: 1, 1, 2; presence 2: wanted -2 at both, got {lowered[0]}.",
        f"写出的是 1、1、2，presence 为 2：两处都应为 -2，得到 {lowered[0]}。",
    )


def test_rows_are_apart(answer):
    lowered = answer.SubtractedPenalty(1.0, 1.0, 2)(IDS, SCORES)
    assert lowered[1].tolist() == [-4.0, 0, 0, 0, 0, 0], pytest.say(
        f"The second row wrote 0 three times: wanted -4 there alone, got {lowered[1]}.",
        f"第二行写了三次 0：只有那里应为 -4，得到 {lowered[1]}。",
    )


def test_it_does_not_matter_where_zero_is(answer):
    penalty = answer.SubtractedPenalty(0.7, 0.3, 2)
    scores = torch.randn(2, 6)
    one, other = (penalty(IDS, scores + shift).softmax(-1) for shift in (0.0, 5.0))
    assert one.allclose(other, atol=1e-6), pytest.say(
        "Adding a number to all scores must not change the probabilities.",
        "给所有分数加上同一个数，概率不应改变。",
    )
