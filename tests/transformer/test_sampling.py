"""What each setting of ``generate`` does to the scores, against Transformers and by its own definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm_tutorial.transformer.sampling import (
    LikelihoodRecorder,
    MinP,
    PerRow,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    distinct,
    repeated,
)

TYPES = [torch.float32, torch.float16, torch.bfloat16]
PAIRS = [
    (Temperature(0.7), TemperatureLogitsWarper(0.7)),
    (Temperature(3.0), TemperatureLogitsWarper(3.0)),
    (TopK(1), TopKLogitsWarper(1)),
    (TopK(50), TopKLogitsWarper(50)),
    (TopK(10**6), TopKLogitsWarper(10**6)),
    (TopP(0.0), TopPLogitsWarper(0.0)),
    (TopP(0.9), TopPLogitsWarper(0.9)),
    (TopP(1.0), TopPLogitsWarper(1.0)),
    (MinP(0.0), MinPLogitsWarper(0.0)),
    (MinP(0.1), MinPLogitsWarper(0.1)),
    (RepetitionPenalty(1.3), RepetitionPenaltyLogitsProcessor(1.3)),
    (RepetitionPenalty(0.8), RepetitionPenaltyLogitsProcessor(0.8)),
    (RepetitionPenalty(1.3, 3), RepetitionPenaltyLogitsProcessor(1.3, prompt_ignore_length=3)),
]
scores_of = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30).map(lambda z: torch.tensor([z]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_each_gives_what_the_library_gives(ours, theirs, dtype):
    generator = torch.Generator().manual_seed(0)
    scores = (4 * torch.randn(5, 2000, generator=generator)).to(dtype)  # in 16 bits with many ties
    ids = torch.randint(2000, (5, 12), generator=generator)
    left = ours(ids, scores)
    assert left.dtype is dtype
    assert left.equal(theirs(ids, scores))


@settings(deadline=None)
@given(scores_of, st.floats(0, 1))
def test_top_p_keeps_the_smallest_set_that_reaches_p(scores, p):
    scores = scores.double()
    mass = scores.softmax(-1)[0]
    kept = TopP(p)(None, scores).isfinite()[0]
    assert mass[kept].max() == mass.max()
    assert mass[kept].sum() >= p - 1e-12
    least = mass[kept].min()
    assert kept.sum() == 1 or mass[kept].sum() - least < p + 1e-12  # without the least it would not reach p
    assert not (mass[~kept] > least).any()


@settings(deadline=None)
@given(scores_of, st.floats(0.01, 1), st.floats(0.1, 5))
def test_min_p_is_a_threshold_on_the_scores(scores, p, temperature):
    heated = scores.double() / temperature
    near = (heated - heated.max() - math.log(p)).abs() < 1e-9  # rounding decides
    expected = heated >= heated.max() + math.log(p)
    assert ((MinP(p)(None, heated).isfinite() == expected) | near).all()


@settings(deadline=None)
@given(scores_of, st.floats(0.1, 5))
def test_temperature_keeps_the_order_and_top_k_does_not_mind_it(scores, temperature):
    one = LogitsProcessorList([Temperature(temperature), TopK(3)])(None, scores.double())
    other = LogitsProcessorList([TopK(3), Temperature(temperature)])(None, scores.double())
    assert one.isfinite().sum() >= other.isfinite().sum()  # division may make scores equal, never unequal
    assert one.allclose(other) or one.isfinite().sum() > other.isfinite().sum()


def test_a_wrong_order_is_found():
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    right = LogitsProcessorList([Temperature(0.5), TopP(0.8)])(None, scores)
    wrong = LogitsProcessorList([TopP(0.8), Temperature(0.5)])(None, scores)
    assert right.isfinite().sum() < wrong.isfinite().sum()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Temperature(0.0),
        lambda: Temperature(-1.0),
        lambda: TopK(0),
        lambda: TopP(1.1),
        lambda: TopP(-0.1),
        lambda: MinP(2.0),
        lambda: MinP(math.nan),
        lambda: RepetitionPenalty(0.0),
    ],
)
def test_settings_without_a_meaning_are_refused_in_both_languages(make):
    with pytest.raises(ValueError, match=r"must be .*\n.*[应至]"):
        make()


def test_rows_have_their_own_settings():
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    ids = torch.randint(50, (3, 4))
    rows = [[Temperature(0.5), TopK(5)], [], [RepetitionPenalty(1.5)]]
    left = PerRow(rows)(ids, scores)
    assert left[0:1].equal(TopK(5)(None, scores[0:1] / 0.5))
    assert left[1].equal(scores[1])
    assert left[2:].equal(RepetitionPenalty(1.5)(ids[2:], scores[2:]))
    with pytest.raises(ValueError, match="settings for 3 rows, but the batch has 2\n"):
        PerRow(rows)(ids[:2], scores[:2])


def test_the_recorder_notes_what_the_model_finds():
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **sizes)).eval()
    ids = torch.randint(3, 60, (2, 5))
    recorder = LikelihoodRecorder()
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "do_sample": True, "top_k": 0}
    written = model.generate(ids, logits_processor=[recorder, Temperature(2.0)], eos_token_id=None, **options)
    with torch.no_grad():
        likelihood = model(written).logits[:, 4:-1].log_softmax(-1).gather(-1, written[:, 5:, None])[..., 0]
    assert recorder.log_likelihoods().shape == (2, 5)
    assert recorder.log_likelihoods().allclose(likelihood[:, :-1], atol=1e-5)


def test_repetition_is_what_stood_before():
    assert repeated([1, 2, 3, 4, 1, 2, 3, 4], 4) == pytest.approx(1 / 5)
    assert repeated([1, 2, 3], 4) == 0
    assert repeated([7] * 10, 4) == pytest.approx(6 / 7)
    assert distinct([[1, 2, 3], [1, 2, 3]], 2) == 0.5
    assert distinct([[1]], 2) == 0
    assert distinct([[1, 2], [3, 4]], 1) == 1
