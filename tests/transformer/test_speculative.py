"""Speculative decoding: exact in distribution, equal to greedy text, and tests that notice a broken rule."""

import itertools

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from llm_tutorial.transformer import speculative
from llm_tutorial.transformer.speculative import (
    Int8Linear,
    ModelDraft,
    accept,
    early_exit,
    int8_copy,
    no_draft,
    probabilities,
    prompt_lookup,
    speculate,
)

VOCABULARY = 3


def decoder(seed, vocabulary=VOCABULARY, layers=1):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": layers}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model


def p_value(seen, expected):
    statistic = ((seen - expected) ** 2 / expected).sum()
    return torch.special.gammaincc(torch.tensor((len(seen) - 1) / 2).double(), statistic / 2).item()


def first_token(rule, p, q, draws=4000):
    chance = torch.Generator().manual_seed(0)
    guesses = torch.multinomial(q, draws, replacement=True, generator=chance).tolist()
    both = torch.stack([p, p])
    tokens = [rule([x], q[None], both, chance)[0] for x in guesses]
    return torch.bincount(torch.tensor(tokens), minlength=len(p)).double()


def drawn_again_from_p(guesses, q, p, chance):
    kept = accept(guesses, q, p, chance)
    return kept if len(kept) > 1 else [int(torch.multinomial(p[0], 1, generator=chance))]


P, Q = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1])
WRONG = {
    "drawn again from p": drawn_again_from_p,
    "every guess": lambda guesses, q, p, chance: guesses,
    "ratio upside down": lambda guesses, q, p, chance: accept(guesses, p[:1], torch.stack([q[0], p[1]]), chance),
}


def test_an_accepted_or_redrawn_token_has_the_models_distribution():
    assert p_value(first_token(accept, P, Q), 4000 * P.double()) > 0.01


@pytest.mark.parametrize("wrong", WRONG)
def test_a_broken_rule_is_noticed(wrong):
    assert p_value(first_token(WRONG[wrong], P, Q), 4000 * P.double()) < 1e-6


def test_the_share_that_is_kept_is_the_overlap_of_the_distributions():
    chance = torch.Generator().manual_seed(1)
    guesses = torch.multinomial(Q, 4000, replacement=True, generator=chance).tolist()
    kept = sum(len(accept([x], Q[None], torch.stack([P, P]), chance)) - 1 for x in guesses) / 4000
    assert kept == pytest.approx(torch.minimum(P, Q).sum().item(), abs=0.03)  # three standard errors


@torch.no_grad()
def joint(model, prompt, length, temperature):
    """Probability of each continuation."""
    found = []
    for tokens in itertools.product(range(VOCABULARY), repeat=length):
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0]
        p = probabilities(logits[len(prompt) - 1 : -1], temperature)
        found.append(p[range(length), list(tokens)].prod())
    return torch.stack(found).double()


def texts(draft_of, length, draws, temperature=1.0):
    model, prompt, chance = decoder(0), [0, 1, 2], torch.Generator().manual_seed(0)
    draft, seen = draft_of(chance), torch.zeros(VOCABULARY**length).double()
    for _ in range(draws):
        tokens = speculate(model, torch.tensor([prompt]), draft, length, temperature, chance).tokens
        seen[sum(token * VOCABULARY ** (length - 1 - place) for place, token in enumerate(tokens))] += 1
    return seen, draws * joint(model, prompt, length, temperature)


def test_whole_texts_have_the_models_distribution():
    seen, expected = texts(lambda chance: ModelDraft(decoder(7), 2, 1.0, chance), length=3, draws=500)
    common = expected >= 5
    classes = [torch.cat([each[common], each[~common].sum()[None]]) for each in (seen, expected)]
    assert p_value(*classes) > 0.01


def test_whole_texts_of_a_rule_that_keeps_every_guess_have_not(monkeypatch):
    monkeypatch.setattr(speculative, "accept", lambda guesses, q, p, chance: [*guesses, int(p[-1].argmax())])
    seen, expected = texts(lambda chance: ModelDraft(decoder(7), 2, 1.0, chance), length=3, draws=200)
    assert p_value(seen, expected) < 1e-6


def greedy(model, ids, new_tokens):
    options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    return model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, ids.shape[1] :].tolist()


def test_without_crop_the_text_is_another(monkeypatch):
    model, draft = decoder(3, vocabulary=30, layers=2), prompt_lookup(4, vocabulary=30)
    monkeypatch.setattr(DynamicCache, "crop", lambda self, tokens: None)
    prompts = [torch.randint(30, (1, 12), generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    texts = [speculate(model, ids, draft, 12).tokens for ids in prompts]
    assert texts != [greedy(model, ids, 12) for ids in prompts]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("kind", ["none", "lookup", "another model", "the model itself"])
def test_with_temperature_0_the_text_is_the_greedy_one(kind, count):
    model = decoder(3, vocabulary=30, layers=2)
    draft = {
        "none": lambda: no_draft,
        "lookup": lambda: prompt_lookup(count, vocabulary=30),
        "another model": lambda: ModelDraft(decoder(4, vocabulary=30), count),
        "the model itself": lambda: ModelDraft(model, count),
    }[kind]()
    for seed in range(3):
        ids = torch.randint(30, (1, 6), generator=torch.Generator().manual_seed(seed))
        written = speculate(model, ids, draft, 12)  # the draft is used for one text after another
        assert written.tokens == greedy(model, ids, 12)
        assert written.passes + written.accepted >= 12
        if kind == "the model itself":
            assert written.accepted == written.drafted


def test_nothing_is_written_after_the_end_token():
    model = decoder(3, vocabulary=30, layers=2)
    ids = torch.tensor([[1, 2, 3]])
    whole = speculate(model, ids, no_draft, 12).tokens
    end = whole[4]
    written = speculate(model, ids, ModelDraft(model, 5), 12, end=end)
    assert written.tokens == whole[: whole.index(end) + 1]


def test_lookup_takes_the_longest_match_and_the_first():
    guesses, q = prompt_lookup(2, vocabulary=10)([5, 1, 2, 7, 4, 2, 8, 9, 1, 2])
    assert guesses == [7, 4]  # after "1 2", not after the "2" in between
    assert q.argmax(-1).tolist() == guesses
    assert prompt_lookup(2, vocabulary=10)([1, 2, 3])[0] == []


def test_the_int8_copy_is_near_and_leaves_the_model_alone():
    model = decoder(5, vocabulary=40, layers=2)
    twin, ids = int8_copy(model), torch.randint(40, (1, 8))
    with torch.no_grad():
        exact, rough = model(ids).logits, twin(ids).logits
    assert (exact - rough).abs().max() < 0.1 * exact.abs().max()
    assert isinstance(twin.model.layers[0].mlp.up_proj, Int8Linear)
    assert isinstance(model.model.layers[0].mlp.up_proj, nn.Linear)
    assert twin.model.embed_tokens.weight is model.model.embed_tokens.weight


def test_an_input_of_zeros_gives_zeros_in_int8():
    assert Int8Linear(torch.randn(4, 8))(torch.zeros(2, 8)).equal(torch.zeros(2, 4))


def test_int8_takes_a_quarter_of_the_bytes():
    layer = nn.Linear(256, 256, bias=False)
    assert Int8Linear(layer.weight).weight.nbytes * 4 == layer.weight.nbytes


def test_an_early_exit_shares_its_blocks():
    model = decoder(5, layers=2)
    twin = early_exit(model, 1)
    assert len(twin.model.layers) == twin.config.num_hidden_layers == 1
    assert len(model.model.layers) == model.config.num_hidden_layers == 2
    assert twin.model.layers[0].mlp.up_proj.weight is model.model.layers[0].mlp.up_proj.weight


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speculate(decoder(0), torch.zeros(2, 3, dtype=torch.long), no_draft, 4), r"one text.*\n.*一条"),
        (lambda: speculate(decoder(0), torch.zeros(1, 0, dtype=torch.long), no_draft, 4), r"one text.*\n.*一条"),
        (lambda: prompt_lookup(0), r"at least 1.*\n.*至少为 1"),
        (lambda: prompt_lookup(2, longest=0), r"at least 1.*\n.*至少为 1"),
        (lambda: early_exit(decoder(0), 2), r"cannot be kept\n.*留不下"),
        (lambda: probabilities(torch.zeros(3), -1), r"below 0\n.*小于 0"),
    ],
)
def test_bad_input_is_refused_in_both_languages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bfloat16_logits_are_accepted():
    model = decoder(3, vocabulary=30, layers=2).bfloat16()
    ids = torch.tensor([[1, 2, 3, 1, 2]])
    written = speculate(model, ids, prompt_lookup(3, vocabulary=30), 8)
    assert len(written.tokens) == 8
