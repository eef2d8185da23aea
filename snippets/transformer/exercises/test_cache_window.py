import pytest
import torch

from llm_tutorial.transformer.block import BlockConfig, Transformer

WINDOW, TOKENS = 3, 8


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    config = BlockConfig(
        20, 16, 2, 4, 2, 32, causal=True, norm_first=True, rms=True, rotary=True
    )
    model = Transformer(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def whole(model, ids):  # one pass, with the window as a mask
    n = ids.shape[1]
    mask = torch.ones(n, n, dtype=torch.bool).tril().triu(1 - WINDOW)[None, None]
    x, places = model.tokens(ids), torch.arange(n)[None]
    for block in model.blocks:
        x = block(x, mask, places)
    return model.last_norm(x)


def stepwise(answer, model, ids):
    cache = answer.WindowCache(len(model.blocks), WINDOW)
    steps = [answer.step(model, ids[:, i : i + 1], cache) for i in range(ids.shape[1])]
    return torch.cat(steps, 1), cache


@torch.no_grad()
def test_no_more_than_the_window_is_kept(answer, decoder):
    _, cache = stepwise(answer, decoder, torch.arange(TOKENS)[None])
    kept = cache.keys[0].shape[2]
    assert kept <= WINDOW, pytest.say(
        f"After {TOKENS} tokens the cache holds {kept}; the window is {WINDOW}.",
        f"读过 {TOKENS} 个词元之后，缓存里有 {kept} 个；窗口只有 {WINDOW}。",
    )


@torch.no_grad()
def test_the_window_is_not_too_small(answer, decoder):
    _, cache = stepwise(answer, decoder, torch.arange(TOKENS)[None])
    kept = cache.keys[-1].shape[2]
    assert kept == WINDOW, pytest.say(
        f"The window is {WINDOW}, the token itself included; the cache holds {kept}.",
        f"窗口是 {WINDOW}，连自己在内；缓存里有 {kept} 个。",
    )


@torch.no_grad()
def test_steps_give_what_a_masked_pass_gives(answer, decoder):
    ids = torch.arange(TOKENS)[None]
    found, cache = stepwise(answer, decoder, ids)
    wanted = whole(decoder, ids)
    differs = (found - wanted).abs().amax(-1)[0] > 1e-4
    first = int(differs.int().argmax()) if differs.any() else None
    assert first is None, pytest.say(
        f"From token {first} on the states are not those of one pass under the mask. "
        f"Positions go on counting: the next of {TOKENS} tokens has {TOKENS}, yours "
        f"says {cache.next_place}.",
        f"从第 {first} 个词元起，结果与带掩码的一次前向不同。位置要一直数下去："
        f"读过 {TOKENS} 个词元，下一个的位置是 {TOKENS}，你的是 {cache.next_place}。",
    )
