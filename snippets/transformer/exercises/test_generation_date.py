import pytest

THEN = {256: {}}


def writes(state, text):
    for byte in text.encode():
        if byte not in state:
            return False
        state = state[byte]
    return state is THEN


def test_a_date_is_written_in_quotes(answer):
    assert writes(answer.date(THEN), '"2025-11-30"'), pytest.say(
        'The automaton cannot write "2025-11-30" and come to what follows.',
        '自动机写不出 "2025-11-30"，或者写完到不了后面的状态。',
    )


def test_months_that_do_not_exist_are_not_written(answer):
    state = answer.date(THEN)
    for month in ("00", "13", "20", "99"):
        assert not writes(state, f'"2025-{month}-01"'), pytest.say(
            f"There is no month {month}.", f"没有 {month} 月。"
        )


def test_days_that_do_not_exist_are_not_written(answer):
    state = answer.date(THEN)
    for day in ("01-00", "02-30", "04-31", "12-32"):
        assert not writes(state, f'"2025-{day}"'), pytest.say(
            f"There is no day {day}.", f"没有 {day} 这一天。"
        )


def test_days_that_exist_are_written(answer):
    state = answer.date(THEN)
    for day in ("01-31", "02-29", "04-30", "10-10", "12-31"):
        assert writes(state, f'"0000-{day}"'), pytest.say(
            f"The day {day} exists and cannot be written.",
            f"{day} 这一天存在，却写不出来。",
        )
