import pytest
import torch
from torch.nn.functional import normalize

QUESTION = torch.tensor([1.0, 0, 0])
PASSAGES = normalize(
    torch.tensor([[0.9, 0.1, 0], [0.9, 0.11, 0], [0.7, 0, 0.7], [-1, 0, 0.1]]), dim=-1
)


def test_a_copy_comes_late(answer):
    taken = answer.most_different(QUESTION, PASSAGES, 2)
    assert taken == [0, 2], pytest.say(
        f"Passages 0 and 1 are nearly the same; after 0 comes 2, got {taken}.",
        f"段落 0 和 1 几乎相同；选了 0 之后应选 2，得到 {taken}。",
    )


def test_weight_one_is_plain_search(answer):
    taken = answer.most_different(QUESTION, PASSAGES, 3, weight=1.0)
    assert taken == [0, 1, 2], pytest.say(
        f"With weight 1 only the question counts: wanted [0, 1, 2], got {taken}.",
        f"weight 为 1 时只看与问题的相关性：应为 [0, 1, 2]，得到 {taken}。",
    )


def test_none_comes_twice(answer):
    taken = answer.most_different(QUESTION, PASSAGES, 4, weight=0.9)
    assert sorted(taken) == [0, 1, 2, 3], pytest.say(
        f"Four of four passages are all of them; got {taken}.",
        f"四段里选四段，应当全部选到；得到 {taken}。",
    )


def test_the_nearest_of_those_taken_counts(answer):
    generator = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(30, 4, generator=generator), dim=-1)
    taken = answer.most_different(vectors[0], vectors, 8, weight=0.6)
    for step in range(1, 8):
        before = taken[:step]
        likeness = (vectors @ vectors[before].T).amax(1)
        score = 0.6 * vectors @ vectors[0] - 0.4 * likeness
        score[before] = -torch.inf
        assert taken[step] == int(score.argmax()), pytest.say(
            f"After {before}, passage {int(score.argmax())} has the highest score, "
            f"got {taken[step]}: likeness is the highest cosine, neither mean nor sum.",
            f"选了 {before} 之后，得分最高的是 {int(score.argmax())}，"
            f"得到 {taken[step]}：likeness 是余弦中最大的一个，不是平均也不是总和。",
        )
