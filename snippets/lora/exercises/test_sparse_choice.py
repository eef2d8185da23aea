import pytest
import torch


def test_what_follows_changes_nothing_before_it(answer):
    torch.manual_seed(0)
    score = torch.randn(3, 40)
    chosen = answer.choose(score, 5)
    for t in (10, 20, 30):
        other = score.clone()
        other[:, t:] = 9 * torch.randn(3, 40 - t)
        assert torch.equal(answer.choose(other, 5)[:, :t], chosen[:, :t]), pytest.say(
            f"Other scores from place {t} on change what is chosen before it: "
            "the choice looks ahead.",
            f"从第 {t} 个位置起换了分数，前面选中的就变了：这样选会偷看后文。",
        )


def test_at_most_so_many_and_only_above_zero(answer):
    score = torch.tensor(
        [[-1.0, 0.5, 2.0, -3.0, 0.1, 4.0], [-1.0, -2.0, -3.0, -0.1, -0.2, 3.0]]
    )
    chosen = answer.choose(score, 2)
    assert chosen.dtype == torch.bool, pytest.say(
        "Return True and False.", "请返回布尔值。"
    )
    assert not chosen[score <= 0].any(), pytest.say(
        "A place with a score below zero was chosen: more likely no entity than one.",
        "选中了分数为负的位置：它更可能不是实体。",
    )
    assert (chosen.sum(1) <= 2).all(), pytest.say(
        f"At most 2 places; chosen were {chosen.sum(1).tolist()}.",
        f"最多选 2 个位置，却选了 {chosen.sum(1).tolist()} 个。",
    )
    right = [[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    assert chosen.int().tolist() == right, pytest.say(
        "Of the places above zero, the first ones are chosen; each row for itself.",
        "分数为正的位置里，从左往右取最先的几个；每一行各选各的。",
    )
