"""Software messages to translate, split so that no text of a test is in training; subwords, batches, losses, decoding.

Two tests. ``message``: the messages of `llm_tutorial.data.messages`'s test split, of the same programs as the training.
``catalogue``: all messages of one program, Django, of which training sees none. No English and no Chinese of either
stands in the training split, letters and digits compared. Placeholders are numbered before anything else, so that a
model need not spell them.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import AddedToken, processors
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MarianConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from llm_tutorial.data.messages import PLACEHOLDER, Message, messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.tokenizers import subword_tokenizer

HELD_OUT = "django"
TESTS = ("message", "catalogue")
SLOTS = tuple(f"⟨{number}⟩" for number in range(8))
PAD, END = "[PAD]", "[END]"
LONGEST = 64
IGNORED = -100


def program_of(message: Message) -> str:
    """The program that a message belongs to: the first part of its catalogue's name.

    Example:
        >>> program_of(Message("Save", "保存", "django/contrib/admin/django", 0))
        'django'
    """
    return message.catalogue.partition("/")[0]


@cache
def translation_data() -> dict[str, tuple[Message, ...]]:
    """Messages to train on, to choose by, and for both tests.

    What has the English or the Chinese of a test message, letters and digits compared, is left out of training and
    validation; what has that of a validation message is left out of training. The test of the held-out program has
    none of the other test's messages.

    Example:
        >>> {name: len(part) for name, part in translation_data().items()}
        {'message': 767, 'catalogue': 743, 'validation': 671, 'train': 5662}
    """
    known = [message for message in messages("test") if program_of(message) != HELD_OUT]
    every = [message for split in ("train", "validation", "test") for message in messages(split)]
    data = {"message": tuple(known)}
    data["catalogue"] = tuple(without(keys_of(known), [m for m in every if program_of(m) == HELD_OUT]))
    taken = keys_of([*data["message"], *data["catalogue"]])
    others = {split: [m for m in messages(split) if program_of(m) != HELD_OUT] for split in ("train", "validation")}
    data["validation"] = tuple(without(taken, others["validation"]))
    data["train"] = tuple(without(taken | keys_of(data["validation"]), others["train"]))
    for name in ("message", "catalogue", "validation"):
        assert not keys_of(data[name]) & keys_of(data["train"])
    return data


def keys_of(messages: Sequence[Message]) -> set[str]:
    """Letters and digits of all English and Chinese texts of messages."""
    return {key_of(text) for message in messages for text in (message.english, message.chinese)}


def without(keys: set[str], messages: Sequence[Message]) -> list[Message]:
    """The messages of which neither text has one of the keys."""
    return [m for m in messages if key_of(m.english) not in keys and key_of(m.chinese) not in keys]


def number_placeholders(text: str, english: str) -> str:
    """A text with the placeholders of its English replaced by their number; those beyond `SLOTS` stay as they are.

    Args:
        text: The English itself, or its translation.
        english: Where the placeholders are counted.

    Example:
        >>> number_placeholders("{count} 个文件，共 %s", "%s of {count} files")
        '⟨1⟩ 个文件，共 ⟨0⟩'
    """
    names = list(dict.fromkeys(PLACEHOLDER.findall(english)))[: len(SLOTS)]
    return PLACEHOLDER.sub(lambda found: SLOTS[names.index(found[0])] if found[0] in names else found[0], text)


def fill_placeholders(text: str, english: str) -> str:
    """The way back: numbers become the placeholders of an English; those it lacks are left out.

    Example:
        >>> fill_placeholders("⟨1⟩ 个文件，共 ⟨0⟩", "%s of {count} files")
        '{count} 个文件，共 %s'
    """
    names = dict(zip(SLOTS, dict.fromkeys(PLACEHOLDER.findall(english)), strict=False))
    return re.sub("|".join(SLOTS), lambda found: names.get(found[0], ""), text)


def translation_tokenizer(training: Sequence[Message], vocabulary: int = 3000) -> PreTrainedTokenizerFast:
    """Byte-level BPE over both languages, which ends every text with `END`; numbered placeholders are tokens.

    Args:
        training: Messages whose words it learns.
        vocabulary: Tokens in all.

    Example:
        >>> tokenizer = translation_tokenizer([Message("Open %s", "打开 %s", "", 0)], 300)
        >>> tokenizer.decode(tokenizer("打开 ⟨0⟩").input_ids)
        '打开 ⟨0⟩[END]'
    """
    texts = (number_placeholders(text, m.english) for m in training for text in (m.english, m.chinese))
    parts = (part for text in texts for part in re.split("|".join(SLOTS), text))
    learned = subword_tokenizer(parts, vocabulary - len(SLOTS), [PAD, END])
    learned.add_tokens([AddedToken(slot, normalized=False) for slot in SLOTS])
    learned.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, learned.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=learned,
        pad_token=PAD,
        eos_token=END,
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def translation_config(tokenizer: PreTrainedTokenizerBase, **options: Any) -> MarianConfig:
    """A small Marian: two layers each of encoder and decoder, 128 wide, one embedding for all.

    Args:
        tokenizer: Its special tokens become the model's.
        options: Of ``MarianConfig``, in place of these.
    """
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": 128,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 384,
        "decoder_ffn_dim": 384,
        "dropout": 0.1,
        "max_position_embeddings": 128,
        "scale_embedding": True,
        "init_std": 0.06,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "forced_eos_token_id": None,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    return MarianConfig(**settings | options)


def collate(tokenizer: Any, pairs: Sequence[Message], device: Any = None) -> dict[str, Tensor]:
    """What a sequence-to-sequence model takes; labels are `IGNORED` at padding.

    Args:
        tokenizer: Of `translation_tokenizer`.
        pairs: Messages with their translation.
        device: Where the tensors go.
    """
    english = [number_placeholders(pair.english, pair.english) for pair in pairs]
    chinese = [number_placeholders(pair.chinese, pair.english) for pair in pairs]
    batch = tokenizer(english, text_target=chinese, padding=True, truncation=True, return_tensors="pt")
    labels = batch["labels"].masked_fill(batch["labels"] == tokenizer.pad_token_id, IGNORED)
    return {
        "input_ids": batch["input_ids"].to(device),
        "attention_mask": batch["attention_mask"].to(device),
        "labels": labels.to(device),
    }


def batches(
    tokenizer: Any, training: Sequence[Message], size: int = 64, seed: int = 0
) -> Callable[[int], Sequence[Message]]:
    """Batches by the number of their step: every message once an epoch, among others of about its length.

    Args:
        tokenizer: Counts the tokens.
        training: Messages; those longer than `LONGEST` tokens in either language are left out.
        size: Messages in a batch.
        seed: Of the order.
    """
    lengths = {
        m: (len(tokenizer(m.chinese).input_ids), len(tokenizer(m.english).input_ids)) for m in dict.fromkeys(training)
    }
    usable = [m for m in training if max(lengths[m]) <= LONGEST]
    per_epoch = len(usable) // size

    @cache
    def epoch(number: int) -> list[list[Message]]:
        chance = random.Random(1_000_003 * seed + number)
        order = chance.sample(usable, per_epoch * size)
        pools = [
            sorted(order[start : start + 16 * size], key=lengths.__getitem__)
            for start in range(0, len(order), 16 * size)
        ]
        cut = [pool[start : start + size] for pool in pools for start in range(0, len(pool), size)]
        return chance.sample(cut, len(cut))

    return lambda step: epoch(step // per_epoch)[step % per_epoch]


def loss_for(tokenizer: Any, smoothing: float = 0.0) -> Callable[[nn.Module, Sequence[Message], Any], Tensor]:
    """The loss summed over target tokens, as `llm_tutorial.training.fit` wants it.

    Args:
        tokenizer: Of `translation_tokenizer`.
        smoothing: Share of each target that goes to all tokens alike (Szegedy et al., 2016, arXiv:1512.00567).
    """

    def loss_of(model: nn.Module, pairs: Sequence[Message], device: Any = None) -> Tensor:
        batch = collate(tokenizer, pairs, device)
        logits = model(**batch).logits  # (batch, token, vocabulary)
        return F.cross_entropy(
            logits.flatten(0, 1),
            batch["labels"].flatten(),
            ignore_index=IGNORED,
            label_smoothing=smoothing,
            reduction="sum",
        )

    return loss_of


def count_for(tokenizer: Any) -> Callable[[Sequence[Message]], int]:
    """How many tokens that loss is summed over."""

    @cache
    def tokens(pair: Message) -> int:
        return len(tokenizer(number_placeholders(pair.chinese, pair.english), truncation=True).input_ids)

    return lambda pairs: sum(map(tokens, pairs))


@torch.no_grad()
def held_out_loss(model: nn.Module, tokenizer: Any, pairs: Sequence[Message], batch_size: int = 64) -> float:
    """Mean loss over the target tokens, without smoothing, in nats.

    Args:
        model: A sequence-to-sequence model.
        tokenizer: Of `translation_tokenizer`.
        pairs: Messages with their translation.
        batch_size: Messages at once.
    """
    model.eval()
    pairs = sorted(pairs, key=lambda pair: len(pair.chinese))
    parts = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
    loss_of, count = loss_for(tokenizer), count_for(tokenizer)
    return sum(float(loss_of(model, part, None)) for part in parts) / sum(map(count, parts))


def translate(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Message],
    batch_size: int = 64,
    processor: Callable[..., Any] | None = None,
    **options: Any,
) -> list[str]:
    """Translations by `generate`, with the messages' own placeholders put back.

    Args:
        model: A sequence-to-sequence model.
        tokenizer: Of `translation_tokenizer`.
        pairs: Messages; only their English is read.
        batch_size: Messages at once.
        processor: Given the tokenizer, the English of a batch and the longest output, a logits processor.
        options: Of `generate`: ``num_beams``, ``length_penalty``, ….
    """
    model.eval()
    options = {"max_length": LONGEST, "do_sample": False} | options
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index].english))
    found = [""] * len(pairs)
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        english = [pairs[index].english for index in part]
        texts = [number_placeholders(text, text) for text in english]
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        extra = {"logits_processor": [processor(tokenizer, english, options["max_length"])]} if processor else {}
        written = model.generate(**batch, **options, **extra)
        for index, ids in zip(part, written.tolist(), strict=True):
            found[index] = written_text(tokenizer, ids, pairs[index].english)
    return found


def written_text(tokenizer: Any, ids: Sequence[int], english: str) -> str:
    """The text of a model's tokens, with the placeholders of an English in place of their numbers.

    Args:
        tokenizer: Of `translation_tokenizer`.
        ids: As the model wrote them; padding and end are left out.
        english: The source; numbers that it lacks are left out.

    Example:
        >>> tokenizer = translation_tokenizer([Message("Open %s", "打开 %s", "", 0)], 300)
        >>> written_text(tokenizer, tokenizer("打开 ⟨0⟩").input_ids, "Open {name}")
        '打开 {name}'
    """
    names = dict(zip(SLOTS, dict.fromkeys(PLACEHOLDER.findall(english)), strict=False))
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    parts = []
    for is_slot, group in groupby(tokens, key=SLOTS.__contains__):
        run = list(group)
        text = tokenizer.decode(tokenizer.convert_tokens_to_ids(run), skip_special_tokens=True)
        parts.append("".join(names.get(token, "") for token in run) if is_slot else text)
    return "".join(parts).strip()


class TranslationMemory:
    """The message most like another, by character n-grams, and its translation: what translators' tools offer.

    Args:
        known: What it remembers.
        longest: Characters of the longest n-grams compared.

    Example:
        >>> memory = TranslationMemory([Message("Save %s", "保存 %s", "", 0), Message("Open", "打开", "", 0)])
        >>> memory.translate([Message("Save {file}", "", "", 0)])
        ['保存 {file}']
    """

    def __init__(self, known: Sequence[Message], longest: int = 3) -> None:
        self.known = list(known)
        self.vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, longest), sublinear_tf=True)
        self.vectors = self.vectorizer.fit_transform([m.english for m in self.known])

    def nearest(self, asked: Sequence[Message]) -> list[tuple[Message, float]]:
        """The most similar message to each, and the cosine of their n-grams."""
        likeness = (self.vectorizer.transform([m.english for m in asked]) @ self.vectors.T).toarray()
        return [(self.known[int(row.argmax())], float(row.max())) for row in likeness]

    def translate(self, asked: Sequence[Message]) -> list[str]:
        """The neighbour's translation, with the message's own placeholders in it."""
        return [
            fill_placeholders(number_placeholders(near.chinese, near.english), message.english)
            for message, (near, _) in zip(asked, self.nearest(asked), strict=True)
        ]
