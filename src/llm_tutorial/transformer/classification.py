"""Classifiers of texts: a small encoder from nothing, with or without masked-language pretraining, and MiniLM.

Sources: BERT, Devlin et al. 2018 (arXiv:1810.04805); sentence embeddings, Reimers and Gurevych 2019
(arXiv:1908.10084); LoRA, Hu et al. 2021 (arXiv:2106.09685).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, PreTrainedTokenizerFast

from llm_tutorial.models import load_encoder

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST = 128
"""Tokens of a text, with the two special ones; what is longer is cut."""


class Labelled(NamedTuple):
    """Token ids of a text, and the number of its class."""

    input_ids: list[int]
    label: int


def own_tokenizer(texts: Iterable[str], at_least: int = 2, longest: int = LONGEST) -> PreTrainedTokenizerFast:
    """A tokenizer of characters, in lower case and of one width, with the special tokens of BERT.

    Args:
        texts: The training split.
        at_least: Characters that occur less often become ``[UNK]``.
        longest: Tokens of a text at most, the special ones included.

    Example:
        >>> tokenizer = own_tokenizer(["好好看", "看Ａ", "a"])
        >>> tokenizer.convert_ids_to_tokens(tokenizer("好A贵").input_ids)
        ['[CLS]', '好', 'a', '[UNK]', '[SEP]']
    """
    normalize = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    counts = Counter(character for text in texts for character in normalize.normalize_str(text))
    kept = [character for character, count in counts.most_common() if count >= at_least]
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate([*SPECIAL, *kept])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalize  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")  # type: ignore[assignment]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)},
    )


def small_config(vocabulary: int, labels: Sequence[str] = ("0", "1"), **changes: Any) -> BertConfig:
    """The configuration of the encoder that this page trains from nothing.

    Args:
        vocabulary: Tokens.
        labels: Names of the classes, in the order of their numbers.
        changes: Of other entries of the configuration.

    Example:
        >>> small_config(100, ["bad", "good"]).id2label
        {0: 'bad', 1: 'good'}
    """
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    return BertConfig(
        **{"vocab_size": vocabulary, "max_position_embeddings": LONGEST, "pad_token_id": 0, **sizes, **names, **changes}
    )


def encode(tokenizer: Any, texts: Sequence[str], labels: Sequence[int], longest: int = LONGEST) -> list[Labelled]:
    """Texts as token ids, cut to a length.

    Args:
        tokenizer: Of the model.
        texts: At least one.
        labels: The class of each.
        longest: Tokens at most.

    Raises:
        ValueError: There are no texts, or another number of labels.
    """
    if not texts or len(texts) != len(labels):
        raise ValueError(
            f"{len(texts)} texts and {len(labels)} labels: give as many of each, and at least one\n"
            f"有 {len(texts)} 条文本、{len(labels)} 个标签：两者应当一样多，且至少一条"
        )
    ids = tokenizer(list(texts), truncation=True, max_length=longest).input_ids
    return [Labelled(row, label) for row, label in zip(ids, labels, strict=True)]


def pad(rows: Sequence[Sequence[int]], pad_id: int = 0, device: Any = "cpu") -> dict[str, Tensor]:
    """Texts of different lengths as one batch, padded on the right.

    Example:
        >>> pad([[2, 7, 3], [2, 3]])["attention_mask"]
        tensor([[1, 1, 1],
                [1, 1, 0]])
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": mask}


def loss_of(model: nn.Module, batch: Sequence[Labelled], device: Any = "cpu") -> Tensor:
    """Summed cross-entropy of labelled texts, for ``llm_tutorial.training.fit``."""
    logits = model(**pad([each.input_ids for each in batch], device=device)).logits
    return F.cross_entropy(logits, torch.tensor([each.label for each in batch], device=device), reduction="sum")


@torch.inference_mode()
def logits_of(model: nn.Module, found: Sequence[Labelled], size: int = 64) -> Tensor:
    """The logits of texts, in their order; the model is in evaluation afterwards.

    Args:
        model: A classifier.
        found: Texts.
        size: Texts read at once; it changes the memory needed, not the result.

    Returns:
        (texts, classes).
    """
    model.eval()
    order = sorted(range(len(found)), key=lambda number: len(found[number].input_ids))
    parts = [order[at : at + size] for at in range(0, len(order), size)]
    logits = torch.cat([model(**pad([found[number].input_ids for number in part])).logits for part in parts])
    return logits[torch.tensor(order).argsort()].float()


def chunks(ids: Iterable[int], length: int = LONGEST) -> list[list[int]]:
    """A long text as rows of a fixed length, each between ``[CLS]`` and ``[SEP]``; the rest is left out.

    Example:
        >>> chunks(range(10, 20), 6)
        [[2, 10, 11, 12, 13, 3], [2, 14, 15, 16, 17, 3]]
    """
    rest = list(ids)
    room = length - 2
    return [[2, *rest[at : at + room], 3] for at in range(0, len(rest) - room + 1, room)]


def masked(rows: Sequence[Sequence[int]], vocabulary: int, share: float = 0.15) -> tuple[dict[str, Tensor], Tensor]:
    """Hides tokens as BERT does: of those chosen, 8 in 10 become ``[MASK]``, 1 a random token, 1 stays.

    Args:
        rows: Token ids of texts.
        vocabulary: Tokens.
        share: Of the tokens that are chosen.

    Returns:
        The batch, and the labels (batch, length): the hidden token, or -100 where nothing is asked.

    Example:
        >>> batch, labels = masked([[2, *range(5, 105), 3]], 200)
        >>> asked = labels != -100
        >>> bool((labels[asked] >= 5).all()), bool((batch["input_ids"][~asked] == pad([[2, *range(5, 105), 3]])["input_ids"][~asked]).all())
        (True, True)
    """
    batch = pad(rows)
    ids = batch["input_ids"]
    chosen = (torch.rand(ids.shape) < share) & (ids >= len(SPECIAL))
    labels = ids.masked_fill(~chosen, -100)
    way = torch.rand(ids.shape)
    ids = torch.where(chosen & (way < 0.8), SPECIAL.index("[MASK]"), ids)
    ids = torch.where(chosen & (way >= 0.9), torch.randint(len(SPECIAL), vocabulary, ids.shape), ids)
    return {**batch, "input_ids": ids}, labels


def masked_loss(model: nn.Module, rows: Sequence[Sequence[int]], device: Any = "cpu") -> Tensor:
    """Cross-entropy of the hidden tokens, times the number of texts, for ``llm_tutorial.training.fit``.

    The output head is computed at the hidden tokens alone.

    Args:
        model: A ``BertForMaskedLM``.
        rows: Token ids of texts.
        device: Where they go.
    """
    batch, labels = masked(rows, model.config.vocab_size)  # type: ignore[union-attr, arg-type]
    batch, labels = {name: each.to(device) for name, each in batch.items()}, labels.to(device)
    states = model.bert(**batch).last_hidden_state  # type: ignore[union-attr, operator]
    asked = labels != -100
    logits = model.cls(states[asked])  # type: ignore[union-attr, operator]
    return F.cross_entropy(logits, labels[asked]) * len(rows)


class Output(NamedTuple):
    """What a classifier gives: logits (batch, classes)."""

    logits: Tensor


class MeanClassifier(nn.Module):
    """An encoder, the mean of its vectors at real tokens, and a linear layer.

    Args:
        encoder: Such as MiniLM, which was trained with this mean.
        labels: Number of classes.

    Example:
        >>> model = MeanClassifier(load_encoder("minilm"), 3)
        >>> model(**pad([[101, 7592, 102], [101, 102]])).logits.shape
        torch.Size([2, 3])
    """

    def __init__(self, encoder: nn.Module, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.config.hidden_size, labels)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The mean of the vectors at real tokens: (batch, width)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask[..., None].to(states.dtype)
        mean: Tensor = (states * real).sum(1) / real.sum(1)
        return mean

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Output:
        """Logits of texts: (batch, classes)."""
        return Output(self.classifier(self.features(input_ids, attention_mask)))


def minilm_classifier(labels: int, method: str, rank: int = 8) -> MeanClassifier:
    """MiniLM with a linear layer: what a method does not train is frozen.

    Args:
        labels: Number of classes.
        method: ``probe`` trains the linear layer alone, ``LoRA`` adapters of all linear layers beside it, ``full``
            everything.
        rank: Of the adapters.

    Raises:
        ValueError: An unknown method.

    Example:
        >>> sum(p.numel() for p in minilm_classifier(10, "probe").parameters() if p.requires_grad)
        3850
    """
    if method not in ("probe", "LoRA", "full"):
        raise ValueError(f"unknown method {method!r}; there are probe, LoRA, full\n未知的方法 {method!r}")
    encoder: nn.Module = load_encoder("minilm", add_pooling_layer=False)
    if method == "LoRA":
        targets = ["query", "key", "value", "dense"]
        encoder = get_peft_model(encoder, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets))  # type: ignore[arg-type]
    if method == "probe":
        encoder.requires_grad_(False)
    return MeanClassifier(encoder, labels)


@torch.inference_mode()
def features_of(model: MeanClassifier, found: Sequence[Labelled], size: int = 64) -> Tensor:
    """The mean vectors of texts, in their order: (texts, width)."""
    model.eval()
    order = sorted(range(len(found)), key=lambda number: len(found[number].input_ids))
    parts = [order[at : at + size] for at in range(0, len(order), size)]
    means = torch.cat([model.features(**pad([found[number].input_ids for number in part])) for part in parts])
    return means[torch.tensor(order).argsort()].clone()
