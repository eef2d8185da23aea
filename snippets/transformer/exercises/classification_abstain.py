"""Acting is now automatic (an apology with a voucher). Besides acting and leaving alone
there is a third choice: ask a person, who is always right and costs the same for every
text. Choose, for each probability, what is cheapest on average.

这里的「处理」是自动的：发一封道歉信，附上优惠券。除了处理和放过，还可以交给人来看；
人总能看对，每条文本的花费都一样。请为每个概率选出期望代价最小的做法。
"""

import torch


def decide(p: torch.Tensor, false_alarm: float, miss: float, ask: float) -> list[str]:
    # p: probability that something is the matter, (texts,)
    # TODO: "ask" where that is cheaper than both other choices
    threshold = false_alarm / (false_alarm + miss)
    return ["act" if each >= threshold else "leave" for each in p.tolist()]
