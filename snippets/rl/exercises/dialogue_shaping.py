"""A bonus for each confirmed slot is collected again and again. Pay the *change* of a
potential instead: 3 for each slot that is confirmed now, less 3 for each that was
before; and after the end the potential is 0. Add it to the rewards of one dialogue.

每确认一个槽位就付一份奖励，会被一遍遍地领取。请改付势函数的变化：现在每有一个已确认的
槽位记 3，减去之前每个已确认的槽位记的 3；结束之后势函数为 0。把它加到一段对话的奖励上。
"""

import torch


def shaped(
    rewards: torch.Tensor, confirmed: torch.Tensor, bonus: float = 3.0
) -> torch.Tensor:  # (turns,), slots confirmed before each turn (turns,) -> (turns,)
    # TODO: what is the potential after the last turn?
    return rewards + bonus * confirmed
