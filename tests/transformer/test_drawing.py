"""Words, then image tokens: guidance and constraint, the loss, and drawing, against Transformers and formulas."""

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    LlamaForCausalLM,
    LogitsProcessorList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)

from llm_tutorial.captions import word_tokenizer
from llm_tutorial.transformer.drawing import (
    Guidance,
    ImageTokensOnly,
    disturbed,
    draw,
    drawing_config,
    image_token_loss,
)
from llm_tutorial.transformer.image_tokens import CODES

TOKENIZER = word_tokenizer(["red heart", "dark skin tone", "红色的心"])
WORDS = len(TOKENIZER)
EMPTY = TOKENIZER("", return_tensors="pt").input_ids[0]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = LlamaForCausalLM(drawing_config(WORDS, width=32, layers=2, heads=2)).eval()
    for weight in made.parameters():
        weight.data = weight + 0.2 * torch.randn_like(weight)  # far from where a training starts
    return made


def given(prompts):
    return TOKENIZER(prompts, padding=True, return_tensors="pt")


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
@torch.no_grad()
def test_guidance_is_that_of_the_library(model, scale):
    inputs = given(["red heart", "dark"])
    ids, mask = inputs.input_ids, inputs.attention_mask
    ours = Guidance(scale, model, EMPTY)
    theirs = UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, model, unconditional_ids=EMPTY.expand(2, -1))
    for _ in range(5):
        scores = model(ids, attention_mask=mask).logits[:, -1]
        found = ours(ids, scores)
        assert torch.allclose(found, theirs(ids, scores), atol=1e-4)
        ids = torch.cat([ids, found[:, WORDS:].argmax(-1, keepdim=True) + WORDS], 1)
        mask = torch.cat([mask, torch.ones(2, 1, dtype=mask.dtype)], 1)


@torch.no_grad()
def test_guidance_interpolates_between_no_prompt_and_the_prompt(model):
    inputs = given(["red heart"])
    scores = model(**inputs).logits[:, -1]
    without = model(EMPTY[None]).logits[:, -1].log_softmax(-1)
    assert torch.allclose(Guidance(1, model, EMPTY)(inputs.input_ids, scores), scores.log_softmax(-1), atol=1e-5)
    assert torch.allclose(Guidance(0, model, EMPTY)(inputs.input_ids, scores), without, atol=1e-5)


def test_only_image_tokens_are_left():
    scores = torch.randn(3, WORDS + CODES, generator=torch.Generator().manual_seed(0))
    kept = ImageTokensOnly(WORDS)(torch.zeros(3, 1).long(), scores)
    assert kept[:, :WORDS].isneginf().all()
    assert kept[:, WORDS:].equal(scores[:, WORDS:])
    assert not scores.isinf().any()  # what was given is left alone


@torch.no_grad()
def test_the_loss_is_that_of_image_tokens_after_what_stands_before_them(model):
    codes = torch.randint(CODES, (2, 64), generator=torch.Generator().manual_seed(0))
    inputs = given(["red heart", "dark"])
    ids = torch.cat([inputs.input_ids, WORDS + codes], 1)
    mask = torch.cat([inputs.attention_mask, torch.ones_like(codes)], 1)
    want = 0.0
    for prompt, row in zip(["red heart", "dark"], codes, strict=True):  # one by one, without padding
        alone = torch.cat([given([prompt]).input_ids, WORDS + row[None]], 1)
        logits = model(alone).logits[0, -65:-1, WORDS:]
        want += F.cross_entropy(logits, row, reduction="sum").item()
    rows = list(zip(ids, mask, codes, strict=True))
    assert image_token_loss(model, rows, "cpu").item() == pytest.approx(want, rel=1e-4)


@torch.no_grad()
def test_what_is_read_may_differ_from_what_is_predicted(model):
    codes = torch.randint(CODES, (1, 64), generator=torch.Generator().manual_seed(0))
    read = codes.clone()
    read[0, -1] = (codes[0, -1] + 1) % CODES  # the last code is predicted, and read by nobody
    prompt = given(["dark"]).input_ids
    mask = torch.ones(1, prompt.shape[1] + 64).long()
    losses = [
        image_token_loss(model, [(torch.cat([prompt, WORDS + each], 1)[0], mask[0], codes[0])], "cpu").item()
        for each in (codes, read)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    read[0, 0] = (codes[0, 0] + 1) % CODES
    row = (torch.cat([prompt, WORDS + read], 1)[0], mask[0], codes[0])
    assert image_token_loss(model, [row], "cpu").item() != pytest.approx(losses[0], rel=1e-4)


def test_a_share_of_the_codes_is_disturbed():
    torch.manual_seed(0)
    codes = torch.randint(CODES, (2000, 64))
    assert disturbed(codes, 0).equal(codes)
    changed = (disturbed(codes, 0.6) != codes).double().mean(1)  # of each picture
    assert changed.mean().item() == pytest.approx(0.3, abs=0.02)
    assert changed.min() < 0.05
    assert changed.max() > 0.55


def test_drawing_is_generate_with_both_processors(model):
    prompts = ["red heart", "红色的心"]
    found = draw(model, TOKENIZER, prompts, guidance=2.0, temperature=0)
    processors = LogitsProcessorList([ImageTokensOnly(WORDS)])
    by_library = model.generate(
        **given(prompts), max_new_tokens=64, do_sample=False, guidance_scale=2.0,
        negative_prompt_ids=EMPTY.expand(2, -1), logits_processor=processors,
    )  # fmt: skip
    assert found.equal(by_library[:, -64:] - WORDS)
    assert found.min() >= 0
    assert found.max() < CODES


def test_a_seed_gives_the_same_drawing_and_another_one_another(model):
    first, same = (draw(model, TOKENIZER, ["red heart"] * 2, seed=1) for _ in range(2))
    assert first.equal(same)
    assert not first.equal(draw(model, TOKENIZER, ["red heart"] * 2, seed=2))
    assert not first[0].equal(first[1])


def test_a_prompt_is_drawn_the_same_beside_a_longer_one(model):
    alone = draw(model, TOKENIZER, ["dark"], temperature=0, guidance=2.0)
    beside = draw(model, TOKENIZER, ["dark", "dark skin tone red heart"], temperature=0, guidance=2.0)
    assert alone[0].equal(beside[0])


def test_drawing_works_in_sixteen_bits(model):
    half = LlamaForCausalLM(model.config).to(torch.bfloat16).eval()
    codes = draw(half, TOKENIZER, ["red heart"], guidance=3.0)
    assert codes.shape == (1, 64)
    assert codes.min() >= 0
