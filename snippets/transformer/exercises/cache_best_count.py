"""How many guesses should a draft make? A guess is kept with probability `kept`, one
after another. A pass over `k` tokens takes `check(k)` times a step of the model, a
guess `draft` times. Return the count from 0 to `most` with which decoding is fastest,
and its speed against no draft.

草稿一次猜几个最合算？猜测一个接一个地判，每个被留下的概率是 `kept`。一次读 `k` 个词元，
花模型一步的 `check(k)` 倍时间；猜一个词元，花 `draft` 倍。返回 0 到 `most` 之间解码最快
的个数，以及相对于不用草稿的速度。
"""


def best_count(kept: float, check, draft: float, most: int = 16) -> tuple[int, float]:
    # TODO: tokens that a pass gives on average, over what it costs
    speeds = [1 + kept * count for count in range(most + 1)]
    best = max(range(most + 1), key=speeds.__getitem__)
    return best, speeds[best]
