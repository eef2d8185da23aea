"""A client that meets 429 should come again, but not at once, and not all together.
Write one: it obeys Retry-After, and where there is none it doubles its pause.

遇到 429 的客户端应当再来，但不能马上来，也不能大家一起来。
写一个这样的客户端：有 Retry-After 就照办，没有就把间隔加倍。
"""

import random
from collections.abc import Callable


def ask(
    send: Callable[[], tuple[int, dict[str, str]]],
    sleep: Callable[[float], None],
    tries: int = 5,
) -> int:
    # send() returns the status and the headers of one attempt
    # 429 and 503: wait, then try again, at most `tries` times in all
    # the pause: Retry-After, or else 1, 2, 4, … s; times random.uniform(1, 1.5)
    # (Retry-After may be a date, too; here it is always seconds)
    # everything else is returned at once: a wrong request stays wrong
    for attempt in range(tries):
        status, headers = send()
        if status == 200 or attempt == tries - 1:
            return status
        pause = float(headers.get("Retry-After", 1))
        sleep(pause * random.uniform(1, 1.5))
        # TODO: what comes back at once, and what doubles?
