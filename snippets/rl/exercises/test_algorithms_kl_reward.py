import pytest
import torch

REWARDS = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 0, 0]]).bool()


def credit(answer, ratio, beta=0.5):
    reference = -torch.ones(4, 3)
    return answer.advantages(REWARDS, reference + ratio, reference, MASK, beta)


def test_without_kl_it_is_rloo(answer):
    found = credit(answer, torch.ones(4, 3), beta=0.0).tolist()
    assert found == [[1.0, -1.0], [0.0, 0.0]], pytest.say(
        "With beta = 0 nothing is taken away: each reward minus the other of its "
        "group.",
        "beta = 0 时什么也不减：每个奖励减去同组另一个的奖励。",
    )


def test_the_sum_over_the_tokens_counts(answer):
    found = credit(answer, torch.ones(4, 3) * MASK)[1].tolist()
    assert found == pytest.approx([-1.0, 1.0]), pytest.say(
        "Three tokens, each one nat likelier than under the reference, have moved the "
        "answer by 3 nats, one such token by 1: take the sum away, not the mean.",
        "三个词元各比参考模型多 1 纳特，这个回答总共偏了 3 纳特；"
        "一个这样的词元，偏了 1 纳特：要减去的是和，不是平均。",
    )


def test_padding_costs_nothing(answer):
    ratio = torch.where(MASK, 1.0, 100.0)
    same = torch.allclose(
        credit(answer, ratio), credit(answer, torch.ones(4, 3) * MASK)
    )
    assert same, pytest.say(
        "What stands where there is no token must not count: multiply by the mask.",
        "没有词元的位置上的数不能算进去：请乘以掩码。",
    )
