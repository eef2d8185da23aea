"""Translation: splits without leakage, batches, losses, decoding with every placeholder, scores."""

import random

import numpy as np
import pytest
import torch
from sacrebleu import corpus_chrf
from transformers import AutoModelForSeq2SeqLM
from transformers.trainer_pt_utils import LabelSmoother

from llm_tutorial.data.messages import PLACEHOLDER, Message
from llm_tutorial.data.splits import key_of
from llm_tutorial.transformer import translation
from llm_tutorial.transformer.placeholders import PlaceholderLogitsProcessor
from llm_tutorial.transformer.scores import chrf, chrf_counts, interval, kept, resampled, score
from llm_tutorial.transformer.translation import (
    HELD_OUT,
    LONGEST,
    PAD,
    SLOTS,
    TESTS,
    TranslationMemory,
    batches,
    collate,
    count_for,
    fill_placeholders,
    held_out_loss,
    keys_of,
    loss_for,
    number_placeholders,
    program_of,
    translate,
    translation_config,
    translation_data,
    translation_tokenizer,
    without,
    written_text,
)

SIZES = {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_layers": 1, "decoder_layers": 1}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return translation_tokenizer(translation_data()["train"][:500], 600)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = translation_config(tokenizer, init_std=0.3, **SIZES, **HEADS)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def test_no_text_of_a_test_stands_in_training():
    data = translation_data()
    seen = {key_of(text) for m in data["train"] for text in (m.english, m.chinese)}
    for test in (*TESTS, "validation"):
        assert all(key_of(m.english) not in seen and key_of(m.chinese) not in seen for m in data[test])
    shared = keys_of(data["message"]) & keys_of(data["catalogue"])
    assert not shared


def test_one_program_is_in_its_test_alone():
    data = translation_data()
    assert {program_of(m) for m in data["catalogue"]} == {HELD_OUT}
    for name in ("train", "validation", "message"):
        assert HELD_OUT not in {program_of(m) for m in data[name]}
        assert len({program_of(m) for m in data[name]}) == 4


def test_a_message_goes_for_its_english_or_its_chinese():
    known = [Message("Save…", "保存", "", 0)]
    others = [
        Message("SAVE", "储存", "", 1),
        Message("Keep", "「保存」", "", 2),
        Message("Open", "打开", "", 3),
    ]
    assert without(keys_of(known), others) == others[2:]


@pytest.mark.parametrize("english", ["{a} of {b}", "%s and %s", "%(n)d of %1", "none"])
def test_placeholders_return(english):
    assert fill_placeholders(number_placeholders(english, english), english) == english


def test_placeholders_beyond_the_numbers_stay():
    english = " ".join(f"{{p{number}}}" for number in range(len(SLOTS) + 2))
    numbered = number_placeholders(english, english)
    assert "{p8} {p9}" in numbered
    assert fill_placeholders(numbered, english) == english


def test_the_tokenizer_ends_a_text_and_gives_it_back(tokenizer):
    text = "打开 ⟨0⟩ 里的 file"
    ids = tokenizer(text).input_ids
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.convert_tokens_to_ids("⟨0⟩") in ids
    assert len(tokenizer) == 600


def test_an_epoch_has_every_short_message_at_most_once(tokenizer):
    training = translation_data()["train"][:500]
    batch_at = batches(tokenizer, training, 32, seed=1)
    steps = sum(len(tokenizer(m.english).input_ids) <= LONGEST for m in training) // 32
    seen = [m for step in range(steps - 1) for m in batch_at(step)]
    assert len(seen) == len(set(seen)) == 32 * (steps - 1)
    assert batch_at(3) == batches(tokenizer, training, 32, seed=1)(3)
    assert batch_at(3) != batches(tokenizer, training, 32, seed=2)(3)


def test_the_loss_is_the_models_own_and_ignores_padding(tokenizer, model):
    pairs = translation_data()["train"][:6]
    batch = collate(tokenizer, pairs)
    own = model(**batch).loss * count_for(tokenizer)(pairs)
    torch.testing.assert_close(loss_for(tokenizer)(model, pairs, None), own)
    alone = sum(loss_for(tokenizer, 0.1)(model, [pair], None) for pair in pairs)
    torch.testing.assert_close(loss_for(tokenizer, 0.1)(model, pairs, None), alone)
    mean = held_out_loss(model, tokenizer, pairs, batch_size=2)
    assert mean == pytest.approx(float(own.detach()) / count_for(tokenizer)(pairs), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_the_smoothed_loss_is_the_trainers(tokenizer, model, smoothing):
    pairs = translation_data()["train"][:6]
    batch = collate(tokenizer, pairs)
    own = LabelSmoother(smoothing)(model(**batch), batch["labels"]) * count_for(tokenizer)(pairs)
    torch.testing.assert_close(loss_for(tokenizer, smoothing)(model, pairs, None), own)


def test_a_batch_translates_like_each_alone(tokenizer, model):
    pairs = translation_data()["message"][:8]
    for beams in (1, 3):
        together = translate(model, tokenizer, pairs, num_beams=beams, max_length=12)
        alone = [translate(model, tokenizer, [pair], num_beams=beams, max_length=12)[0] for pair in pairs]
        assert together == alone


def test_bfloat16_translates(tokenizer, model):
    config = model.config
    half = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    pairs = translation_data()["message"][:4]
    batch = collate(tokenizer, pairs)
    with torch.no_grad():
        near = half(**batch).logits.float()
        exact = model(**batch).logits
    assert near.isfinite().all()
    assert (near - exact).abs().max() < 0.1 * exact.abs().max()
    assert len(translate(half, tokenizer, pairs, max_length=8)) == 4


def test_written_numbers_become_the_sources_placeholders(tokenizer):
    ids = tokenizer("⟨1⟩ 个，共 ⟨0⟩⟨5⟩").input_ids
    assert written_text(tokenizer, [tokenizer.pad_token_id, *ids], "%s of {n}") == "{n} 个，共 %s"


SOURCES = ["Open", "Open %s", "{a} of {b} and {a}", "%1 of %2 in %3", "%(name)s: %(name)s", "100% of {n}"]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_placeholder_is_kept_whatever_the_model_wants(tokenizer, beams, seed):
    torch.manual_seed(seed)
    config = translation_config(tokenizer, init_std=1.0, **SIZES, **HEADS)
    model = AutoModelForSeq2SeqLM.from_config(config).eval()
    pairs = [Message(english, "", "", 0) for english in SOURCES]
    texts = translate(model, tokenizer, pairs, processor=PlaceholderLogitsProcessor, num_beams=beams, max_length=10)
    assert all(kept(text, pair.english) for text, pair in zip(texts, pairs, strict=True))
    free = translate(model, tokenizer, pairs, num_beams=beams, max_length=10)
    assert not all(kept(text, pair.english) for text, pair in zip(free, pairs, strict=True))


def test_random_tokens_that_are_allowed_always_keep_placeholders(tokenizer):
    chance = torch.Generator().manual_seed(0)
    length = 12
    for _ in range(20):
        allow = PlaceholderLogitsProcessor(tokenizer, SOURCES, length)
        rows = torch.full((len(SOURCES), 1), tokenizer.pad_token_id)
        while rows.shape[1] < length:
            scores = allow(rows, torch.zeros(len(rows), len(tokenizer)))
            rows = torch.cat([rows, scores.softmax(-1).multinomial(1, generator=chance)], 1)
        for row, english in zip(rows.tolist(), SOURCES, strict=True):
            assert tokenizer.eos_token_id in row
            ended = row[: row.index(tokenizer.eos_token_id)]
            assert kept(written_text(tokenizer, ended, english), english)


def test_a_number_is_not_lengthened(tokenizer):
    allow = PlaceholderLogitsProcessor(tokenizer, ["%1 x", "{n} x"], 9)
    slot = tokenizer.convert_tokens_to_ids("⟨0⟩")
    scores = allow(torch.tensor([[0, slot], [0, slot]]), torch.zeros(2, len(tokenizer)))
    digit = tokenizer.convert_tokens_to_ids("2")
    assert scores[0, digit] == -torch.inf  # %12 would be another placeholder
    assert scores[1, digit] == 0


@pytest.mark.parametrize("english", [" ".join(f"{{p{i}}}" for i in range(9)), "%s " * 20])
def test_too_many_placeholders_are_refused_in_both_languages(tokenizer, english):
    with pytest.raises(ValueError, match="placeholders") as error:
        PlaceholderLogitsProcessor(tokenizer, [english], 16)
    assert "占位符" in str(error.value)


def test_chrf_is_sacrebleus():
    chance = random.Random(0)
    pairs = translation_data()["message"][:60]
    texts = ["".join(c for c in m.chinese if chance.random() < 0.8) or "空" for m in pairs]
    ours = chrf(np.sum([chrf_counts(t, m.chinese) for t, m in zip(texts, pairs, strict=True)], 0))
    assert ours == pytest.approx(corpus_chrf(texts, [[m.chinese for m in pairs]]).score)


def test_scores_of_right_half_right_and_wrong():
    pairs = [Message("%d files", "%d 个文件", "", 0), Message("Open", "打开", "", 1)]
    right = score(["%d 个文件", "打开"], pairs)
    half = score(["文件", "打开"], pairs)
    wrong = score(["", ""], pairs)
    assert [right[name] for name in ("chrf", "exact", "placeholders", "length")] == [100, 100, 100, 1]
    assert right["bleu"] == pytest.approx(100)
    assert wrong["chrf"] < half["chrf"] < right["chrf"]
    assert half["exact"] == 50
    assert half["placeholders"] == 0
    assert wrong["length"] == 0
    assert score(["%d 个文件", "打开 %s"], pairs)["placeholders"] == 50  # one too many counts as well


def test_draws_are_the_same_for_every_system():
    pairs = translation_data()["message"][:40]
    perfect = [m.chinese for m in pairs]
    worse = [text[:-1] for text in perfect]
    assert set(resampled(perfect, pairs, 20)) == {100.0}
    a, b = resampled(worse, pairs, 20), resampled(worse, pairs, 20)
    assert a == b
    assert len(set(a)) > 1
    low, high = interval(a)
    assert low < np.mean(a) < high


def test_the_memory_finds_the_nearest_and_fills_in():
    known = [Message("Save %s", "保存 %s", "", 0), Message("Close all windows", "关闭所有窗口", "", 1)]
    memory = TranslationMemory(known)
    assert memory.translate([Message("Close the window", "", "", 2), Message("Save {x}", "", "", 3)]) == [
        "关闭所有窗口",
        "保存 {x}",
    ]
    (near, likeness), *_ = memory.nearest([known[0]])
    assert near == known[0]
    assert likeness == pytest.approx(1)


def test_pad_is_the_start_and_never_a_label(tokenizer):
    config = translation_config(tokenizer)
    assert config.decoder_start_token_id == config.pad_token_id == tokenizer.convert_tokens_to_ids(PAD)
    labels = collate(tokenizer, translation_data()["train"][:8])["labels"]
    assert (labels != tokenizer.pad_token_id).all()
    assert (labels == translation.IGNORED).any()


def test_data_has_no_more_placeholders_than_numbers():
    for part in translation_data().values():
        assert max(len(set(PLACEHOLDER.findall(m.english))) for m in part) <= len(SLOTS)
