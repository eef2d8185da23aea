import pytest
import torch

BELIEFS = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.8, 0.0]])


def exact(yes):  # from the joint belief, (values of one slot, values of the other)
    joint = BELIEFS[0][:, None] * BELIEFS[1]
    likelihood = torch.full_like(joint, 0.1 if yes else 0.9)
    likelihood[0, 1] = 0.9 if yes else 0.1
    joint = likelihood * joint / (likelihood * joint).sum()
    return torch.stack([joint.sum(1), joint.sum(0)])


@pytest.mark.parametrize("yes", [False, True])
def test_the_beliefs_are_those_of_the_joint(answer, yes):
    found, wanted = answer.after_summary(BELIEFS, yes, 0.1), exact(yes)
    word, wort = ("yes", "「对」") if yes else ("no", "「不对」")
    assert torch.allclose(found, wanted, atol=1e-4), pytest.say(
        f"After a {word}, the likeliest value of the first slot has "
        f"{found[0, 0]:.3f}; by the joint belief of both it is {wanted[0, 0]:.3f}. "
        "If this slot is right, the answer still depends on the others: they are right "
        "with the product of their largest beliefs.",
        f"听到{wort}之后，第一个槽位最可能的值得 {found[0, 0]:.3f}；"
        f"按两个槽位的联合信念应为 {wanted[0, 0]:.3f}。"
        "这个槽位即使对，回答还取决于其余的槽位：它们都对的概率是各自最大信念的乘积。",
    )


def test_each_belief_sums_to_one(answer):
    total = answer.after_summary(BELIEFS, False, 0.1).sum(1)
    assert torch.allclose(total, torch.ones(2), atol=1e-5), pytest.say(
        f"The beliefs sum to {total.tolist()}; each has to sum to 1.",
        f"各信念之和是 {total.tolist()}；每个都应当是 1。",
    )
