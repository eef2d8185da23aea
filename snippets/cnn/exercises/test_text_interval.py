import numpy as np
import pytest


def answers():
    draw = np.random.default_rng(1)
    theirs = draw.random(1000) < 0.8
    return np.where(draw.random(1000) < 0.04, ~theirs, theirs), theirs


def test_pairs_stay_together(answer):
    ours, theirs = answers()
    low, high = answer.interval(ours, theirs, np.random.default_rng(0))
    width, wanted = high - low, 3.92 * (ours.astype(float) - theirs).std() / 1000**0.5
    assert abs(width / wanted - 1) < 0.2, pytest.say(
        f"Your interval is {100 * width:.1f} points wide, {100 * wanted:.1f} were "
        "expected: both answer nearly alike, so draw reviews, each with both answers.",
        f"你的区间宽 {100 * width:.1f} 个百分点，应为 {100 * wanted:.1f} 左右："
        "两个分类器的答案大多相同，抽的应当是评论，连同两个答案一起抽。",
    )


def test_the_sign_says_who_is_ahead(answer):
    ours = np.ones(500, bool)
    theirs = np.arange(500) % 5 > 0
    low, high = answer.interval(ours, theirs, np.random.default_rng(0))
    assert 0.1 < low < 0.2 < high < 0.3, pytest.say(
        f"Ours is ahead by 20 points; you gave {low:.2f} to {high:.2f}.",
        f"我们领先 20 个百分点；你给出 {low:.2f} 到 {high:.2f}。",
    )
