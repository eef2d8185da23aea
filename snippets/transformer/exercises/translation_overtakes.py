"""Two finished translations with their log-probabilities and lengths, the shorter one
first. From which length penalty on is the longer one ranked first?

两个写完的译文，已知各自的对数概率和长度，短的在前。
长度惩罚从多大起，长的那个排到前面？
"""


def overtakes(shorter: tuple[float, int], longer: tuple[float, int]) -> float:
    # each: log-probability (negative), tokens (end included)
    # TODO: the penalty at which log p / tokens ** penalty is equal for both
    return 1.0
