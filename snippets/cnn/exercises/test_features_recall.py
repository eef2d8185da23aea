import pytest
import torch

POINTS = torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.2, 1.0], [0.0, 1.0]])


def test_a_picture_does_not_find_itself(answer):
    got = answer.recall(POINTS, torch.tensor([0, 1, 0, 1]), k=1)
    assert got == 0, pytest.say(
        f"nobody's nearest neighbour is of its kind, yet recall is {got:.2f}: a "
        "picture finds itself.",
        f"没有谁的最近邻是同类，召回率却是 {got:.2f}：图片找到了自己。",
    )


def test_neighbours_of_a_kind(answer):
    got = answer.recall(POINTS, torch.tensor([0, 0, 1, 1]), k=1)
    assert got == 1, pytest.say(
        f"all nearest neighbours are of one kind, yet recall is {got:.2f}.",
        f"最近邻全是同类，召回率却是 {got:.2f}。",
    )


def test_a_kind_of_one_does_not_ask(answer):
    got = answer.recall(POINTS, torch.tensor([0, 0, 1, 2]), k=1)
    assert got == 1, pytest.say(
        f"two pictures have no other of their kind; among the rest recall is 1, not "
        f"{got:.2f}: leave them out.",
        f"有两张图片没有同类；其余图片的召回率是 1，不是 {got:.2f}：要把它们去掉。",
    )


def test_length_does_not_matter(answer):
    torch.manual_seed(0)
    x, kinds = torch.randn(40, 6), torch.arange(40) % 5
    scaled = x * torch.rand(40, 1).add(0.1)
    one, other = answer.recall(x, kinds, 3), answer.recall(scaled, kinds, 3)
    assert one == other, pytest.say(
        f"longer vectors changed recall from {one:.2f} to {other:.2f}: take the "
        "cosine.",
        f"向量长度变了，召回率从 {one:.2f} 变成 {other:.2f}：要用余弦。",
    )
