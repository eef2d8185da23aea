import pytest
import torch

from llm_tutorial.transformer.vit import resized


def ramp(rows, columns):
    """Position vectors that say row and column; that of CLS says 100."""
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    return torch.cat([torch.full((1, 2), 100.0), places])[None]


def test_cls_keeps_its_vector(answer):
    new = answer.resize(ramp(4, 4), 4, 4, 8, 8)
    assert new.shape == (1, 65, 2), pytest.say(
        f"8 × 8 patches and CLS need (1, 65, 2), not {tuple(new.shape)}.",
        f"8 × 8 个图块加 CLS，形状应为 (1, 65, 2)，而不是 {tuple(new.shape)}。",
    )
    assert (
        torch.equal(new[0, 0], torch.tensor([100.0, 100.0])) and new[0, 1:].max() < 50
    ), pytest.say(
        "CLS has no place in the plane: set its vector aside, interpolate the "
        "others, and put it in front again.",
        "CLS 在平面上没有位置：先把它的向量放到一边，其余的插值，再把它放回最前面。",
    )


def test_neighbours_in_both_directions(answer):
    new = answer.resize(ramp(4, 4), 4, 4, 8, 8)[0, 1:].view(8, 8, 2)
    row, column = new[..., 0], new[..., 1]
    level = (row[2:6, 2:6].std(1).max() < 1e-4) and (
        column[2:6, 2:6].std(0).max() < 1e-4
    )
    assert level, pytest.say(
        "In the new grid, all patches of a row shall have the same row coordinate: "
        "unflatten into (rows, columns) before you interpolate.",
        "新网格里同一行的图块，行坐标应当相同：插值之前先还原成（行，列）。",
    )


def test_rows_are_rows(answer):
    new = answer.resize(ramp(2, 6), 2, 6, 2, 12)[0, 1:].view(2, 12, 2)
    rows, columns = new[..., 0], new[..., 1]
    right = torch.allclose(rows, torch.tensor([[0.0], [1.0]]), atol=1e-4)
    assert right and columns[:, 2:-2].diff().min() > 0.2, pytest.say(
        "From 2 × 6 to 2 × 12 only columns are interpolated; are rows and columns "
        "exchanged?",
        "从 2 × 6 到 2 × 12，只该在列的方向插值；行和列是不是弄反了？",
    )


def test_it_is_bicubic(answer):
    torch.manual_seed(0)
    positions = torch.randn(1, 17, 8)
    new = answer.resize(positions, 4, 4, 6, 6)
    assert torch.allclose(new, resized(positions, (6, 6)), atol=1e-5), pytest.say(
        "Transformers interpolates with mode='bicubic', align_corners=False.",
        "Transformers 用的是 mode='bicubic'、align_corners=False。",
    )
