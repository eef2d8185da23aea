import pytest
import torch


def test_odds_are_multiplied(answer):
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    found = answer.corrected(p, torch.tensor([0.5, 0.5]), torch.tensor([0.05, 0.95]))
    expected = torch.tensor([[0.05, 0.95], [0.9 * 0.05, 0.1 * 0.95]])
    expected = expected / expected.sum(-1, keepdim=True)
    assert torch.allclose(found, expected, atol=1e-6), pytest.say(
        f"A text that is undecided at equal shares has the new shares as its "
        f"probabilities, 0.05 and 0.95; yours are {found[0].tolist()}.",
        f"比例相等时举棋不定的文本，校正后的概率就是新的比例 0.05 与 0.95；"
        f"你的是 {found[0].tolist()}。",
    )


def test_shares_of_training_count(answer):
    p = torch.tensor([[0.2, 0.3, 0.5]])
    trained, now = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.6, 0.3, 0.1])
    found = answer.corrected(p, trained, now)
    assert torch.allclose(found, now[None], atol=1e-6), pytest.say(
        "A text that says nothing has the shares of training as its probabilities, "
        f"and the new shares afterwards; yours are {found[0].tolist()}. Divide by "
        "the shares of training.",
        "什么也没透露的文本，概率就是训练时的比例，校正后应为新的比例；"
        f"你的是 {found[0].tolist()}。要除以训练时的比例。",
    )


def test_same_shares_change_nothing(answer):
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    share = torch.tensor([0.5, 0.3, 0.2])
    found = answer.corrected(p, share, share)
    assert torch.allclose(found, p, atol=1e-6), pytest.say(
        "With the same shares nothing changes, and each row sums to one.",
        "比例不变，概率就不变，每行之和为一。",
    )
