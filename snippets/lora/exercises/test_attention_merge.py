import pytest
import torch


def parts(factor: float) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    Q, K, V = factor * torch.randn(4, 8), torch.randn(12, 8), torch.randn(12, 3)
    scores = Q @ K.T / 8**0.5
    pieces = [(scores[:, a:b], V[a:b]) for a, b in ((0, 2), (2, 7), (7, 12))]
    outs = torch.stack([s.softmax(-1) @ v for s, v in pieces])
    lses = torch.stack([s.logsumexp(-1) for s, _ in pieces])
    return outs, lses, scores.softmax(-1) @ V, scores.logsumexp(-1)


def test_parts_make_the_whole(answer):
    outs, lses, whole, whole_lse = parts(1.0)
    out, lse = answer.merge(outs, lses)
    assert out.shape == whole.shape and lse.shape == whole_lse.shape, pytest.say(
        f"Shapes {tuple(out.shape)} and {tuple(lse.shape)}; "
        "they should be (4, 3) and (4,).",
        f"形状是 {tuple(out.shape)} 和 {tuple(lse.shape)}；应为 (4, 3) 和 (4,)。",
    )
    assert torch.allclose(lse, whole_lse, atol=1e-5), pytest.say(
        "The log-sum-exp is wrong: "
        "add the sums of the parts, exp(lse), and take the logarithm.",
        "log-sum-exp 不对：把各部分的和 exp(lse) 相加，再取对数。",
    )
    assert torch.allclose(out, whole, atol=1e-5), pytest.say(
        "The output is wrong: part p counts with exp(lse_p) / exp(lse).",
        "输出不对：第 p 部分的权重是 exp(lse_p) / exp(lse)。",
    )


def test_large_scores_do_not_overflow(answer):
    outs, lses, whole, _ = parts(300.0)
    out, _ = answer.merge(outs, lses)
    assert out.isfinite().all(), pytest.say(
        f"With a log-sum-exp of {lses.max():.0f}, exp(lse) is an overflow: "
        "take the difference before exp.",
        f"log-sum-exp 为 {lses.max():.0f} 时，exp(lse) 会上溢：先相减，再取指数。",
    )
    assert torch.allclose(out, whole, atol=1e-4), pytest.say(
        "Right for small scores, wrong for large ones.",
        "分数小的时候对，分数大的时候不对。",
    )
