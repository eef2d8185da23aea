import pytest
import torch

from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr

LEFT = make_schedule().alphas_cumprod


def test_the_snr_is_divided_by_the_factor(answer):
    got = answer.shifted(LEFT, 4.0)
    ratio = (LEFT / (1 - LEFT)) / (got / (1 - got))
    first = f"{ratio[0]:.1f}"
    assert torch.allclose(ratio, torch.full_like(ratio, 4.0)), pytest.say(
        f"At the first step the SNR was divided by {first}, at the last by "
        f"{ratio[-1]:.1f}; it should be divided by 4 at every step.",
        f"第一步的信噪比除以了 {first}，最后一步除以了 {ratio[-1]:.1f}；"
        "每一步都应该除以 4。",
    )


def test_a_factor_of_one_changes_nothing(answer):
    assert torch.allclose(answer.shifted(LEFT, 1.0), LEFT), pytest.say(
        "With the factor 1 the schedule stays as it is. Is yours the share of signal, "
        "or the SNR?",
        "倍数为 1 时，调度不变。你返回的是信号的份额，还是信噪比？",
    )


def test_no_signal_stays_no_signal(answer):
    last = answer.shifted(zero_terminal_snr(make_schedule()).alphas_cumprod, 4.0)[-1]
    assert last == 0, pytest.say(
        f"Where no signal is left, an SNR of 0 divided by 4 is 0; yours leaves {last}.",
        f"没有信号的那一步，0 除以 4 还是 0；你的结果留下了 {last}。",
    )
