"""A third choice: besides acting and leaving alone, ask a person, who is always right
and costs the same for every text. Choose, for each probability, what is cheapest on
average.

第三种选择：除了处理和放过，还可以交给人来看。人总能看对，每条文本的花费都一样。
请为每个概率选出期望代价最小的做法。
"""

import torch


def decide(p: torch.Tensor, false_alarm: float, miss: float, ask: float) -> list[str]:
    # p: probability that something is the matter, (texts,)
    # TODO: "ask" where that is cheaper than both other choices
    threshold = false_alarm / (false_alarm + miss)
    return ["act" if each >= threshold else "leave" for each in p.tolist()]
