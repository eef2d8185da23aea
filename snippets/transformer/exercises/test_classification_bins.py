import pytest
import torch

P = torch.tensor([0.95, 0.55, 0.97, 0.99, 0.6, 0.98], dtype=torch.double)
RIGHT = torch.tensor([1, 0, 1, 0, 1, 1])


def test_every_bin_has_as_many_texts(answer):
    # sorted: .55 no, .6 yes | .95 yes, .97 yes | .98 yes, .99 no
    expected = (abs(0.575 - 0.5) + abs(0.96 - 1) + abs(0.985 - 0.5)) / 3
    found = answer.calibration_error(P, RIGHT, 3)
    assert found == pytest.approx(expected), pytest.say(
        f"Six texts in 3 bins make two a bin and an error of {expected:.4f}; "
        f"yours is {found:.4f}. Sort by confidence before you cut.",
        f"六条文本分 3 个区间，每个两条，误差是 {expected:.4f}；你的是 {found:.4f}。"
        "先按置信度排序，再切。",
    )


def test_sizes_differ_by_one_at_most(answer):
    found = answer.calibration_error(P[:5], RIGHT[:5], 2)
    # .55 no, .6 yes, .95 yes | .97 yes, .99 no
    expected = 3 / 5 * abs(2.1 / 3 - 2 / 3) + 2 / 5 * abs(0.98 - 0.5)
    other = 2 / 5 * abs(0.575 - 0.5) + 3 / 5 * abs(2.91 / 3 - 2 / 3)
    assert min(abs(found - expected), abs(found - other)) < 1e-9, pytest.say(
        f"Five texts in 2 bins: three and two, each bin weighted by its share of the "
        f"texts, make {expected:.4f}; yours is {found:.4f}.",
        "五条文本分 2 个区间，一个三条、一个两条，各按所占比例加权，"
        f"得 {expected:.4f}；"
        f"你的是 {found:.4f}。",
    )


def test_one_bin_compares_the_means(answer):
    found = answer.calibration_error(P, RIGHT, 1)
    assert found == pytest.approx(abs(float(P.mean()) - 4 / 6)), pytest.say(
        "With one bin the error is mean confidence against accuracy.",
        "只有一个区间时，误差就是平均置信度与正确率之差。",
    )
