"""Tokenizers that a snippet trains: characters, and subwords of bytes."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def character_tokenizer(texts: Iterable[str], at_least: int = 2) -> PreTrainedTokenizerFast:
    r"""A tokenizer whose tokens are the characters of texts, the frequent ones first.

    Args:
        texts: The training split.
        at_least: Characters that occur less often become ``[UNK]``, which is trained that way, too.

    Example:
        >>> tokenizer = character_tokenizer(["北京，北京。\n北"])
        >>> tokenizer("北京\n。").input_ids
        [2, 3, 1, 1]
    """
    counts = Counter(character for text in texts for character in text)
    kept = [character for character, count in counts.most_common() if count >= at_least]
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *kept])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_input_names=["input_ids"]
    )


def subword_tokenizer(texts: Iterable[str], vocabulary: int, special_tokens: Sequence[str] = ()) -> Tokenizer:
    """Byte-level BPE (Sennrich et al., 2016; Radford et al., 2019): no text is unknown to it.

    Args:
        texts: The training split, in any languages.
        vocabulary: Tokens in all, at least 256 and the special ones.
        special_tokens: Never cut, and numbered from 0.

    Example:
        >>> tokenizer = subword_tokenizer(["打开 file"], 300, ["[END]"])
        >>> tokenizer.decode(tokenizer.encode("打开 file").ids)
        '打开 file'
        >>> tokenizer.encode("[END]").ids
        [0]
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
