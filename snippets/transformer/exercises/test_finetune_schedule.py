import pytest
import torch
from transformers import get_cosine_schedule_with_warmup


def library(warmup, steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    shares = []
    for _ in range(steps):
        shares.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return shares


def test_it_warms_up(answer):
    shares = [answer.share(step, 4, 20) for step in range(5)]
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1]), pytest.say(
        f"Over 4 steps of warm-up: 0, 0.25, 0.5, 0.75, 1; yours {shares}.",
        f"4 步预热，依次应为 0、0.25、0.5、0.75、1；你的是 {shares}。",
    )


def test_without_warm_up_it_starts_at_the_top(answer):
    first = answer.share(0, 0, 20)
    assert first == pytest.approx(1), pytest.say(
        f"With warmup=0 step 0 has the full rate, not {first}.",
        f"warmup=0 时，第 0 步就用最高学习率，而不是 {first}。",
    )


@pytest.mark.parametrize(("warmup", "steps"), [(4, 20), (0, 7), (10, 100)])
def test_it_is_the_librarys(answer, warmup, steps):
    ours = [answer.share(step, warmup, steps) for step in range(steps)]
    theirs = library(warmup, steps)
    place = max(range(steps), key=lambda step: abs(ours[step] - theirs[step]))
    assert ours == pytest.approx(theirs, abs=1e-9), pytest.say(
        f"warmup={warmup}, steps={steps}: at step {place} the library has "
        f"{theirs[place]:.3f}, you {ours[place]:.3f}: "
        "the cosine runs from the end of the warm-up to the last step.",
        f"warmup={warmup}、steps={steps}：第 {place} 步库给出 {theirs[place]:.3f}，"
        f"你给出 {ours[place]:.3f}：余弦从预热结束处开始，到最后一步为止。",
    )
