import pytest

SCORES, RIGHT = [-4.0, -2.0, -1.0, 3.0], [True, False, True, False]


def test_cost_counts_refusals_and_wrong_answers(answer):
    for threshold, right, english, chinese in (
        (
            -5.0,
            1.0,
            "below all scores every question is refused, at 1 each",
            "阈值低于所有得分时，每个问题都拒答，各花 1",
        ),
        (
            9.0,
            2.5,
            "above all scores all are answered: two of four are wrong, at 5 each",
            "阈值高于所有得分时，每个问题都作答：4 题错 2 题，每题 5",
        ),
        (
            -4.0,
            0.75,
            "a score equal to the threshold is answered: one right, three refused",
            "得分等于阈值时作答：一题答对、三题拒答",
        ),
    ):
        found = answer.cost(SCORES, RIGHT, threshold)
        assert found == right, pytest.say(
            f"At the threshold {threshold} the mean cost should be {right}, got "
            f"{found}: {english}.",
            f"阈值为 {threshold} 时平均代价应为 {right}，得到的是 {found}：{chinese}。",
        )


def test_threshold_follows_the_cost(answer):
    assert answer.best_threshold(SCORES, RIGHT) == -4.0, pytest.say(
        "With wrong answers at 5, the best threshold lets the surest question through, "
        "and no other.",
        "答错代价为 5 时，最好的阈值只放行最有把握的那一题。",
    )
    assert answer.best_threshold(SCORES, RIGHT, wrong=1.1) == -1.0, pytest.say(
        "With wrong answers at 1.1, it pays to answer the first three: the costs are "
        "arguments, use them.",
        "答错代价为 1.1 时，前三题都作答更划算：两种代价是参数，要用上。",
    )
