"""Real models by name: known ones from the cache, a local folder, a hub id; a helpful sentence for the rest."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from llm_tutorial.fetch import FetchError, cache_folder
from llm_tutorial.models import ALIASES, SOURCES, gguf_path, load_encoder, load_model, load_tokenizer, model_folder


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return load_model("smollm2-135m")


def test_the_decoder_is_float32_in_evaluation_mode_with_tied_embeddings(model: PreTrainedModel) -> None:
    assert isinstance(model, LlamaForCausalLM)
    assert model.dtype == torch.float32
    assert not model.training
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not hasattr(model.config, "quantization_config")


def test_the_decoder_answers_a_simple_question(model: PreTrainedModel) -> None:
    tokenizer = load_tokenizer("smollm2-135m")
    chat = [{"role": "user", "content": "What is the capital of Japan?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Tokyo" in tokenizer.decode(reply)
    assert reply[-1] == tokenizer.eos_token_id


def test_the_copy_holds_the_weights_of_the_gguf_file(model: PreTrainedModel) -> None:
    gguf = pytest.importorskip("gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_path("smollm2-135m")).tensors}
    packed = tensors["blk.7.ffn_down.weight"]
    assert packed.tensor_type.name == "Q4_1"
    weights = torch.from_numpy(gguf.dequantize(packed.data, packed.tensor_type))
    assert torch.equal(model.model.layers[7].mlp.down_proj.weight, weights)


def test_the_tokenizer_has_the_special_tokens_of_the_chat_format() -> None:
    tokenizer = load_tokenizer("smollm2-135m")
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.model_max_length == 8192
    assert tokenizer("hello").input_ids == [28120]  # nothing is put before a text
    assert tokenizer.tokenize("a  2024\n 5") == ["a", "ĠĠ", "2", "0", "2", "4", "ĊĠ", "5"]
    text = "On 5 January 2024, 3.5 kg → 2024年1月5日\n"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_encoder_brings_sentences_of_one_meaning_together() -> None:
    encoder, tokenizer = load_encoder("minilm"), load_tokenizer("minilm")
    sentences = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    inputs = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = encoder(**inputs).last_hidden_state  # (sentence, token, 384)
    mask = inputs["attention_mask"].unsqueeze(-1)
    embedding = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    similarity = embedding @ embedding.T
    assert similarity[0, 1] > 0.5 > 0.2 > similarity[0, 2]


def test_an_encoder_is_not_loaded_as_a_decoder() -> None:
    with pytest.raises(ValueError, match=r"load_encoder[\s\S]*请使用 load_encoder"):
        load_model("minilm")


def test_an_alias_is_the_same_model() -> None:
    assert set(ALIASES.values()) <= set(SOURCES)
    assert model_folder("SmolLM2-135M-Instruct") == model_folder("smollm2-135m")


def test_a_known_model_needs_no_network_after_the_first_use(model: PreTrainedModel) -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from llm_tutorial.models import *\n"
        "load_tokenizer('smollm2-135m'); load_encoder('minilm'); load_model('smollm2-135m')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress noise, no warning


def test_loading_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_encoder("minilm")


def test_a_local_folder_is_loaded_like_a_known_name(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    small = LlamaForCausalLM(config)
    small.save_pretrained(tmp_path)
    for name in (tmp_path, str(tmp_path)):
        assert torch.equal(load_model(name).lm_head.weight, small.lm_head.weight)
    assert load_model(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["smolm2", "SmolLM2-135", "smollm2_135m"])
def test_an_unknown_name_brings_the_nearest_known(name: str) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'smollm2-135m'.*local folder or a hub id[\s\S]*未知的模型"):
        load_model(name)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", Path("nowhere")])
def test_a_folder_that_is_not_there_is_named(name: str | Path) -> None:
    with pytest.raises(ValueError, match=r"There is no folder[\s\S]*没有可供加载模型的文件夹"):
        load_tokenizer(name)


def test_only_a_model_that_came_as_gguf_has_such_a_file() -> None:
    assert gguf_path().suffix == ".gguf"
    for name in ("minilm", "nonsense"):
        with pytest.raises(ValueError, match="these do: smollm2-135m"):
            gguf_path(name)


def test_a_hub_id_out_of_reach_names_the_endpoint_and_the_local_folder(tmp_path: Path) -> None:
    code = "from llm_tutorial.models import load_model; load_model('owner/name')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1
    assert FetchError.__name__ in done.stderr
    assert "HF_ENDPOINT" in done.stderr
    assert "本地文件夹" in done.stderr
    assert "During handling" not in done.stderr
    assert "direct cause" not in done.stderr


def test_a_damaged_copy_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = gguf_path()  # copied, so that the model's cache stays as it is
    (tmp_path / gguf.parent.name).mkdir()
    for path in gguf.parent.iterdir():
        shutil.copy2(path, tmp_path / gguf.parent.name / path.name)
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    converted = []

    def convert(source: Path, folder: Path) -> None:
        converted.append(source.name)
        (folder / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr("llm_tutorial.models._convert", convert)
    copy = model_folder() / "model.safetensors"
    assert model_folder() / "model.safetensors" == copy
    assert len(converted) == 1
    copy.write_bytes(b"weigh")
    assert (model_folder() / "model.safetensors").read_bytes() == b"weights"
    assert len(converted) == 2
