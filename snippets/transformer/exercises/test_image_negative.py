import pytest
import torch

torch.manual_seed(0)
A, B, C = torch.randn(3, 2, 5)


def test_it_leads_away(answer):
    new = answer.guided(A, B, C, 1.0, 0.0).softmax(-1)
    assert torch.allclose(new, A.softmax(-1), atol=1e-6), pytest.say(
        "With scale = 1 and away = 0 the prompt's own distribution comes out.",
        "scale = 1、away = 0 时，得到的就是提示自己的分布。",
    )
    one = torch.zeros(1, 3)
    unwanted = torch.tensor([[0.0, 5.0, 0.0]])
    new = answer.guided(one, unwanted, one, 1.0, 1.0).softmax(-1)
    assert new[0, 1] < 0.1, pytest.say(
        "An unwanted prompt that wants token 1 must make token 1 rare; its "
        f"probability is {new[0, 1]:.2f}.",
        f"不想要的提示偏爱词元 1，词元 1 就应当变少；现在它的概率是 {new[0, 1]:.2f}。",
    )


def test_the_empty_prompt_is_where_it_starts(answer):
    new = answer.guided(A, B, C, 2.0, 0.5)
    a, b, c = (x.log_softmax(-1) for x in (A, B, C))
    want = 0.5 * c + 2.0 * a - 0.5 * b - c  # c - 2c + 0.5c = -0.5c in all
    assert torch.allclose(new.log_softmax(-1), want.log_softmax(-1), atol=1e-5), (
        pytest.say(
            "Both ways start at the empty prompt: without + scale (given - without) "
            "- away (negative - without).",
            "两步都从空提示出发：without + scale (given - without) "
            "- away (negative - without)。",
        )
    )


def test_constants_do_not_matter(answer):
    new = answer.guided(A, B, C, 2.0, 0.5)
    moved = answer.guided(A + 3, B - 2, C + 1, 2.0, 0.5)
    assert torch.allclose(new, moved, atol=1e-4), pytest.say(
        "A constant added to all logits of a prompt must change nothing: take "
        "log_softmax of each first.",
        "给某条提示的所有 logit 加同一个常数，结果不应改变：先对每一个取 log_softmax。",
    )
