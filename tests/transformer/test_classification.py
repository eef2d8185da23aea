"""Classification: data that does not leak, batches, pretraining's masks, temperature, calibration error, costs."""

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import BertForMaskedLM, BertForSequenceClassification

from llm_tutorial.batching import batches
from llm_tutorial.data.splits import SPLITS, key_of
from llm_tutorial.training import adamw, fit
from llm_tutorial.transformer.calibration import (
    bin_predictions,
    calibration_error,
    cost_threshold,
    error_by_chance,
    fit_temperature,
    mean_cost,
)
from llm_tutorial.transformer.classification import (
    Labelled,
    chunks,
    encode,
    features_of,
    logits_of,
    loss_of,
    masked,
    masked_loss,
    minilm_classifier,
    own_tokenizer,
    pad,
    small_config,
)
from llm_tutorial.transformer.classification_data import (
    OPENING,
    language_labels,
    language_texts,
    package_labels,
    package_texts,
)

TINY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def tiny(labels: int = 2, **changes: object) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = small_config(40, [str(n) for n in range(labels)], **TINY, **changes)
    model = BertForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(4)  # so that texts differ
    return model


def rows(count: int, seed: int = 0) -> list[Labelled]:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 30, (count,), generator=draw).tolist()
    ids = [[2, *torch.randint(5, 40, (n,), generator=draw).tolist(), 3] for n in lengths]
    return [Labelled(row, number % 2) for number, row in enumerate(ids)]


def test_no_sentence_and_no_opening_stands_in_two_splits() -> None:
    openings = [{key_of(text.text)[:OPENING] for text in package_texts(split)} for split in SPLITS]
    assert sum(map(len, openings)) == len(set.union(*openings))
    assert {text.label for text in package_texts("test")} <= set(package_labels())


def test_every_name_is_written_so_in_one_language_alone() -> None:
    texts = [text for split in SPLITS for text in language_texts(split)]
    assert len({text.text.lower() for text in texts}) == len(texts)
    assert len(language_labels()) >= 60
    assert {text.label for text in language_texts("test")} == set(language_labels())


def test_what_a_name_stands_for_is_in_one_split() -> None:
    france = {"fi": "Ranska", "pl": "Francja", "hu": "Franciaország", "lt": "Prancūzija", "tr": "Fransa"}
    homes = {split for split in SPLITS for text in language_texts(split) if france.get(text.label) == text.text}
    assert len(homes) == 1


@pytest.mark.parametrize("texts", [package_texts, language_texts])
def test_an_unknown_split_is_refused(texts) -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        texts("dev")


def test_a_tokenizer_knows_width_and_case_and_cuts() -> None:
    tokenizer = own_tokenizer(["ab好好a", "b"], longest=6)
    assert tokenizer("ＡＢ好").input_ids == tokenizer("ab好").input_ids
    assert tokenizer.convert_ids_to_tokens(tokenizer("贵").input_ids) == ["[CLS]", "[UNK]", "[SEP]"]
    assert len(encode(tokenizer, ["a" * 50], [0], longest=6)[0].input_ids) == 6
    assert tokenizer.model_max_length == 6


@pytest.mark.parametrize(("texts", "labels"), [([], []), (["a"], [0, 1])])
def test_texts_without_labels_are_refused_in_both_languages(texts, labels) -> None:
    with pytest.raises(ValueError, match=r"labels: give as many(.|\n)*标签"):
        encode(own_tokenizer(["aa"]), texts, labels)


@pytest.mark.parametrize("label", [2, -1])
def test_a_label_out_of_range_is_named(label) -> None:
    with pytest.raises(IndexError, match=f"Target {label} is out of bounds"):
        loss_of(tiny(2), [Labelled([2, 7, 3], label)])


def test_each_epoch_reads_every_text_once_in_another_order() -> None:
    found = rows(40)
    batch_at = batches(found, 8, seed=1)
    epochs = [[each for step in range(5) for each in batch_at(5 * epoch + step)] for epoch in range(2)]
    assert all(sorted(map(id, epoch)) == sorted(map(id, found)) for epoch in epochs)
    assert list(map(id, epochs[0])) != list(map(id, epochs[1]))
    assert list(batch_at(3)) == list(batches(found, 8, seed=1)(3))  # asked for out of turn
    assert len(batches(found[:3], 8, seed=0)(0)) == 3


def test_logits_keep_the_order_of_texts_and_ignore_padding() -> None:
    model, found = tiny(), rows(20)
    model.train()
    together, alone = logits_of(model, found), logits_of(model, found, size=1)
    assert not model.training
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.flip(0), logits_of(model, found[::-1]), atol=1e-5)
    assert (together - together.flip(0)).abs().max() > 1e-3


def test_logits_in_16_bits_are_finite_and_near() -> None:
    model, found = tiny(), rows(8)
    exact = logits_of(model, found)
    short = logits_of(model.to(torch.bfloat16), found)
    assert short.dtype == torch.float32
    assert torch.allclose(exact, short, atol=0.05)


def test_masks_hide_tokens_as_bert_does() -> None:
    torch.manual_seed(0)
    text = [2, *[7] * 4000, 3]
    batch, labels = masked([text, text[:100]], 5000)
    asked = labels != -100
    assert (labels[asked] == 7).all()
    assert not asked[:, 0].any()
    assert not asked[1, 100:].any()
    assert float(asked[0].double().mean()) == pytest.approx(0.15, abs=0.02)
    seen = batch["input_ids"][asked]
    assert float((seen == 4).double().mean()) == pytest.approx(0.8, abs=0.04)
    assert float((seen == 7).double().mean()) == pytest.approx(0.1, abs=0.04)
    assert (batch["input_ids"][~asked] == pad([text, text[:100]])["input_ids"][~asked]).all()


def test_masked_loss_is_that_of_the_library() -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(small_config(40, **TINY)).eval()
    texts = [row.input_ids for row in rows(6)]
    torch.manual_seed(1)
    ours = masked_loss(model, texts) / len(texts)
    torch.manual_seed(1)
    batch, labels = masked(texts, 40)
    assert torch.allclose(ours, model(**batch, labels=labels).loss, atol=1e-5)


def test_rows_of_a_corpus_lose_only_the_rest() -> None:
    found = chunks(range(100, 130), 12)
    assert [len(row) for row in found] == [12, 12, 12]
    assert [token for row in found for token in row[1:-1]] == list(range(100, 130))
    assert chunks(range(5), 12) == []


def test_a_small_encoder_learns_a_few_texts_by_heart() -> None:
    model, found = tiny(hidden_dropout_prob=0.0), rows(6)
    losses = fit(model, lambda step: found, adamw(model, 5e-3), 60, loss_of=loss_of, count=len)
    assert losses[-1] < 0.1 * losses[0]


def test_each_method_trains_what_it_says() -> None:
    def trained(method: str) -> set[str]:
        return {n.split(".")[0] for n, p in minilm_classifier(3, method).named_parameters() if p.requires_grad}

    assert trained("probe") == {"classifier"}
    assert trained("LoRA") == trained("full") == {"encoder", "classifier"}
    adapters = [n for n, p in minilm_classifier(3, "LoRA").encoder.named_parameters() if p.requires_grad]
    assert adapters
    assert all("lora_" in name for name in adapters)
    with pytest.raises(ValueError, match="unknown method 'all'"):
        minilm_classifier(3, "all")


def test_features_are_means_of_real_tokens() -> None:
    model = minilm_classifier(3, "probe")
    found = [Labelled([101, 7592, 102], 0), Labelled([101, 7592, 2088, 999, 102], 1)]
    together = features_of(model, found)
    assert torch.allclose(together[:1], features_of(model, found[:1]), atol=1e-5)
    states = model.encoder(**pad([found[1].input_ids])).last_hidden_state
    assert torch.allclose(together[1], states[0].mean(0), atol=1e-5)


# --- temperature


def drawn(count: int = 400, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from their probabilities: calibrated as they are."""
    draw = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(count, classes, generator=draw)
    return z, torch.multinomial(z.softmax(-1), 1, generator=draw)[:, 0]


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0, 40.0])
def test_a_temperature_is_found_wherever_it_is(factor: float) -> None:
    z, y = drawn(20_000)
    assert fit_temperature(factor * z, y) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_has_a_lower_loss() -> None:
    z, y = drawn(200)
    z = 5 * z
    best = fit_temperature(z, y)
    losses = [float(F.cross_entropy(z.double() / t, y)) for t in (best, 0.98 * best, 1.02 * best)]
    assert losses[0] < min(losses[1:])
    p = (z.double() / best).softmax(-1)
    expected = (p * z).sum(-1).mean() - z.gather(1, y[:, None]).mean()
    assert abs(float(expected)) < 1e-6  # the expected logit is that of the right class


def test_where_no_temperature_is_best_the_error_says_why() -> None:
    z, y = drawn(100)
    with pytest.raises(ValueError, match="every text is classified right"):
        fit_temperature(z, z.argmax(-1))
    with pytest.raises(ValueError, match="order of classes"):
        fit_temperature(-z, y)  # names mixed up
    with pytest.raises(ValueError, match="labels must be from 0 to 2"):
        fit_temperature(z, y + 1)
    with pytest.raises(ValueError, match="one for each of the 100"):
        fit_temperature(z, y[:-1])
    with pytest.raises(ValueError, match="at least one text"):
        fit_temperature(z[:0], y[:0])


# --- calibration error


def test_an_overconfident_model_has_its_overconfidence_as_error() -> None:
    confidence = torch.full((1000,), 0.9, dtype=torch.double)
    right = torch.arange(1000) < 600
    assert calibration_error(confidence, right) == pytest.approx(0.3)
    assert calibration_error(confidence, right, equal_mass=True) > 0.29


def test_half_wrong_is_half_the_error() -> None:
    confidence = torch.tensor([0.9] * 100 + [0.6] * 100, dtype=torch.double)
    right = torch.tensor([True] * 90 + [False] * 10 + [True] * 20 + [False] * 80)
    assert calibration_error(confidence, right, 10) == pytest.approx(0.5 * 0.4)


def test_a_bin_holds_its_upper_edge() -> None:
    found = bin_predictions(torch.tensor([0.5, 0.51, 1.0]), torch.tensor([1, 1, 0]), bins=2)
    assert found.share.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found.accuracy.tolist() == [1.0, 0.5]


def test_bins_of_equal_mass_have_as_many_texts() -> None:
    p = torch.rand(103, generator=torch.Generator().manual_seed(0))
    share = 103 * bin_predictions(p, p > 0.5, bins=10, equal_mass=True).share
    assert share.max() - share.min() < 1 + 1e-9


@pytest.mark.parametrize("bins", [5, 20, 80])
@pytest.mark.parametrize("equal_mass", [False, True])
def test_chance_makes_the_error_that_the_formula_says(bins: int, equal_mass: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    p = 0.5 + torch.rand(1500, generator=draw, dtype=torch.double) / 2
    found = [
        calibration_error(p, torch.rand(1500, generator=draw, dtype=torch.double) < p, bins, equal_mass)
        for _ in range(100)
    ]
    assert error_by_chance(p, bins, equal_mass) == pytest.approx(sum(found) / 100, rel=0.15)


@pytest.mark.parametrize(
    ("confidence", "right", "bins"), [([], [], 5), ([0.5], [1, 0], 5), ([1.5], [1], 5), ([0.5], [1], 0)]
)
def test_bad_predictions_are_refused(confidence, right, bins) -> None:
    with pytest.raises(ValueError, match="at least one bin"):
        calibration_error(torch.tensor(confidence), torch.tensor(right), bins)


# --- costs


@pytest.mark.parametrize(("false_alarm", "miss"), [(1, 1), (1, 9), (5, 2)])
def test_no_threshold_is_cheaper_than_that_of_the_formula(false_alarm: float, miss: float) -> None:
    draw = torch.Generator().manual_seed(0)
    q = torch.rand(200_000, generator=draw)
    true = torch.rand(200_000, generator=draw) < q
    best = mean_cost(q, true, cost_threshold(false_alarm, miss), false_alarm, miss)
    for other in torch.arange(0.02, 1, 0.02).tolist():
        assert best <= mean_cost(q, true, other, false_alarm, miss) + 0.003 * max(false_alarm, miss)
    # exchange the costs, and it is dearer
    if false_alarm != miss:
        assert mean_cost(q, true, cost_threshold(miss, false_alarm), false_alarm, miss) > 1.1 * best


@pytest.mark.parametrize("costs", [(0, 1), (1, -1)])
def test_costs_must_be_positive(costs) -> None:
    with pytest.raises(ValueError, match=r"positive(.|\n)*正数"):
        cost_threshold(*costs)


def test_error_by_chance_is_that_of_one_bin() -> None:
    p = torch.full((400,), 0.7, dtype=torch.double)
    assert error_by_chance(p, 1) == pytest.approx(math.sqrt(2 * 0.21 / (math.pi * 400)))
