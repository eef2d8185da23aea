import torch


def decide(p: torch.Tensor, false_alarm: float, miss: float, ask: float) -> list[str]:
    # ask where ask / miss <= p <= 1 - ask / false_alarm
    names = ("act", "leave", "ask")
    act = (1 - p) * false_alarm  # in vain, with probability 1 - p
    leave = p * miss
    costs = torch.stack([act, leave, torch.full_like(p, ask)])  # (choice, text)
    return [names[choice] for choice in costs.argmin(0).tolist()]
