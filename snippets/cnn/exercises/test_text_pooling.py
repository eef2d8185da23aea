import pytest
import torch


def test_padding_never_decides(answer):
    y = torch.full((1, 1, 5), -1.0)
    y[..., 3:] = 9.0  # places that reach into the padding of a text of 4 tokens
    found = answer.max_over_text(y, torch.tensor([4]), 2)
    assert found.item() == -1.0, pytest.say(
        "A text of 4 tokens has 3 places for a filter of 2; all of them say -1, the "
        f"places behind say 9. You gave {found.item():g}.",
        "4 个词元的文本，跨 2 个词元的卷积核有 3 个位置，都是 -1，后面的位置是 9。"
        f"你给出 {found.item():g}。",
    )


def test_the_last_place_of_the_text_counts(answer):
    y = torch.zeros(1, 1, 5)
    y[..., 2] = 7.0
    found = answer.max_over_text(y, torch.tensor([4]), 2)
    assert found.item() == 7.0, pytest.say(
        "Place 2 holds tokens 2 and 3, the last of a text of 4, and says 7: it counts.",
        "位置 2 盖着词元 2 和 3，是 4 个词元的文本的最后一个位置，值为 7，应当算上。",
    )


def test_every_text_by_itself(answer):
    torch.manual_seed(0)
    y, lengths = torch.randn(6, 3, 9), torch.tensor([3, 11, 5, 8, 4, 10])
    found = answer.max_over_text(y, lengths, 3)
    wanted = torch.stack([y[t, :, : n - 2].amax(-1) for t, n in enumerate(lengths)])
    assert found.shape == wanted.shape and torch.equal(found, wanted), pytest.say(
        "Some text gets another maximum in a batch than alone.",
        "有的文本在一批里得到的最大值与单独处理时不同。",
    )
