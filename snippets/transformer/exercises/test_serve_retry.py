import pytest


def attempts(answer, *answers, tries=5):
    """Statuses are given one after another; returns what came of it and the pauses."""
    left, pauses = list(answers), []

    def send():
        assert left, pytest.say(
            f"You asked more often than {len(answers)} times.",
            f"你问了不止 {len(answers)} 次。",
        )
        return left.pop(0)

    return answer.ask(send, pauses.append, tries), pauses, left


def test_success_is_returned_at_once(answer):
    status, pauses, _ = attempts(answer, (200, {}))
    assert (status, pauses) == (200, []), pytest.say(
        f"A 200 gave {status} and pauses {pauses}.",
        f"得到 200 时，你返回 {status}，停顿 {pauses}。",
    )


def test_a_wrong_request_is_not_repeated(answer):
    status, pauses, _ = attempts(answer, (422, {}), (200, {}))
    assert status == 422 and not pauses, pytest.say(
        f"After 422 you returned {status}, pauses {pauses}: "
        "the same request stays wrong.",
        f"422 之后你返回 {status}，停顿 {pauses}：同样的请求再发还是错。",
    )


def test_retry_after_is_obeyed(answer):
    _, pauses, _ = attempts(answer, (429, {"Retry-After": "7"}), (200, {}))
    assert len(pauses) == 1 and 7 <= pauses[0] <= 10.5, pytest.say(
        f"Retry-After says 7 s; your pauses: {pauses}.",
        f"Retry-After 写的是 7 秒；你的停顿是 {pauses}。",
    )


def test_without_it_the_pause_doubles(answer):
    _, pauses, _ = attempts(answer, (503, {}), (429, {}), (503, {}), (200, {}))
    expected = (1, 2, 4)
    right = len(pauses) == 3 and all(
        low <= pause <= 1.5 * low for low, pause in zip(expected, pauses, strict=True)
    )
    assert right, pytest.say(
        f"Three refusals in a row: pauses from 1, 2, 4 s on; yours: {pauses}.",
        f"连续三次被拒：停顿应当从 1、2、4 秒起；你的是 {pauses}。",
    )


def test_clients_do_not_come_back_together(answer):
    pauses = [attempts(answer, (429, {}), (200, {}))[1][0] for _ in range(20)]
    assert len(set(pauses)) > 10, pytest.say(
        "Twenty clients, refused at once, come back after the same pause: add chance.",
        "二十个同时被拒的客户端，停顿全都一样，又会一起回来：加一点随机。",
    )


def test_it_gives_up_in_the_end_without_a_last_pause(answer):
    status, pauses, _ = attempts(answer, *[(429, {})] * 3, tries=3)
    assert status == 429 and len(pauses) == 2, pytest.say(
        f"After three refusals of three tries: status {status}, {len(pauses)} pauses; "
        "nothing follows the last try, so two.",
        f"三次都被拒：状态 {status}，停了 {len(pauses)} 次；"
        "最后一次之后不必再停，应为两次。",
    )
