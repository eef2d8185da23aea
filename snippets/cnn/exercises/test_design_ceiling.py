import pytest


def test_holes_are_left_out(answer):
    found = answer.distances([4, 4])
    assert found == [0, 4, 8], pytest.say(
        f"Two layers of dilation 4 read at the distances 0, 4 and 8; you gave {found}.",
        f"两层扩张率 4 的卷积读到距离 0、4、8；你给出 {found}。",
    )


def test_mixed_dilations_leave_no_hole(answer):
    found = answer.distances([1, 2, 4])
    assert found == list(range(8)), pytest.say(
        f"Dilations 1, 2, 4 read every distance from 0 to 7; you gave {found}.",
        f"扩张率 1、2、4 读到 0 到 7 的每个距离；你给出 {found}。",
    )


def test_one_place_alone(answer):
    found = answer.ceiling([0], 0.2)
    assert found == pytest.approx(0.6), pytest.say(
        "Only the place itself is seen. It has a pulse with probability 0.2, else one "
        f"guesses: 0.2 + 0.8 / 2 = 0.6. You gave {found:g}.",
        "只看到这个位置自己：以概率 0.2 有脉冲，否则只好猜：0.2 + 0.8 / 2 = 0.6。"
        f"你给出 {found:g}。",
    )


def test_a_pulse_in_a_hole_may_be_later(answer):
    found = answer.ceiling([0, 4], 0.2)
    wanted = 0.5 + 0.5 * 0.2 * (1 + 0.8**4)
    assert found == pytest.approx(wanted), pytest.say(
        "A pulse seen at distance 4 decides only if the places 1 to 3, unseen, hold "
        f"none: expected {wanted:.3f}, you gave {found:.3f}.",
        "距离 4 处看到的脉冲，只有看不见的 1 到 3 处都没有脉冲时才说了算："
        f"应为 {wanted:.3f}，你给出 {found:.3f}。",
    )
