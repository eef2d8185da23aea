"""Sixteen bits anywhere: float16 and bfloat16, as the model's own type, under autocast and in Accelerate's hands."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.data.messages import Message
from llm_tutorial.data.reviews import Span
from llm_tutorial.lora import hops, sentiment, tagging, translation
from llm_tutorial.lora import sparse as sparse_module
from llm_tutorial.lora.attention import attention, merge, tiled_attention
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForCausalLM,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.inject import add_lora, lora_layers
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.linear import LoRALinear
from llm_tutorial.lora.quantized import quantize_model
from llm_tutorial.lora.sparse import masked_attention, sparse_attention
from llm_tutorial.packing import Example, answer_loss, answer_tokens
from llm_tutorial.tagging import count_characters
from llm_tutorial.training import fit

SHORT = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
CAST = pytest.mark.parametrize("autocast", [False, True], ids=["as-a-whole", "autocast"])


def close(got: Tensor, want: Tensor, dtype: torch.dtype, steps: float = 16) -> None:
    """Within some rounding steps of the largest entry."""
    assert got.isfinite().all()
    off = (got.double() - want.double()).abs().max()
    assert off <= steps * torch.finfo(dtype).eps * want.abs().max() + 1e-6, f"off by {off} of {want.abs().max()}"


def in_short(call: Callable[..., Tensor], leaves: list[Tensor], dtype: torch.dtype, autocast: bool) -> list[Tensor]:
    """Output and gradients of a call whose tensors, or whose products, have 16 bits."""
    mine = [leaf.detach().to(torch.float32 if autocast else dtype).requires_grad_() for leaf in leaves]
    with torch.autocast("cpu", dtype) if autocast else nullcontext():
        out = call(*mine)
    out.float().sin().sum().backward()
    return [out, *(leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in mine)]


MATRICES = {
    "window": {},
    "entities": {"entities": torch.tensor([[5, 60], [9, -1]])},
    "causal": {"entities": torch.tensor([[5, 60], [9, -1]]), "causal": True},
    "pairs": {"pairs": torch.tensor([[[70, 3], [0, 69]], [[44, 2], [-1, -1]]])},
    "padding": {"entities": torch.tensor([[5], [9]]), "real": torch.arange(80)[None] < torch.tensor([[80], [50]])},
    "no window": {"window": None, "entities": torch.tensor([[5], [9]])},
}


@SHORT
@CAST
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "explicit"])
@pytest.mark.parametrize("kind", MATRICES)
def test_sparse_attention(kind: str, fused: bool, autocast: bool, dtype: torch.dtype, monkeypatch: Any) -> None:
    monkeypatch.setattr(sparse_module, "FUSED_ON", ("cpu",) if fused else ())
    matrix = InteractionMatrix(80, 8, **{"window": 1, **MATRICES[kind]})  # type: ignore[arg-type]
    biases = []
    if matrix.entities is not None:
        count = matrix.entities.shape[1]
        biases = [torch.randn(2, 2, 80, count), torch.randn(2, 1, count, 80)]
    leaves = [*torch.randn(3, 2, 2, 80, 16), *biases]

    def call(*some: Tensor) -> Tensor:
        return sparse_attention(*some[:3], matrix, *some[3:], dense_below=0)  # type: ignore[arg-type]

    def dense(*some: Tensor) -> Tensor:
        return masked_attention(*some[:3], matrix, *some[3:])  # type: ignore[arg-type]

    exact = [leaf.double().requires_grad_() for leaf in leaves]
    want = dense(*exact)
    want.sin().sum().backward()
    for attend in (call, dense):
        got = in_short(attend, leaves, dtype, autocast)
        assert got[0].dtype == dtype  # as torch's own attention
        for ours, theirs in zip(got, [want, *(leaf.grad for leaf in exact)], strict=True):
            close(ours, torch.zeros_like(ours) if theirs is None else theirs, dtype)


@SHORT
@CAST
@pytest.mark.parametrize("attend", [attention, tiled_attention])
def test_attention_in_parts(attend: Any, autocast: bool, dtype: torch.dtype) -> None:
    leaves = list(torch.randn(3, 2, 2, 300, 16))
    causal = torch.ones(300, 300, dtype=torch.bool).tril()
    options: dict[str, Any] = {"mask": causal} if attend is attention else {"causal": True}
    exact = [leaf.double().requires_grad_() for leaf in leaves]
    want = F.scaled_dot_product_attention(*exact, is_causal=True)
    want.sin().sum().backward()
    got = in_short(lambda *some: attend(*some, **options)[0], leaves, dtype, autocast)
    assert got[0].dtype == (torch.float32 if autocast else dtype)
    for ours, theirs in zip(got, [want, *(leaf.grad for leaf in exact)], strict=True):
        close(ours, theirs, dtype)


@SHORT
def test_log_sum_exps_are_float32_and_merge_exactly(dtype: torch.dtype) -> None:
    query, key, value = torch.randn(3, 1, 2, 40, 16).to(dtype)
    mask = torch.rand(40, 40) < 0.5
    mask[3] = True  # the other part of this row is empty
    parts = [attention(query, key, value, each) for each in (mask, ~mask)]
    out, lse = merge(*parts[0], *parts[1])
    assert (out.dtype, lse.dtype) == (dtype, torch.float32)
    whole, whole_lse = attention(query.double(), key.double(), value.double())
    close(out, whole, dtype)
    close(lse, whole_lse, dtype)


SIZES: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_labels": 5, "dropout": 0.0}
SIZES |= {"num_entities": 5, "block_size": 8, "sentence_ends": (3,), "titles": ((4, 5),), "bigram_buckets": 64}
IDS = torch.randint(1, 50, (2, 90), generator=torch.Generator().manual_seed(1))
MASK = torch.arange(90)[None].lt(torch.tensor([[90], [70]])).long()


def model_of(kind: type, **options: Any) -> Any:
    made = kind(RelationSparseConfig(**SIZES | options)).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


def as_short(model: nn.Module, dtype: torch.dtype, autocast: bool) -> Any:
    """The model in 16 bits and the context to run it in."""
    return torch.autocast("cpu", dtype) if autocast else (model.to(dtype), nullcontext())[1]


@SHORT
@CAST
@pytest.mark.parametrize("attend", ["sparse", "dense"])
@pytest.mark.parametrize("entities", ["learned", "none"])
@pytest.mark.parametrize("kind", [RelationSparseForTokenClassification, RelationSparseForCausalLM])
def test_the_encoder(kind: type, entities: str, attend: str, autocast: bool, dtype: torch.dtype) -> None:
    model = model_of(kind, attention=attend, entities=entities)
    inputs = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS % 5}
    if kind is RelationSparseForTokenClassification:
        inputs["types"] = (IDS % 11 == 0).long()
    want = model(**inputs)
    with as_short(model, dtype, autocast):
        got = model(**inputs)
    got.loss.backward()
    assert got.loss.dtype == torch.float32
    assert got.loss.item() == pytest.approx(want.loss.item(), rel=64 * torch.finfo(dtype).eps)
    if entities == "none" or torch.equal(got.entities, want.entities):  # at a near tie the gate may choose another one
        close(got.logits[MASK.bool()], want.logits[MASK.bool()], dtype, steps=40)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@SHORT
@CAST
def test_the_encoder_in_training_draws_its_noise(autocast: bool, dtype: torch.dtype) -> None:
    model = model_of(RelationSparseForTokenClassification).train()
    with as_short(model, dtype, autocast):
        output = model(IDS, MASK, labels=IDS % 5)
    assert output.loss.isfinite()
    assert (output.entities >= 0).all()


@SHORT
@CAST
def test_relations_and_given_entities(autocast: bool, dtype: torch.dtype) -> None:
    model, entities = model_of(RelationSparseForTokenClassification), torch.tensor([[3, 40], [9, -1]])
    want = model(IDS, MASK, entities=entities).logits
    with as_short(model, dtype, autocast):
        close(model(IDS, MASK, entities=entities).logits[MASK.bool()], want[MASK.bool()], dtype, steps=40)


@SHORT
def test_far_positions_are_told_apart(dtype: torch.dtype) -> None:
    model = model_of(RelationSparseForTokenClassification, entities="none").to(dtype)
    near, far = (model(IDS, position_ids=torch.arange(90)[None] + start).logits for start in (0, 8000))
    close(far, near.detach().float(), dtype, steps=40)  # rotary positions are relative


@SHORT
@CAST
def test_the_lstm_tagger(autocast: bool, dtype: torch.dtype) -> None:
    model = model_of(tagging.LSTMTagger)
    want = model(IDS, labels=IDS % 5)
    with as_short(model, dtype, autocast):
        got = model(IDS, labels=IDS % 5)
    got.loss.backward()
    close(got.logits, want.logits, dtype, steps=40)
    assert got.loss.item() == pytest.approx(want.loss.item(), rel=1e-2)


def reader() -> translation.Reader:
    english = ("Open the file", "Close the file", "Open %s", "Delete %s", "Save all files", "Save the file as %s")
    chinese = ("打开文件", "关闭文件", "打开 %s", "删除 %s", "保存所有文件", "将文件另存为 %s")
    pairs = zip(english, chinese, strict=True)
    return translation.Reader([Message(*pair, "app", place) for place, pair in enumerate(pairs)], vocabulary=300)


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_entities": 4, "block_size": 16}


@SHORT
@CAST
def test_the_translator(autocast: bool, dtype: torch.dtype) -> None:
    read = reader()
    rows = read.held_out([Message("Delete the file", "删除文件", "app", 2), Message("Close %s", "关闭 %s", "app", 3)])
    model = translation.Translator(translation.translator_config(read, **SMALL)).eval()
    loss_of = translation.loss_for(read)
    want = loss_of(model, rows, None)
    with as_short(model, dtype, autocast):
        got = loss_of(model, rows, None)
        said = model.translate(rows, read.tokenizer)
    got.backward()
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(want.item(), rel=2e-2)
    assert len(said) == 2
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@SHORT
def test_what_is_hardly_possible_has_a_finite_loss(dtype: torch.dtype) -> None:
    read = reader()
    rows = read.held_out([Message("Delete the file", "删除文件", "app", 2)])
    model = translation.Translator(translation.translator_config(read, **SMALL)).eval()
    nn.init.constant_(model.bias, 0.0)
    model.bias.data[translation.TO] = 100.0  # so that all others have a probability of 1e-9 at most
    assert translation.loss_for(read)(model.to(dtype), rows, None).isfinite()


ADAPTERS = [{}, {"use_dora": True}, {"use_rslora": True}, {"dropout": 0.1}]


@SHORT
@CAST
@pytest.mark.parametrize("packed", [False, True], ids=["float-base", "4-bit-base"])
@pytest.mark.parametrize("options", ADAPTERS, ids=str)
def test_adapters(options: dict[str, Any], packed: bool, autocast: bool, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 64))
    model = add_lora(quantize_model(model) if packed else model, rank=4, **options).eval()
    for _, layer in lora_layers(model):
        nn.init.normal_(layer.lora_B, std=0.3)
    x = torch.randn(5, 64)
    want = model(x)
    with as_short(model, dtype, autocast):
        got = model(x if autocast else x.to(dtype))
    got.float().sum().backward()
    assert got.dtype == dtype
    close(got, want, dtype)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@SHORT
@CAST
def test_a_float32_adapter_beside_a_base_of_16_bits(autocast: bool, dtype: torch.dtype) -> None:
    layer = LoRALinear(nn.Linear(64, 32).to(dtype), 4, use_dora=True)
    nn.init.normal_(layer.lora_B, std=0.3)
    x = torch.randn(5, 64).to(dtype)
    with torch.autocast("cpu", dtype) if autocast else nullcontext():
        got = layer(x)
    merged = layer.merged_weight()
    close(got, F.linear(x.float(), merged, layer.base.bias.float()), dtype)
    got.sum().backward()
    assert layer.lora_A.grad is not None
    assert layer.lora_A.grad.dtype == torch.float32


@SHORT
@CAST
def test_answers_sum_up_past_the_end_of_float16(llama: Any, autocast: bool, dtype: torch.dtype) -> None:
    model, example = llama(tie_word_embeddings=False), Example(list(range(1, 48)), 1)
    model.lm_head.weight.data *= 1000  # some hundred nats a token
    want = answer_loss(model, [example] * 10)
    assert want > torch.finfo(torch.float16).max
    with as_short(model, dtype, autocast):
        assert answer_loss(model, [example] * 10).item() == pytest.approx(want.item(), rel=2e-2)


@SHORT
def test_reviews_vote_in_float32(dtype: torch.dtype) -> None:
    model = model_of(RelationSparseForTokenClassification)
    document = sentiment.Reviewed(IDS[0], (Span(0, 30, 1), Span(31, 90, 0)))
    for alone in (False, True):
        want = sentiment.review_loss(model.float(), [document], alone=alone)
        got = sentiment.review_loss(model.to(dtype), [document], alone=alone)
        assert got.item() == pytest.approx(want.item(), rel=2e-2)


def losses(task: str, precision: str) -> list[float]:
    """Eight steps of one of the chapter's tasks in Accelerate's hands."""
    torch.manual_seed(0)
    model: Any
    options: dict[str, Any] = {}
    if task == "packed answers":
        from transformers import LlamaConfig, LlamaForCausalLM

        sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
        model = add_lora(LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4)), rank=4)
        batch: list[Any] = [Example([5, 6, 7, 8, 9], 3), Example([5, 10, 11, 12, 13], 2)]
    elif task == "translation":
        read = reader()
        model, batch = translation.Translator(translation.translator_config(read, **SMALL)), read.batches()(0)
        options = {"loss_of": translation.loss_for(read), "count": translation.count_for(read)}
    elif task == "hops":
        model, batch = model_of(RelationSparseForTokenClassification, vocab_size=len(hops.WORDS), num_labels=8), []
        batch = [hops.hop_text(128, str(number)) for number in range(2)]
        options = {"loss_of": hops.mention_loss, "count": hops.count_mentions}
    else:
        model = model_of(tagging.LSTMTagger if task == "LSTM" else RelationSparseForTokenClassification)
        batch = [tagging.Tagged(IDS[0], IDS[0] % 5, IDS[0] % 4)]
        options = {"loss_of": tagging.loss_of, "count": count_characters}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    options = {"loss_of": answer_loss, "count": answer_tokens} | options
    return fit(model, lambda step: batch, optimizer, 8, accelerator=accelerator, **options)


@pytest.mark.parametrize("task", ["packed answers", "tagging", "LSTM", "translation", "hops"])
def test_accelerate_trains_in_mixed_precision_as_in_float32(task: str) -> None:
    full, mixed = losses(task, "no"), losses(task, "bf16")
    AcceleratorState._reset_state(True)
    assert mixed != full
    assert mixed == pytest.approx(full, rel=0.1)
