"""A sentence encoder as one file: the same numbers, 8 bits by their definition, and what a judge of search says."""

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.transformer.deploy import (
    INPUTS,
    OnnxEncoder,
    embed_all,
    export_onnx,
    interval,
    quantize_onnx,
    ranks,
    reciprocal,
    session,
    torch_run,
)
from llm_tutorial.transformer.saving import SaveError
from llm_tutorial.transformer.sentence import SentenceEncoder

TEXTS = ["How do I open a file?", "A longer text, with a second clause that makes it longer still.", "No."]


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder(load_encoder("minilm", num_hidden_layers=2)).eval()  # two of six blocks: the rest is alike


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory):
    return export_onnx(encoder, tmp_path_factory.mktemp("onnx") / "float.onnx")


def test_an_embedding_is_the_mean_over_real_tokens_of_length_one(encoder, tokenizer):
    alone = [torch_run(encoder)(tokenizer([text], return_tensors="np"))[0] for text in TEXTS]
    for text, found in zip(TEXTS, alone, strict=True):
        states = encoder.model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        assert np.allclose(found, F.normalize(states.mean(0), dim=0).detach(), atol=1e-6)
    together = torch_run(encoder)(tokenizer(TEXTS, padding=True, return_tensors="np"))
    assert np.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(("batch", "length"), [(1, 2), (1, 300), (5, 9), (3, 512)])
def test_the_file_gives_the_same_for_every_shape(encoder, exported, batch, length):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20000, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    feed = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
    (found,) = session(exported).run(None, feed)
    assert np.allclose(found, torch_run(encoder)(feed), atol=1e-5)


def test_a_text_beyond_the_limit_is_an_error_and_the_encoder_cuts_it(exported, tokenizer):
    ids = np.ones((1, 513), dtype=np.int64)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        session(exported).run(None, dict(zip(INPUTS, (ids, ids), strict=True)))
    assert OnnxEncoder(exported, tokenizer)(["word " * 1000]).shape == (1, 384)


def test_embeddings_keep_their_order_and_do_not_depend_on_the_batch(exported, tokenizer):
    encode = OnnxEncoder(exported, tokenizer)
    alone = np.concatenate([encode([text]) for text in TEXTS])
    for size in (1, 2, 32):
        assert np.allclose(encode(TEXTS, batch_size=size), alone, atol=1e-5)


def test_8_bits_depend_on_the_texts_beside_them(exported, tokenizer, tmp_path):
    """What the page says: one scale for all tokens of a call. Only the float file gives the same in any company."""
    encode = OnnxEncoder(quantize_onnx(exported, tmp_path / "int8.onnx"), tokenizer)
    alone = np.concatenate([encode([text]) for text in TEXTS])
    cosine = (encode(TEXTS) * alone).sum(-1)
    assert 0.97 < cosine.min() < 0.9999
    assert np.allclose(np.concatenate([encode([text]) for text in TEXTS]), alone, atol=1e-6)


def test_ids_are_refused_only_beyond_the_vocabulary(exported):
    """What the page says of ids of another tokenizer."""
    for ids, fits in (([[101, -100, 102]], True), ([[101, 30_521, 102]], True), ([[101, 30_522, 102]], False)):
        feed = dict(zip(INPUTS, (np.array(ids), np.ones((1, 3), dtype=np.int64)), strict=True))
        if fits:
            assert np.isfinite(session(exported).run(None, feed)[0]).all()
        else:
            with pytest.raises(Exception, match="out of data bounds"):
                session(exported).run(None, feed)


def test_eager_time_on_a_short_text_is_matrix_products(encoder):
    """What the page says of one profile; the bound is loose, for the machine may be busy."""
    ids = torch.ones(1, 16, dtype=torch.long)
    with torch.inference_mode():
        encoder(ids, ids)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(5):
                encoder(ids, ids)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    assert times["aten::addmm"] > 0.5 * sum(times.values())


def test_no_text_is_an_error_in_both_languages(exported, tokenizer):
    with pytest.raises(ValueError, match=r"No text(.|\n)*没有"):
        OnnxEncoder(exported, tokenizer)([])


@pytest.mark.parametrize("per_channel", [True, False])
def test_8_bit_weights_are_the_rounded_ones(encoder, exported, tmp_path, per_channel):
    path = quantize_onnx(exported, tmp_path / "int8.onnx", per_channel)
    assert path.stat().st_size < 0.3 * exported.stat().st_size
    weight = encoder.model.encoder.layer[0].output.dense.weight.detach().numpy().T
    scale = np.abs(weight).max(axis=0 if per_channel else None, keepdims=True) / 127
    stored = [onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer]
    same = [each for each in stored if each.dtype == np.int8 and each.shape == weight.shape]
    assert any(np.abs(each - np.round(weight / scale)).max() <= 1 for each in same)
    assert not any(np.abs(each - np.round(weight / scale) - 3).max() <= 1 for each in same)


def test_8_bits_stay_near_and_per_channel_nearer(encoder, exported, tokenizer, tmp_path):
    right = embed_all(torch_run(encoder), tokenizer, TEXTS)
    cosine = {}
    for per_channel in (True, False):
        path = quantize_onnx(exported, tmp_path / f"{per_channel}.onnx", per_channel)
        cosine[per_channel] = (OnnxEncoder(path, tokenizer)(TEXTS) * right).sum(-1).mean()
    assert 0.97 < cosine[True] < 0.99999
    assert cosine[False] < cosine[True]


def test_an_older_opset_writes_attention_out(encoder, exported, tmp_path):
    def count(path):
        return sum(node.op_type == "Attention" for node in onnx.load(path).graph.node)

    assert count(exported) == 2
    assert count(export_onnx(encoder, tmp_path / "old.onnx", opset=20)) == 0


def test_16_bits_run_and_stay_near(encoder, tokenizer):
    half = SentenceEncoder(load_encoder("minilm", num_hidden_layers=2, dtype=torch.bfloat16)).eval()
    found = embed_all(torch_run(half), tokenizer, TEXTS)
    assert found.dtype == np.float32
    assert (found * embed_all(torch_run(encoder), tokenizer, TEXTS)).sum(-1).min() > 0.99


def test_what_cannot_be_written_leaves_nothing(encoder, exported, tmp_path):
    with pytest.raises(SaveError, match=r"was not saved(.|\n)*没有保存成功"):
        quantize_onnx(tmp_path / "absent.onnx", tmp_path / "int8.onnx")
    with pytest.raises(SaveError):
        quantize_onnx(exported, tmp_path / "no" / "such" / "folder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_judge_of_search_tells_right_half_wrong_and_wrong():
    passages = np.eye(4, dtype="f4")
    right = [[0], [1], [2], [3]]
    assert ranks(passages, passages, right) == [1, 1, 1, 1]
    half = passages.copy()
    half[2:] = (passages[2:] + 2 * passages[:2]) / np.sqrt(5)
    assert ranks(half, passages, right) == [1, 1, 2, 2]
    assert ranks(-passages, passages, right) == [4, 4, 4, 4]
    assert ranks(half, passages, [[0], [1], [2, 0], [3, 1]]) == [1, 1, 1, 1]  # the better of two counts
    assert reciprocal([1, 2, 10, 11]).tolist() == [1, 0.5, 0.1, 0]


def test_a_judge_of_search_refuses_what_would_find_everything():
    passages = np.eye(4, dtype="f4")
    for broken in (np.full((4, 4), np.nan, dtype="f4"), np.ones((4, 4), dtype="f4") / 2):
        with pytest.raises(ValueError, match=r"Embeddings that are not finite|All passages have the same"):
            ranks(passages, broken, [[0], [1], [2], [3]])
    with pytest.raises(ValueError, match=r"not finite(.|\n)*无法排名"):
        ranks(passages * np.nan, passages, [[0], [1], [2], [3]])


def test_an_interval_covers_the_mean_and_shrinks_with_the_sample():
    values = np.random.default_rng(1).normal(size=4000)
    few, many = interval(values[:100]), interval(values)
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(len(values)), rel=0.06)
    assert few[0] < values[:100].mean() < few[1]
    assert many[1] - many[0] < 0.3 * (few[1] - few[0])
    assert interval([0.5] * 10) == (0.5, 0.5)


@pytest.mark.filterwarnings("ignore")
def test_what_the_page_says_of_calls_that_only_warn_or_change(encoder, tmp_path):
    encoder.model.save_pretrained(tmp_path, safe_serialization=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    ids = torch.ones(2, 8, dtype=torch.long)
    axes = {0: "batch", 1: "length"}
    with pytest.warns(DeprecationWarning, match="from_dynamic_axes_to_dynamic_shapes is deprecated"):
        torch.onnx.export(
            encoder, (ids, ids), tmp_path / "a.onnx", input_names=INPUTS, dynamic_axes=dict.fromkeys(INPUTS, axes)
        )
    with pytest.warns(DeprecationWarning, match="legacy TorchScript-based ONNX export"):
        torch.onnx.export(encoder, (ids, ids), tmp_path / "b.onnx", input_names=INPUTS, dynamo=False)
    linear = torch.nn.Linear(2, 2)
    with pytest.warns(DeprecationWarning, match="torch.export"):
        torch.jit.trace(linear, torch.ones(1, 2))
    with pytest.warns(DeprecationWarning, match="torch.ao.quantization is deprecated"):
        torch.ao.quantization.quantize_dynamic(linear, {torch.nn.Linear})
