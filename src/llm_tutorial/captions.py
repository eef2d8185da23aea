"""The words of prompts in two languages, and a small text encoder of CLIP's kind.

``StableDiffusionPipeline`` asks for a ``CLIPTokenizer``: byte-pair encoding over words, a run of Chinese characters
being one word. Trained on captions in the common way, its merges would cut English words in pieces and glue parts of
Chinese characters; with few merges captions grow long and are cut at the end. Here the merges are chosen so that every
English word of the captions and every Chinese character is one token, and ``check_lengths`` sees that nothing is cut.
"""

import json
import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+").findall  # as CLIP cuts a text
_HAN = re.compile(r"[一-鿿]")


def caption_tokenizer(captions: Iterable[str], max_length: int = 32) -> CLIPTokenizer:
    """A tokenizer in which every English word and every Chinese character of captions is one token.

    Other words are cut in pieces down to bytes, so none is unknown.

    Args:
        captions: In both languages.
        max_length: Tokens of a prompt, with begin and end.

    Raises:
        ValueError: A caption does not fit.

    Example:
        >>> tokenizer = caption_tokenizer(["a red heart", "红色的心", "红"])
        >>> tokenizer.tokenize("a Red heart"), len(tokenizer.tokenize("的红心"))
        (['a</w>', 'red</w>', 'heart</w>'], 3)
        >>> tokenizer.tokenize("a hat")
        ['a</w>', 'h', 'a', 't</w>']
    """
    captions = list(captions)
    words = sorted({word for caption in captions for word in _WORDS(caption.lower())})
    latin = [_bytes(word) for word in words if not _HAN.search(word)]
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(  # numbers last letters as it meets them, in no order, and settles ties by number
        vocab_size=10**6, min_frequency=1, end_of_word_suffix="</w>", show_progress=False,
        special_tokens=sorted({f"{word[-1]}</w>" for word in latin}),
    )  # fmt: skip
    trained.train_from_iterator(latin, trainer)  # until every word is one token
    merges = [tuple(pair) for pair in _merges(trained)]
    for character in sorted({c for caption in captions for c in caption if _HAN.match(c)}):
        first, second, third = list(_bytes(character))
        merges += [(first, second), (first + second, third), (first + second, f"{third}</w>")]
    merges = list(dict.fromkeys(merges))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(first + second for first, second in merges)]
    vocabulary = {token: number for number, token in enumerate([*dict.fromkeys(tokens), BEGIN, END])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)  # type: ignore[arg-type]
    check_lengths(tokenizer, captions)
    return tokenizer


def word_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """A small tokenizer for captions alone: English words in lower case, single Chinese characters.

    A prompt begins with ``<|startoftext|>`` and ends with ``<|endoftext|>``; it is padded on the left, as ``generate``
    needs it. A word that no caption has is ``<|unknown|>``: a vocabulary is less than half of ``caption_tokenizer``'s.

    Args:
        captions: In both languages.

    Example:
        >>> tokenizer = word_tokenizer(["a red heart", "红色的心"])
        >>> tokenizer.convert_ids_to_tokens(tokenizer("Red 红心 hat").input_ids)[1:-1]
        ['red', '红', '心', '<|unknown|>']
    """
    words = Tokenizer(models.WordLevel(unk_token="<|unknown|>"))
    words.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    words.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.Split(Regex("[一-鿿]"), "isolated"), pre_tokenizers.Whitespace()]
    )
    special = ["<|pad|>", BEGIN, END, "<|unknown|>"]
    words.train_from_iterator(captions, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    words.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, padding_side="left", bos_token=BEGIN, eos_token=END, pad_token="<|pad|>",
        unk_token="<|unknown|>",
    )  # fmt: skip


def check_lengths(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> None:
    """Sees that no caption is longer than the tokenizer lets it be.

    Args:
        tokenizer: With its ``model_max_length``.
        captions: Prompts.

    Raises:
        ValueError: One is cut; the message shows what would be lost.

    Example:
        >>> tokenizer = caption_tokenizer(["a red heart"], max_length=5)
        >>> check_lengths(tokenizer, ["a red red heart"])
        Traceback (most recent call last):
        ...
        ValueError: of the prompt 'a red red heart' the tokenizer would lose ' heart': it takes 3 tokens
        ...
    """
    limit = tokenizer.model_max_length - 2
    for caption, ids in zip(captions, tokenizer(list(captions), add_special_tokens=False).input_ids, strict=True):
        if len(ids) > limit:
            lost = tokenizer(caption, return_offsets_mapping=True, add_special_tokens=False).offset_mapping[limit - 1]
            rest = caption[lost[1] :]
            raise ValueError(
                f"of the prompt {caption!r} the tokenizer would lose {rest!r}: it takes {limit} tokens\n"
                f"提示词 {caption!r} 里的 {rest!r} 会被分词器截掉：它最多接受 {limit} 个词元"
            )


def token_ids(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> Tensor:
    """Prompts as ``StableDiffusionPipeline`` gives them to the text encoder: padded to the full length.

    Args:
        tokenizer: With its ``model_max_length``.
        prompts: None longer than that.

    Returns:
        (prompts, ``model_max_length``).
    """
    padded = tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
    return padded.input_ids


def text_encoder(tokenizer: CLIPTokenizer, width: int = 128, layers: int = 2, heads: int = 4) -> CLIPTextModel:
    """CLIP's text model, untrained, of a size that suits captions.

    Args:
        tokenizer: Its tokens and its length.
        width: Of the states.
        layers: Transformer blocks.
        heads: Attention heads.

    Example:
        >>> tokenizer = caption_tokenizer(["a red heart"], max_length=6)
        >>> text_encoder(tokenizer, 16)(token_ids(tokenizer, ["a heart"])).last_hidden_state.shape
        torch.Size([1, 6, 16])
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=tokenizer.model_max_length,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


def _bytes(text: str) -> str:
    """The bytes of a text as byte-level BPE writes them, a letter each."""
    [(written, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return written


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [pair if isinstance(pair, list) else pair.split(" ") for pair in found]
