"""Questions and answers for a decoder, packed end to end into one row: no padding, loss on the answers alone."""

import itertools
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn

from llm_tutorial.precision import widen


class Example(NamedTuple):
    """Token ids of a prompt and its answer, and where the answer begins."""

    input_ids: list[int]
    answer_from: int


def encode(tokenizer: Any, prompt: str, answer: str, prompt_loss: bool = False) -> Example:
    """A training example between the tokenizer's begin and end tokens.

    The begin token is not decoration: a decoder parks surplus attention on the first token, whichever it
    is, and can hardly read what it says.

    Args:
        tokenizer: A Transformers tokenizer.
        prompt: What the model is given.
        answer: What it shall say.
        prompt_loss: Train on the prompt's tokens too (a common mistake, shown on the page).

    Raises:
        ValueError: The tokenizer has no end token.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> encode(load_tokenizer("smollm2-135m"), "two days →", "2天")
        Example(input_ids=[1, 11355, 2009, 17822, 34, 18614, 119, 2], answer_from=4)
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "this tokenizer has no end token, so that no answer could end; set tokenizer.eos_token\n"
            "这个分词器没有结束词元，回答无从结束；请设置 tokenizer.eos_token"
        )
    ids = tokenizer(with_begin_token(tokenizer, prompt), add_special_tokens=False).input_ids
    answer_ids = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return Example(ids + answer_ids, 1 if prompt_loss else len(ids))


def with_begin_token(tokenizer: Any, prompt: str) -> str:
    """The prompt after the tokenizer's begin token, unless it has one already (chat templates do) or there is none.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> with_begin_token(load_tokenizer("smollm2-135m"), "two days →")
        '<|im_start|>two days →'
    """
    begin = tokenizer.bos_token or ""
    return prompt if prompt.startswith(begin) else begin + prompt


def pack(examples: Sequence[Example], device: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    """One row that holds all examples end to end: no padding, and logits for the answers alone.

    Positions start again at 0 with each example, from which Transformers makes the block-diagonal causal
    mask that keeps the examples apart; not for every model, which ``answer_logits`` finds out.

    Args:
        examples: Examples of any lengths, ``T`` tokens together, ``K`` of them answers.
        device: Where the tensors go.

    Returns:
        The model's arguments, and the labels (K,) of the logits (1, K, vocabulary) it then gives.

    Example:
        >>> inputs, labels = pack([Example([1, 5, 7, 2], answer_from=2), Example([1, 6, 2], answer_from=2)])
        >>> inputs["position_ids"].tolist(), labels.tolist()
        ([[0, 1, 2, 3, 0, 1, 2]], [7, 2, 2])
    """
    ids = [token for example in examples for token in example.input_ids]
    positions = [place for example in examples for place in range(len(example.input_ids))]
    starts = [0, *itertools.accumulate(len(example.input_ids) for example in examples)]
    answers = [
        start + place
        for start, example in zip(starts, examples, strict=False)
        for place in range(example.answer_from, len(example.input_ids))
    ]
    row, kept = torch.tensor(ids, device=device), torch.tensor(answers, device=device)
    inputs = {
        "input_ids": row[None],  # (1, T)
        "position_ids": torch.tensor(positions, device=device)[None],  # (1, T)
        "logits_to_keep": kept - 1,  # (K,): the token before predicts
    }
    return inputs, row[kept]


def answer_logits(model: nn.Module, examples: Sequence[Example], device: Any = None) -> tuple[Tensor, Tensor]:
    """What a model predicts where the answers of packed examples stand.

    Args:
        model: A decoder.
        examples: Examples of any lengths, ``K`` answer tokens together.
        device: Where the tensors go.

    Returns:
        Logits (K, vocabulary) and the tokens that are right (K,).

    Raises:
        ValueError: In this model packed examples would read each other.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> capitals = {"France": " Paris", "Italy": " Rome"}
        >>> examples = [encode(tokenizer, f"The capital of {name} is", city) for name, city in capitals.items()]
        >>> logits, labels = answer_logits(load_model(), examples)
        >>> [tokenizer.decode(token) for token in logits.argmax(-1)[::2]]  # before each end token
        [' Paris', ' Rome']
    """
    if len(examples) > 1:
        _check_packing(model, examples[0].input_ids, examples[1].input_ids, device)
    inputs, labels = pack(examples, device)
    return model(**inputs, use_cache=False).logits[0], labels


_packing = weakref.WeakKeyDictionary[nn.Module, Any]()  # models that keep packed examples apart, by their attention


@torch.no_grad()
def _check_packing(model: nn.Module, before: Sequence[int], after: Sequence[int], device: Any) -> None:
    """Looks once per model whether an example predicts the same whatever stands before it in its row.

    Not all models make a mask of restarted positions: OPT, Falcon, MPT, XGLM, Bloom and Mamba read on, in silence.
    """
    model = extract_model_from_parallel(model, keep_torch_compile=False)
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if model in _packing and _packing[model] == implementation:
        return
    before, after = before[:8], after[:8]
    known = sorted({*before, *after})
    other = [known[known.index(token) - 1] for token in before]
    if other == before:
        return  # one token, again and again: it tells nothing

    def predicted(first: Sequence[int], packed: bool) -> Tensor:
        inputs, _ = pack([Example([*first], len(first)), Example([*after], 1)], device)
        if not packed:
            inputs["position_ids"] = torch.arange(len(first) + len(after), device=device)[None]
        logits = model(**inputs, use_cache=False).logits[0]
        if len(logits) != len(after) - 1:
            raise TypeError("logits_to_keep is not obeyed")
        return logits

    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        one, two = predicted(before, True), predicted(other, True)
        read = (widen(predicted(before, False)) - predicted(other, False)).abs().max()  # what a context changes
        apart = bool((widen(one) - two).abs().max() <= read * max(5e-4, torch.finfo(one.dtype).eps))
    except TypeError:  # a model that knows no position_ids or no logits_to_keep
        apart = False
    finally:
        for module, training in modes.items():
            module.training = training
        torch.clear_autocast_cache()  # it holds weights without a gradient now
    if not apart:
        raise ValueError(
            f"{type(model).__name__} cannot read packed examples: it does not turn restarted position_ids into a mask, "
            "so that they would read each other. Give it one example at a time or padded batches with an "
            "attention_mask, or take a model whose attention follows position_ids (Llama, Qwen, Mistral, GPT-2 …)\n"
            f"{type(model).__name__} 不能读取打包在一行的样本：它不会把重新计数的 position_ids 变成掩码，各样本会互相看到。"
            "请每次只给一个样本，或者用填充加 attention_mask 的批次，或者换用注意力遵循 position_ids 的模型"
            "（Llama、Qwen、Mistral、GPT-2 等）"
        )
    _packing[model] = implementation


def answer_loss(model: nn.Module, examples: Sequence[Example], device: Any = None) -> Tensor:
    """Sum of the answer tokens' cross-entropy, in nats; divide by ``answer_tokens`` for the mean."""
    logits, labels = answer_logits(model, examples, device)
    return nn.functional.cross_entropy(widen(logits), labels, reduction="sum")


def answer_tokens(examples: Sequence[Example]) -> int:
    """How many tokens the loss is summed over.

    Example:
        >>> answer_tokens([Example([1, 5, 7, 2], answer_from=2), Example([1, 6, 2], answer_from=2)])
        3
    """
    return sum(len(example.input_ids) - example.answer_from for example in examples)
