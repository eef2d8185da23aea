import pytest
import torch

TOKENS = ["不", "太", "好", "，", "退", "了"]


def test_a_filter_counts_with_its_weight(answer):
    y = torch.tensor([[0.0, 2.0, 0.0, 0.0, 0.0]])
    found = answer.parts(y, torch.tensor([[1.0], [-2.0]]), TOKENS, 2)
    assert found == {("太", "好"): -6.0}, pytest.say(
        "One filter, 2 at 太好; its weights are 1 for class 0 and -2 for class 1, so "
        f"the n-gram adds 2 * (-2 - 1) = -6. You gave {found}.",
        "一个卷积核，在「太好」处为 2；它对第 0 类的权重是 1，对第 1 类是 -2，"
        f"所以这个 n 元组加了 2 * (-2 - 1) = -6。你给出 {found}。",
    )


def test_an_ngram_that_wins_twice_counts_twice(answer):
    y = torch.tensor([[0.0, 3.0, 0.0, 0.0, 0.0], [1.0, 4.0, 0.0, 0.0, 0.0]])
    found = answer.parts(y, torch.tensor([[0.0, 0.0], [1.0, 1.0]]), TOKENS, 2)
    assert found == {("太", "好"): 7.0}, pytest.say(
        f"Two filters are largest at 太好: together 3 + 4 = 7. You gave {found}.",
        f"两个卷积核都在「太好」处最大：合起来 3 + 4 = 7。你给出 {found}。",
    )


def test_the_sum_is_the_answer(answer):
    torch.manual_seed(0)
    y, weight = torch.rand(20, 4), torch.randn(2, 20)
    z = weight @ y.amax(-1)
    found = sum(answer.parts(y, weight, TOKENS, 3).values())
    assert abs(found - (z[1] - z[0]).item()) < 1e-4, pytest.say(
        f"The parts sum to {found:.3f}, the difference of logits is {z[1] - z[0]:.3f}.",
        f"各部分之和为 {found:.3f}，logit 之差为 {z[1] - z[0]:.3f}。",
    )
