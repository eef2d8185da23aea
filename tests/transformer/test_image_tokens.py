"""Pictures as codes and back: the nearest code, the gradient past it, and how a codebook learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from llm_tutorial.transformer.image_tokens import (
    AveragedQuantizer,
    Recorded,
    VectorQuantizer,
    VQAutoencoder,
    perplexity,
    reconstruction_loss,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 9))
def test_the_nearest_code_is_that_of_cdist(seed, codes, width):
    torch.manual_seed(seed)
    quantizer = VectorQuantizer(codes, width).double()
    nn.init.normal_(quantizer.codebook.weight)
    vectors = torch.randn(3, 5, width, dtype=torch.float64)
    assert quantizer.nearest(vectors).equal(torch.cdist(vectors, quantizer.codebook.weight).argmin(-1))


def test_codes_stand_where_their_vectors_stood():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 3)
    nn.init.normal_(quantizer.codebook.weight)
    latents = torch.randn(2, 3, 4, 5)
    through, codes, _ = quantizer(latents)
    for batch, row, column in ((0, 0, 0), (1, 3, 4), (0, 2, 1)):
        nearest = (latents[batch, :, row, column] - quantizer.codebook.weight).square().sum(1).argmin()
        assert codes[batch, row, column] == nearest
        assert torch.allclose(through[batch, :, row, column], quantizer.codebook.weight[nearest], atol=1e-6)


def test_the_gradient_passes_straight_through():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 3)
    latents = torch.randn(2, 3, 4, 4, requires_grad=True)
    push = torch.randn(2, 3, 4, 4)
    quantizer(latents)[0].backward(push)
    assert latents.grad is not None
    assert latents.grad.equal(push)
    assert quantizer.codebook.weight.grad is None


def test_the_loss_moves_codes_to_vectors_and_vectors_to_codes():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 3, commitment=0.5)
    latents = torch.randn(1, 3, 2, 2, requires_grad=True)
    _, codes, loss = quantizer(latents)
    loss.backward()
    vectors = latents.detach().permute(0, 2, 3, 1).flatten(0, 2)
    gap = vectors - quantizer.codebook.weight.detach()[codes.flatten()]
    assert latents.grad is not None
    assert torch.allclose(latents.grad.permute(0, 2, 3, 1).flatten(0, 2), 0.5 * 2 * gap / gap.numel(), atol=1e-6)
    want = torch.zeros(8, 3).index_add(0, codes.flatten(), -2 * gap / gap.numel())
    assert torch.allclose(quantizer.codebook.weight.grad, want, atol=1e-6)


def test_running_means_follow_their_formula():
    torch.manual_seed(0)
    quantizer = AveragedQuantizer(codes=5, width=2, decay=0.8, restart=0)
    counts, sums = torch.zeros(5), torch.zeros(5, 2)
    for _ in range(7):
        vectors, codes = torch.randn(20, 2), torch.randint(4, (20,))  # code 4 is never chosen
        start = quantizer.codebook.weight[4].clone()
        quantizer.move(vectors, codes)
        counts = 0.8 * counts + 0.2 * torch.bincount(codes, minlength=5)
        sums = 0.8 * sums + 0.2 * torch.zeros(5, 2).index_add(0, codes, vectors)
        assert torch.allclose(quantizer.codebook.weight[:4], (sums / counts[:, None])[:4], atol=1e-5)
        assert quantizer.codebook.weight[4].equal(start)


def test_unused_codes_start_anew_at_vectors():
    torch.manual_seed(0)
    quantizer = AveragedQuantizer(codes=6, width=2)
    vectors = 5 + torch.randn(60, 2)
    quantizer.move(vectors, torch.zeros(60).long())
    distances = torch.cdist(quantizer.codebook.weight, vectors).amin(1)
    assert distances[1:].max() < 1e-4
    assert len(quantizer.codebook.weight.unique(dim=0)) > 3  # drawn one by one, so that two may meet


def test_a_codebook_of_means_moves_in_training_alone():
    torch.manual_seed(0)
    quantizer, latents = AveragedQuantizer(8, 3), torch.randn(1, 3, 4, 4)
    before = quantizer.codebook.weight.clone()
    quantizer.eval()(latents)
    assert quantizer.codebook.weight.equal(before)
    quantizer.train()(latents)
    assert not quantizer.codebook.weight.equal(before)
    assert not list(quantizer.parameters())  # no optimiser moves it, and a saved state has it
    assert "codebook.weight" in dict(quantizer.named_buffers())


def test_perplexity_is_the_exponential_of_the_entropy():
    codes = torch.tensor([0, 0, 0, 1])
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    assert perplexity(codes, 10) == pytest.approx(entropy.exp().item())
    assert perplexity(torch.zeros(9).long(), 10) == pytest.approx(1)
    assert perplexity(torch.arange(10), 10) == pytest.approx(10)


def test_decoding_codes_is_what_the_forward_pass_gives():
    torch.manual_seed(0)
    vq = VQAutoencoder(AveragedQuantizer(32, 4), channels=(8, 16)).eval()
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    made, codes, _ = vq(images)
    assert vq.encode(images).equal(codes.flatten(1))
    assert torch.allclose(vq.decode(vq.encode(images)), made.clamp(-1, 1), atol=1e-5)


def test_the_loss_is_least_for_the_picture_itself():
    def giving(shift):
        return lambda images: (images + shift, torch.zeros(len(images), 64).long(), torch.zeros(()))

    pictures = [torch.rand(3, 32, 32) for _ in range(2)]
    found = [reconstruction_loss(giving(shift), pictures, "cpu").item() for shift in (0.0, 0.05, 0.2)]
    assert found[0] == pytest.approx(2 * 0.1 / 20)
    assert found == sorted(found)


def test_perplexities_of_a_training_are_kept_step_by_step():
    torch.manual_seed(0)
    recorded = Recorded(VQAutoencoder(VectorQuantizer(16, 4), channels=(8, 16)), steps=2)
    for _ in range(2):
        recorded(torch.rand(2, 3, 32, 32))
    recorded.eval()(torch.rand(2, 3, 32, 32))  # not a step
    assert recorded.step == 2
    assert (recorded.perplexities >= 1).all()
