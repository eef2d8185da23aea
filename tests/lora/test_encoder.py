"""The encoder: sparse equals dense where everything is kept, and Transformers' and PEFT's tools work on it unchanged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, Trainer, TrainingArguments

from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForCausalLM,
    RelationSparseForTokenClassification,
)

SIZES: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_labels": 5}
SIZES |= {"num_entities": 5, "block_size": 8, "dropout": 0.0, "sentence_ends": (3,), "titles": ((4, 5),)}


def make(model: type = RelationSparseForTokenClassification, **options: Any) -> Any:
    """A model whose weights, relations among them, are all random."""
    made = model(RelationSparseConfig(**{**SIZES, **options})).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture
def texts() -> dict[str, torch.Tensor]:
    mask = torch.ones(2, 90, dtype=torch.long)
    mask[1, 70:] = 0
    return {"input_ids": torch.randint(1, 50, (2, 90)), "attention_mask": mask}


@pytest.mark.parametrize("entities", ["learned", "none"])
def test_sparse_with_everything_kept_is_dense(texts: dict[str, torch.Tensor], entities: str) -> None:
    sparse = make(window=12, entities=entities)
    dense = RelationSparseForTokenClassification(
        RelationSparseConfig(**SIZES, window=12, entities=entities, attention="dense")
    ).eval()
    dense.load_state_dict(sparse.state_dict())
    real = texts["attention_mask"].bool()
    torch.testing.assert_close(sparse(**texts).logits[real], dense(**texts).logits[real], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing(texts: dict[str, torch.Tensor]) -> None:
    model = make()
    padded = model(**texts).logits[1, :70]
    torch.testing.assert_close(model(texts["input_ids"][1:, :70]).logits[0], padded, atol=1e-5, rtol=1e-5)


def test_far_away_tokens_meet_through_entities_alone(texts: dict[str, torch.Tensor]) -> None:
    def moved(entities: torch.Tensor | None) -> bool:
        model, ids = make(relations=(), entities="none", window=1), texts["input_ids"][:1].clone()
        before = model(ids, entities=entities).logits[0, 85]
        ids[0, 0] = ids[0, 0] % 49 + 1
        return not torch.equal(before, model(ids, entities=entities).logits[0, 85])

    assert moved(torch.tensor([[0, 40]]))
    assert not moved(None)  # three layers that see a block of eight to each side


def test_the_task_and_the_annotation_teach_the_gate(texts: dict[str, torch.Tensor]) -> None:
    labels, types = torch.randint(0, 5, (2, 90)), torch.randint(0, 4, (2, 90))
    model = make().train()
    model(**texts, labels=labels).loss.backward()
    from_the_task = model.encoder.gate.weight.grad.clone()
    model.zero_grad()
    model(**texts, labels=labels, types=types).loss.backward()
    assert from_the_task.abs().sum() > 0
    assert not torch.equal(from_the_task, model.encoder.gate.weight.grad)


def test_dense_and_sparse_have_the_same_parameters() -> None:
    counts = {
        (attention, entities): sum(p.numel() for p in make(attention=attention, entities=entities).parameters())
        for attention in ("sparse", "dense")
        for entities in ("learned", "random", "none")
    }
    assert counts["sparse", "learned"] == counts["sparse", "random"] == counts["dense", "learned"]
    relations = 3 * 2 * 4 * 32  # layers, directions, kinds, hidden size
    assert counts["sparse", "learned"] - counts["sparse", "none"] == relations


def test_saved_models_come_back_through_the_auto_classes(texts: dict[str, torch.Tensor], tmp_path: Path) -> None:
    for auto, kind in (
        (AutoModelForTokenClassification, RelationSparseForTokenClassification),
        (AutoModelForCausalLM, RelationSparseForCausalLM),
    ):
        model = make(kind)
        model.save_pretrained(tmp_path / kind.__name__)
        loaded = auto.from_pretrained(tmp_path / kind.__name__).eval()
        assert type(loaded) is kind
        assert torch.equal(loaded(**texts).logits, model(**texts).logits)


def test_trainer_lowers_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rows = [{"input_ids": ids, "labels": ids % 5} for ids in torch.randint(1, 50, (64, 40))]
    model = RelationSparseForTokenClassification(RelationSparseConfig(**SIZES))
    arguments = TrainingArguments(
        str(tmp_path), max_steps=40, learning_rate=1e-2, per_device_train_batch_size=16, logging_steps=10,
        report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] / 2


def test_peft_trains_an_adapter_on_it(texts: dict[str, torch.Tensor]) -> None:
    model = get_peft_model(make(), LoraConfig(r=2, target_modules=["qkv", "out"]))
    model(**texts, labels=torch.randint(0, 5, (2, 90))).loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained
    assert all("lora_" in name for name in trained)


def test_the_causal_form_reads_no_future(texts: dict[str, torch.Tensor]) -> None:
    for entities in ("learned", "none"):
        model = make(RelationSparseForCausalLM, entities=entities)
        assert model.head.weight is model.encoder.embedding.weight
        ids = texts["input_ids"]
        before = model(ids).logits
        ids = torch.cat([ids[:, :60], ids[:, 60:] % 49 + 1], 1)
        after = model(ids).logits
        torch.testing.assert_close(after[:, :60], before[:, :60], atol=1e-6, rtol=1e-6)
        assert not torch.allclose(after[:, 60:], before[:, 60:])


def test_the_causal_form_reads_no_relation_off_the_future() -> None:
    model = make(RelationSparseForCausalLM, num_entities=40)
    nn.init.constant_(model.encoder.gate.bias[1:], 5.0)  # every token is an entity
    for ids, following in (
        ([5, 6, 9, 9, 5, 6], 7),  # a name that comes back, or does not
        ([7, 4, 5, 8, 9, 4, 5], 9),  # a title that comes back, or does not
    ):
        whole = torch.tensor([ids * 4])  # beyond the window, too
        other = whole.clone()
        other[0, -1] = following
        torch.testing.assert_close(model(whole).logits[0, :-1], model(other).logits[0, :-1], atol=1e-6, rtol=1e-6)


def test_a_relation_left_out_changes_nothing_else(texts: dict[str, torch.Tensor]) -> None:
    every, ids = make(), torch.tensor([[5, 6, 3, 9, 5, 6, 8, 3] * 11])
    fewer = RelationSparseForTokenClassification(RelationSparseConfig(**SIZES, relations=("title", "same type"))).eval()
    fewer.load_state_dict(every.state_dict())
    assert not torch.allclose(every(ids).logits, fewer(ids).logits)
    every.encoder.layers.apply(lambda part: _silence(part, [0, 3]))
    torch.testing.assert_close(every(ids).logits, fewer(ids).logits)


def _silence(part: nn.Module, kinds: list[int]) -> None:
    if hasattr(part, "relation_key"):
        part.relation_key.data[:, kinds] = 0


def test_without_a_window_tokens_meet_through_entities_alone(texts: dict[str, torch.Tensor]) -> None:
    model, ids = make(window=None, num_hidden_layers=2), texts["input_ids"][:1]
    before = model(ids, entities=torch.tensor([[40]])).logits[0]
    ids[0, 0] = ids[0, 0] % 49 + 1
    after = model(ids, entities=torch.tensor([[40]])).logits[0]
    assert not torch.equal(before[40], after[40])  # the entity has read it
    torch.testing.assert_close(before[41:], after[41:])  # the others would in a layer more


def test_a_gate_that_may_choose_no_entity_trains_as_a_window_does(texts: dict[str, torch.Tensor]) -> None:
    gated = make(num_entities=0)
    window = RelationSparseForTokenClassification(RelationSparseConfig(**SIZES, entities="none")).eval()
    window.load_state_dict(gated.state_dict(), strict=False)
    torch.testing.assert_close(gated(**texts).logits, window(**texts).logits)
    gated(**texts).logits.sum().backward()
    window(**texts).logits.sum().backward()
    torch.testing.assert_close(gated.encoder.embedding.weight.grad, window.encoder.embedding.weight.grad)


def test_the_causal_form_generates() -> None:
    model = make(RelationSparseForCausalLM)
    said = model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False, use_cache=False)
    assert said.shape == (1, 7)
    assert said[0, 3] == model(torch.tensor([[5, 6, 7]])).logits[0, -1].argmax()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 30}, "no head of even size"),
        ({"attention": "spares"}, "attention must be one of"),
        ({"entities": "gold"}, "entities must be one of"),
        ({"relations": ("same colour",)}, "relations must be among"),
        ({"gate_layer": 3}, "gate_layer must be in 0 … 2"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelationSparseConfig(**{**SIZES, **options})


def test_a_text_shorter_than_a_block_and_one_without_tokens() -> None:
    model = make(num_entities=32)
    assert model(torch.tensor([[7]])).logits.isfinite().all()
    with pytest.raises(ValueError, match="no token"):
        model(torch.empty(1, 0, dtype=torch.long))
