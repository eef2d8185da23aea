import random
from collections.abc import Callable


def ask(
    send: Callable[[], tuple[int, dict[str, str]]],
    sleep: Callable[[float], None],
    tries: int = 5,
) -> int:
    for attempt in range(tries):
        status, headers = send()
        if status not in (429, 503) or attempt == tries - 1:
            return status
        pause = float(headers.get("Retry-After", 2**attempt))
        sleep(pause * random.uniform(1, 1.5))
    return status
