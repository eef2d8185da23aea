import pytest
import torch

REWARDS = torch.tensor([-1.0, -1.0, -1.0, 19.0])
CONFIRMED = torch.tensor([0.0, 1.0, 3.0, 4.0])


def test_progress_is_paid_when_it_happens(answer):
    found = answer.shaped(REWARDS, CONFIRMED)
    assert found[:3].tolist() == [2, 5, 2], pytest.say(
        f"Slots confirmed before each turn: 0, 1, 3, 4; each turn costs 1. The first "
        f"three turns are then worth 2, 5, 2, not {found[:3].tolist()}: a turn is paid "
        "for what is confirmed after it, less what was before.",
        f"各轮之前已确认的槽位数是 0、1、3、4，每轮扣 1。前三轮应当值 2、5、2，而不是 "
        f"{found[:3].tolist()}：一轮的奖励按它之后确认的减去之前确认的来付。",
    )


def test_the_whole_dialogue_is_paid_as_before(answer):
    total = answer.shaped(REWARDS, CONFIRMED).sum()
    assert total == REWARDS.sum(), pytest.say(
        f"The sum over the dialogue was {REWARDS.sum():.0f} and is now {total:.0f}. "
        "Differences of a potential cancel if it is 0 at the start and after the end.",
        f"整段对话的奖励之和原来是 {REWARDS.sum():.0f}，现在是 {total:.0f}。"
        "势函数在开头和结束之后都为 0，它的变化加起来才会抵消。",
    )
