import pytest

CASES = [((-2.0, 4), (-3.0, 8)), ((-5.0, 3), (-6.0, 12)), ((-1.0, 2), (-9.0, 4))]


def score(translation, penalty):
    log_p, tokens = translation
    return log_p / tokens**penalty


@pytest.mark.parametrize(("shorter", "longer"), CASES)
def test_both_are_equal_there_and_the_order_turns(answer, shorter, longer):
    turn = answer.overtakes(shorter, longer)
    below, above = turn - 0.01, turn + 0.01
    assert score(longer, below) < score(shorter, below), pytest.say(
        f"{shorter} against {longer}: just below {turn:.2f} the shorter one should "
        "still be first. Set the two scores equal and solve for the penalty.",
        f"{shorter} 对 {longer}：惩罚略小于 {turn:.2f} 时，短的应当还在前面。"
        "令两个得分相等，解出惩罚。",
    )
    assert score(longer, above) > score(shorter, above), pytest.say(
        f"{shorter} against {longer}: just above {turn:.2f} the longer one should be "
        "first. The log-probabilities are negative: mind which ratio you take.",
        f"{shorter} 对 {longer}：惩罚略大于 {turn:.2f} 时，长的应当排到前面。"
        "对数概率是负的：留意是谁比谁。",
    )


def test_equally_likely(answer):
    turn = answer.overtakes((-3.0, 4), (-3.0, 8))
    assert abs(turn) < 1e-9, pytest.say(
        f"Equally likely, they tie without any penalty, at 0; you say {turn:.2f}.",
        f"概率相同，没有惩罚（0）时就打平；你给出 {turn:.2f}。",
    )
