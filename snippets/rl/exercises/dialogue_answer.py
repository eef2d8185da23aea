"""The system asks "Is it this value?" and hears yes or no. Yes and no are swapped with
probability `swapped`. Give the belief after the answer, by Bayes' rule.

系统问「是这个值吗？」，听到「是」或「不是」。「是」和「不是」以概率 `swapped` 被听反。
请用贝叶斯公式给出听到回答之后的信念。
"""

import torch


def after_answer(
    belief: torch.Tensor, asked: int, yes: bool, swapped: float
) -> torch.Tensor:  # (values,), which value was asked for -> (values,)
    # TODO: how likely is this answer if the value is right, and if it is wrong?
    return belief
