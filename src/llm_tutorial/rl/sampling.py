"""Several answers to each of several prompts at once: a prompt is read once, however many answers follow it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from llm_tutorial.evaluation import padded


@dataclass(frozen=True)
class Completion:
    """What a policy wrote after a prompt."""

    prompt: str
    prompt_ids: list[int]
    ids: list[int]  # one at least; the end token is the last, unless the answer was cut
    log_probs: list[float]  # of each token, under the policy that wrote it
    text: str
    cut: bool


class PromptError(ValueError):
    """A prompt has no tokens, or leaves no room for an answer; the message says which, in English and in Chinese."""


@torch.no_grad()
def sample(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    answers: int = 8,
    max_new_tokens: int = 24,
    temperature: float = 1.0,
    context: int | None = None,
) -> list[list[Completion]]:
    """Answers to prompts, a group for each prompt, drawn with torch's random numbers.

    The prompts go through the model once; then their keys and values are repeated, one copy for each answer. What has
    ended leaves the batch as soon as an eighth of it has.

    Args:
        model: A causal language model of Transformers, on any device, with or without an adapter.
        tokenizer: Its tokenizer.
        prompts: Whole prompts.
        answers: Answers to each.
        max_new_tokens: Most tokens of an answer, the end token included.
        temperature: 0 takes the likeliest token each time.
        context: Most tokens of prompt and answer together; by default what the tokenizer says.

    Raises:
        PromptError: A prompt is empty or too long.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> prompts = ["The capital of France is", "One, two, three,"]
        >>> groups = sample(load_model(), load_tokenizer(), prompts, answers=1, max_new_tokens=1, temperature=0)
        >>> [answer.text for group in groups for answer in group]
        [' Paris', ' four']
    """
    end, device = tokenizer.eos_token_id, next(model.parameters()).device
    prompt_ids = [_prompt_ids(tokenizer, prompt, max_new_tokens, context) for prompt in prompts]
    ids, mask = padded(prompt_ids, "left", device)  # (prompts, longest)
    written: list[list[int]] = [[] for _ in range(len(prompts) * answers)]
    scored: list[list[float]] = [[] for _ in written]
    with evaluating(model):
        position = mask.cumsum(-1) - 1
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=position.clamp(min=0), use_cache=True, logits_to_keep=1
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
        cache.batch_repeat_interleave(answers)
        logits, mask = (each.repeat_interleave(answers, 0) for each in (logits, mask))
        position = position[:, -1:].repeat_interleave(answers, 0)
        rows = torch.arange(len(written), device=device)  # whose answers are in the batch
        open_ = torch.ones_like(rows, dtype=torch.bool)
        for count in range(1, max_new_tokens + 1):
            token, log_prob = draw(logits.float(), temperature)
            steps = zip(rows.tolist(), open_.tolist(), token.tolist(), log_prob.tolist(), strict=True)
            for row, is_open, one, its_log_prob in steps:
                if is_open:
                    written[row].append(one)
                    scored[row].append(its_log_prob)
            open_ &= token != end
            if count == max_new_tokens or not open_.any():
                break
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            position = position + 1
            if open_.float().mean() <= 7 / 8:
                kept = open_.nonzero()[:, 0]
                cache.batch_select_indices(kept)
                rows, mask, position, token, open_ = (each[kept] for each in (rows, mask, position, token, open_))
            logits = model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    flat = [
        Completion(prompts[n // answers], prompt_ids[n // answers], written[n], scored[n], text, written[n][-1] != end)
        for n, text in enumerate(texts)
    ]
    return [flat[start : start + answers] for start in range(0, len(flat), answers)]


def draw(logits: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """A token for each row of logits (rows, vocabulary), and its log-probability under the policy that drew it.

    One random number a row, looked up in the cumulative distribution; ``torch.multinomial`` takes one for each token
    of the vocabulary.

    Args:
        logits: Float32.
        temperature: 0 takes the likeliest token; its log-probability is that at temperature 1.

    Example:
        >>> token, log_prob = draw(torch.tensor([[0.0, 100.0]]))
        >>> token.tolist(), log_prob.tolist()
        ([1], [0.0])
    """
    if temperature == 0:
        token = logits.argmax(-1)
    else:
        logits = logits / temperature
        cumulative = logits.softmax(-1).cumsum(-1)
        threshold = torch.rand(len(logits), 1, device=logits.device) * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, threshold, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    return token, logits.gather(1, token[:, None])[:, 0] - logits.logsumexp(-1)


@contextmanager
def merged(model: nn.Module) -> Iterator[nn.Module]:
    """The model with its LoRA adapters added into the weights, which makes sampling faster; afterwards as before.

    The weights are put back, not subtracted again: else each step would leave a rounding error in them, and a run that
    was interrupted would go on to other numbers.

    Args:
        model: From PEFT; another model is left as it is.
    """
    from peft.tuners.lora import LoraLayer

    kept: list[tuple[Any, Tensor]] = []
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.get_base_layer()
            kept.append((base.weight, base.weight.data))
            update = sum(layer.get_delta_weight(name) for name in layer.active_adapters)  # type: ignore[operator]
            base.weight.data = base.weight.data + update
    try:
        if kept:
            with model.disable_adapter():  # type: ignore[operator]
                yield model
        else:
            yield model
    finally:
        for weight, data in kept:
            weight.data = data


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards every module is in the mode in which it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _prompt_ids(tokenizer: Any, prompt: str, room: int, context: int | None) -> list[int]:
    ids: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    if not ids:
        raise PromptError(f"the prompt {prompt!r} has no tokens\n提示词 {prompt!r} 没有词元")
    context = context or tokenizer.model_max_length
    if len(ids) + room > context:
        raise PromptError(
            f"the prompt {prompt[:40]!r}… has {len(ids)} tokens; with {room} of the answer they are more than the "
            f"context of {context}\n"
            f"提示词 {prompt[:40]!r}… 有 {len(ids)} 个词元，加上回答 {room} 个，超过了上下文长度 {context}"
        )
    return ids
