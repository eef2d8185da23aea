import pytest


def free(tokens):  # a pass over several tokens takes as long as one over one
    return 1.0


def dear(tokens):  # each further token costs half a step
    return 1 + 0.5 * (tokens - 1)


def test_a_draft_that_is_never_right_is_not_used(answer):
    count, speed = answer.best_count(0.0, dear, 0.1)
    assert (count, speed) == (0, 1), pytest.say(
        f"Nothing is kept: best without guesses, at speed 1; yours: {count}, {speed}.",
        f"一个也留不下：不猜最好，速度为 1；你的结果是 {count} 个、{speed}。",
    )


def test_tokens_of_a_pass_are_a_geometric_sum(answer):
    count, speed = answer.best_count(0.5, free, 0.0, most=2)
    assert (count, speed) == (2, pytest.approx(1.75)), pytest.say(
        "With 2 guesses, each kept with probability 1/2, a pass gives "
        f"1 + 1/2 + 1/4 = 1.75 tokens, not {speed}: the second counts only after "
        "the first.",
        "两次猜测、各有 1/2 的机会留下时，一次平均得到 1 + 1/2 + 1/4 = 1.75 个词元，"
        f"而不是 {speed}：第一个留下了，才轮到第二个。",
    )


def test_guesses_cost_the_draft_time(answer):
    count, speed = answer.best_count(0.8, free, 0.3)
    assert (count, round(speed, 3)) == (3, 1.554), pytest.say(
        "A guess takes 0.3 steps: best are 3 guesses, 2.952 tokens in 1 + 3 · 0.3 "
        f"steps, so speed 1.554; yours: {count}, {speed:.3f}.",
        "猜一个要 0.3 步：最好是猜 3 个，1 + 3 · 0.3 步得到 2.952 个词元，速度 1.554；"
        f"你的结果是 {count} 个、{speed:.3f}。",
    )


def test_the_check_reads_one_token_more_than_there_are_guesses(answer):
    count, speed = answer.best_count(0.9, dear, 0.0, most=1)
    assert (count, round(speed, 3)) == (1, 1.267), pytest.say(
        "With 1 guess the model reads 2 tokens, the last of the text and the guess: "
        f"1.9 / check(2) = 1.267; yours: {count}, {speed:.3f}.",
        "猜 1 个时，模型要读 2 个词元（文本的最后一个和猜的那个）："
        f"1.9 / check(2) = 1.267；你的结果是 {count} 个、{speed:.3f}。",
    )
