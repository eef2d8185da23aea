import pytest
import torch
from torch.nn import functional as F

SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
LAPLACE = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
BINOMIAL = torch.outer(*[torch.tensor([1.0, 4, 6, 4, 1])] * 2) / 256


@pytest.mark.parametrize("kernel", [SOBEL, BINOMIAL, torch.ones(3, 3), 1e-3 * SOBEL.T])
def test_two_passes_give_what_the_kernel_gives(answer, kernel):
    found = answer.two_passes(kernel)
    assert found is not None, pytest.say(
        f"This kernel is a column times a row: {kernel.tolist()}",
        f"这个卷积核就是一列乘一行：{kernel.tolist()}",
    )
    column, row = found
    assert torch.outer(column, row).allclose(kernel, atol=1e-6), pytest.say(
        f"column times row is not the kernel {kernel.tolist()}; "
        "the best column and row are in its singular value decomposition.",
        f"列乘行得不到卷积核 {kernel.tolist()}；最好的列和行在它的奇异值分解里。",
    )
    x, k = torch.randn(1, 1, 12, 12), len(kernel)
    once = F.conv2d(x, kernel[None, None])
    twice = F.conv2d(F.conv2d(x, column.view(1, 1, k, 1)), row.view(1, 1, 1, k))
    assert twice.allclose(once, atol=1e-4)


@pytest.mark.parametrize("kernel", [LAPLACE, torch.eye(3)])
def test_other_kernels_have_no_two_passes(answer, kernel):
    assert answer.two_passes(kernel) is None, pytest.say(
        f"{kernel.tolist()} has rank {int(torch.linalg.matrix_rank(kernel))}: "
        "no column and row make it; return None. Look at the second singular value.",
        f"{kernel.tolist()} 的秩是 {int(torch.linalg.matrix_rank(kernel))}，"
        "没有一列一行能乘出它；应返回 None。看第二个奇异值。",
    )


def test_a_small_kernel_is_not_taken_for_nothing(answer):
    assert answer.two_passes(1e-6 * LAPLACE) is None, pytest.say(
        "A kernel times 1e-6 has the same rank: compare the second singular value "
        "with the first.",
        "卷积核乘上 1e-6，秩不变：第二个奇异值要同第一个相比。",
    )
