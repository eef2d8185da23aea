import pytest
import torch


def test_a_person_is_asked_in_the_middle(answer):
    p = torch.tensor([0.01, 0.05, 0.5, 0.9, 0.99])
    found = answer.decide(p, false_alarm=4, miss=10, ask=1)
    expected = ["leave", "leave", "ask", "act", "act"]
    assert list(found) == expected, pytest.say(
        f"At p = 0.5 acting costs 2 on average, leaving 5, asking 1; p = {p.tolist()} "
        f"give {expected}, yours {list(found)}.",
        f"p = 0.5 时，处理的期望代价是 2，放过是 5，交给人是 1；p = {p.tolist()} 应得 "
        f"{expected}，你的是 {list(found)}。",
    )


def test_nobody_is_asked_at_a_high_price(answer):
    p = torch.tensor([0.2, 0.28, 0.3, 0.9])
    found = answer.decide(p, false_alarm=4, miss=10, ask=3)
    assert list(found) == ["leave", "leave", "act", "act"], pytest.say(
        "Asking for 3 is never the cheapest: even at p = 4/14 the other two cost 2.86.",
        "交给人要花 3，永远不划算：即使在 p = 4/14 处，另外两种也只要 2.86。",
    )


def test_costs_decide_and_not_one_half(answer):
    found = answer.decide(torch.tensor([0.15, 0.95]), false_alarm=1, miss=9, ask=0.5)
    assert list(found) == ["ask", "act"], pytest.say(
        f"p = 0.15: acting costs 0.85, leaving 1.35, asking 0.5; you gave {found[0]}. "
        "Acting is in vain with probability 1 - p.",
        f"p = 0.15：处理要 0.85，放过要 1.35，交给人要 0.5；你给的是 {found[0]}。"
        "白处理一场的概率是 1 - p。",
    )
