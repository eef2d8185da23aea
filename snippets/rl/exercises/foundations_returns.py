"""Several trajectories stand in one row, one after another. Compute the return to go of
every step, in one pass backwards: nothing may flow over an end.

几条轨迹首尾相接，排成一行。请从后往前走一遍，算出每一步的未来回报：不能越过任何一条轨迹的结尾。
"""

import torch


def returns_to_go(
    rewards: torch.Tensor, ended: torch.Tensor, gamma: float
) -> torch.Tensor:  # (steps,), (steps,) -> (steps,)
    returns, later = torch.empty_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        # TODO: where a trajectory ended with step t, nothing follows
        later = rewards[t] + gamma * later
        returns[t] = later
    return returns
