import pytest

SCORES, RIGHT = [-4.0, -2.0, -1.0, 3.0], [True, False, True, False]


def test_cost_counts_refusals_and_wrong_answers(answer):
    assert answer.cost(SCORES, RIGHT, -5.0) == 1.0, pytest.say(
        f"Below all scores every question is refused, at 1 each; got {answer.cost(SCORES, RIGHT, -5.0)}.",
        f"阈值低于所有得分时，每个问题都拒答，各花 1；得到的是 {answer.cost(SCORES, RIGHT, -5.0)}。",
    )
    assert answer.cost(SCORES, RIGHT, 9.0) == 2.5, pytest.say(
        f"Above all scores every question is answered: two wrong at 5 in 4 make 2.5; got {answer.cost(SCORES, RIGHT, 9.0)}.",
        f"阈值高于所有得分时，每个问题都作答：4 题错 2 题，每题 5，平均 2.5；得到的是 {answer.cost(SCORES, RIGHT, 9.0)}。",
    )
    assert answer.cost(SCORES, RIGHT, -4.0) == 0.75, pytest.say(
        f"A score equal to the threshold is answered: one right answer and three refusals make 0.75; got "
        f"{answer.cost(SCORES, RIGHT, -4.0)}.",
        f"得分等于阈值时作答：一题答对、三题拒答，平均 0.75；得到的是 {answer.cost(SCORES, RIGHT, -4.0)}。",
    )


def test_threshold_follows_the_cost(answer):
    assert answer.best_threshold(SCORES, RIGHT) == -4.0, pytest.say(
        "With wrong answers at 5, the best threshold lets only the surest question through.",
        "答错代价为 5 时，最好的阈值只放行最有把握的那一题。",
    )
    assert answer.best_threshold(SCORES, RIGHT, wrong=1.1) == -1.0, pytest.say(
        "With wrong answers at 1.1, it pays to answer the first three as well: the costs are arguments, use them.",
        "答错代价为 1.1 时，前三题都作答更划算：两种代价是参数，要用上。",
    )
