"""The training of the diffusion: dropped captions, the average, and a killed run that goes on."""

from pathlib import Path

import pytest
import torch

from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
from llm_tutorial.diffusion.latent import Denoiser, Example, examples, latent_loss, noise_scheduler, u_net
from llm_tutorial.diffusion.schedule import Schedule, make_schedule, zero_terminal_snr
from llm_tutorial.training import fit

TOKENIZER = caption_tokenizer(["a red heart", "红心"], max_length=6)
IDS = token_ids(TOKENIZER, ["a red heart", "红心"])
[EMPTY] = token_ids(TOKENIZER, [""])


def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(u_net((16, 16), text_width=16, side=4, groups=8), text_encoder(TOKENIZER, 16, layers=1))


def batch_at(step: int) -> list[Example]:
    return examples(torch.randn(2, 8, 4, 4), IDS, EMPTY, steps=1000)


def train(model: Denoiser, state: Path | None = None, stop: int | None = None) -> list[float]:
    def batch(step: int) -> list[Example]:
        if step == stop:
            raise KeyboardInterrupt
        return batch_at(step)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = latent_loss(Schedule(noise_scheduler().betas))
    return fit(model, batch, optimizer, 6, state=state, save_every=2, loss_of=loss_of, count=len)


def test_a_killed_training_goes_on_to_the_same_losses_and_the_same_average(tmp_path: Path) -> None:
    whole = denoiser()
    losses = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(denoiser(), tmp_path, stop=5)
    resumed = denoiser()
    assert train(resumed, tmp_path) == pytest.approx(losses, rel=1e-5)
    whole.take_average()
    resumed.take_average()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_average_lags_behind_and_evaluation_leaves_it_alone() -> None:
    model = denoiser()
    before = model.unet.conv_in.weight.detach().clone()
    train(model)
    after = model.unet.conv_in.weight.detach().clone()
    model(torch.zeros(1, 8, 4, 4), torch.tensor([0]), IDS[:1])  # in evaluation: nothing moves
    assert int(model.moved) == 6
    model.take_average()
    assert 0 < (model.unet.conv_in.weight - before).norm() < (after - before).norm()


def test_captions_are_dropped_as_often_as_asked_for() -> None:
    torch.manual_seed(0)
    drawn = examples(torch.zeros(2000, 1, 1, 1), IDS[:1].expand(2000, -1), EMPTY, 1000, dropped=0.12)
    share = sum(bool((example.ids == EMPTY).all()) for example in drawn) / 2000
    assert share == pytest.approx(0.12, abs=0.03)
    timesteps = torch.stack([example.timestep for example in drawn])
    assert timesteps.min() < 20
    assert 980 < timesteps.max() < 1000


def test_the_schedule_is_ours_with_zero_terminal_snr() -> None:
    ours = zero_terminal_snr(make_schedule())
    assert torch.allclose(ours.alphas_cumprod.float(), noise_scheduler().alphas_cumprod, atol=1e-4)


def test_the_loss_of_examples_is_the_sum_of_their_own() -> None:
    torch.manual_seed(0)
    model, batch = denoiser(), batch_at(0)
    loss_of = latent_loss(Schedule(noise_scheduler().betas))
    assert torch.allclose(loss_of(model, batch, "cpu"), sum(loss_of(model, [each], "cpu") for each in batch), rtol=1e-4)
