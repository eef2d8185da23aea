"""Prompts in both languages become whole words and whole characters, and nothing is cut."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from llm_tutorial.captions import caption_tokenizer, check_lengths, text_encoder, token_ids
from llm_tutorial.data import shapes
from llm_tutorial.data.openmoji import openmoji, prompt


@pytest.fixture(scope="module")
def names() -> list[str]:
    return [prompt(picture, language) for picture in openmoji() for language in ("en", "zh")]


@pytest.fixture(scope="module")
def tokenizer(names: list[str]) -> CLIPTokenizer:
    return caption_tokenizer(names)


def test_english_words_and_chinese_characters_are_one_token_each(names: list[str], tokenizer: CLIPTokenizer) -> None:
    assert tokenizer.tokenize("woman cook with dark skin tone") == [
        f"{word}</w>" for word in ("woman", "cook", "with", "dark", "skin", "tone")
    ]
    for name in names:
        if all("一" <= character <= "鿿" for character in name):
            assert len(tokenizer.tokenize(name)) == len(name)


def test_no_caption_is_cut(names: list[str], tokenizer: CLIPTokenizer) -> None:
    assert max(map(len, tokenizer(names).input_ids)) <= tokenizer.model_max_length
    drawn = [*shapes.scenes(200), *shapes.scenes(50, "combinations")]
    captions = [
        shapes.caption(scene, language, wording)
        for scene in drawn
        for language in ("en", "zh")
        for wording in range(shapes.WORDINGS)
    ]
    caption_tokenizer(captions)  # checks by itself


def test_different_names_have_different_tokens(names: list[str], tokenizer: CLIPTokenizer) -> None:
    lowered = {name.lower() for name in names}
    assert len({tuple(ids) for ids in tokenizer(sorted(lowered)).input_ids}) == len(lowered)


def test_unknown_words_are_cut_in_known_pieces(tokenizer: CLIPTokenizer) -> None:
    for text in ("zyzzyva", "魑魅魍魉", "🙂", "ß"):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).replace(" ", "") == text


def test_an_empty_prompt_is_begin_and_end(tokenizer: CLIPTokenizer) -> None:
    [ids] = token_ids(tokenizer, [""])
    assert ids[0] == tokenizer.bos_token_id
    assert (ids[1:] == tokenizer.eos_token_id).all()


def test_a_saved_tokenizer_is_the_same(names: list[str], tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == tokenizer.model_max_length
    assert loaded(names).input_ids == tokenizer(names).input_ids


def test_a_prompt_over_the_limit_says_which_words_are_lost(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(ValueError, match=r"(?s)would lose ' heart'.*会被分词器截掉") as error:
        check_lengths(tokenizer, ["red " * 30 + "heart"])
    assert "30 tokens" in str(error.value)


def test_the_encoder_reads_a_prompt_of_full_length(tokenizer: CLIPTokenizer) -> None:
    encoder = text_encoder(tokenizer, 16, layers=1)
    states = encoder(token_ids(tokenizer, ["red heart", "红心"])).last_hidden_state
    assert states.shape == (2, tokenizer.model_max_length, 16)
    assert bool(torch.isfinite(states).all())


def test_another_process_gives_a_token_the_same_number() -> None:
    code = (
        "from llm_tutorial.captions import caption_tokenizer\n"
        "tokenizer = caption_tokenizer(['it is in an inn', 'at the red ring on the right', '红色的心'])\n"
        "print(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))"
    )
    run = partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len({run().stdout for _ in range(3)}) == 1
