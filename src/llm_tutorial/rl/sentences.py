"""SmolLM2 with an adapter at the task of three words: the policy, and what its answers have become."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from llm_tutorial.rl.sampling import Completion, merged, sample
from llm_tutorial.rl.scoring import group_scores
from llm_tutorial.rl.three_words import prompt_of, succeeded, three_words, words_of

SMALL_WORDS = """
a an and as at but by for from he her his i in into it its my no nor not of off on or our out over she so than that the
their them then there these they this those three to under up we where which while who with you your
"""  # words that make no verb
MAX_NEW_TOKENS = 24


def policy(model: nn.Module, rank: int = 8, seed: int = 0) -> Any:
    """The model with a LoRA adapter of PEFT in all its linear layers but the head; alpha is four times the rank.

    Args:
        model: A decoder of Transformers; it gets the adapter.
        rank: Rank of the adapter.
        seed: Seed of the adapter's A; its B is 0.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=4 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def has_room_for_a_verb(prompt: str, answer: str) -> bool:
    """Whether the answer has a word beside the three and the small words of grammar: without one it has no verb.

    Necessary, not sufficient: a list of the three words fails, a list with a fourth noun passes.

    Example:
        >>> prompt = prompt_of(("cat", "hat", "moon"))
        >>> [has_room_for_a_verb(prompt, text) for text in ("A cat, a hat, and a moon.", "A cat saw the moon's hat.")]
        [False, True]
    """
    asked = {form for word in words_of(prompt) for form in (word, word + "s", word + "es")}
    found = set(re.findall(r"[a-z]+", re.sub(r"['’]s\b", "", answer.lower())))
    return bool(found - asked - set(SMALL_WORDS.split()))


def frame(prompt: str, answer: str) -> str:
    """The answer with its asked words left out: equal frames are one sentence used again.

    Example:
        >>> frame(prompt_of(("cat", "hat", "moon")), "A cat, a hat, and a moon.")
        'a _, a _, and a _.'
    """
    asked = "|".join(words_of(prompt))
    return re.sub(rf"\b({asked})(s|es)?\b", "_", answer.lower().strip())


@torch.no_grad()
def english(model: nn.Module, tokenizer: Any, groups: Sequence[Sequence[Completion]], prompted: bool) -> float:
    """Mean log-probability of a token of answers under the model as it is, in nats, end tokens left out.

    Args:
        model: The judge; switch an adapter off before.
        tokenizer: Its tokenizer.
        groups: The answers.
        prompted: Whether the judge is given the prompt, or only the beginning of a document.
    """
    start = [tokenizer.convert_tokens_to_ids("<|endoftext|>")]
    end, total, tokens = tokenizer.eos_token_id, 0.0, 0
    for first in range(0, len(groups), 8):
        part = []
        for group in groups[first : first + 8]:
            answers = [
                Completion("", each.prompt_ids if prompted else start, ids, [], "", False)
                for each in group
                if (ids := [token for token in each.ids if token != end])
            ]
            if answers:
                part.append(answers)
        if part:
            scores = group_scores(model, part)
            total, tokens = total + scores.log_probs.sum().item(), tokens + int(scores.mask.sum())
    return total / max(tokens, 1)


def measured(
    model: nn.Module, tokenizer: Any, triples: Sequence[tuple[str, str, str]], answers: int = 4, shown: int = 12
) -> dict[str, Any]:
    """What a policy writes for triples of words: once greedily, and ``answers`` times at temperature 1.

    Args:
        model: The policy; with an adapter of PEFT the judge is the model without it.
        tokenizer: Its tokenizer.
        triples: The words.
        answers: Sampled answers to each.
        shown: How many of the greedy answers are kept.

    Returns:
        ``greedy`` and ``sampled`` (share that the rule pays in full), the means of the parts, and of the sampled
            answers: ``prompted`` and ``english`` (nats a token under the judge, with and without the prompt), ``sentences``
            (share with room for a verb), ``frames`` (different ones, as a share), ``words`` and ``commas`` of an answer;
            ``answers``: greedy ones; ``drawn``: sampled ones.
    """
    rubric, prompts = three_words(), [prompt_of(triple) for triple in triples]
    torch.manual_seed(7)
    with merged(model):
        best = sample(model, tokenizer, prompts, 1, MAX_NEW_TOKENS, temperature=0)
        drawn = [
            group
            for start in range(0, len(prompts), 16)
            for group in sample(model, tokenizer, prompts[start : start + 16], answers, MAX_NEW_TOKENS)
        ]
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():  # type: ignore[operator]
            nats = [english(model, tokenizer, drawn, prompted) for prompted in (True, False)]
    else:
        nats = [english(model, tokenizer, drawn, prompted) for prompted in (True, False)]
    flat = [each for group in drawn for each in group]
    greedy, sampled = rubric.score([group[0] for group in best]), rubric.score(flat)
    count = len(flat)
    return {
        "greedy": sum(map(succeeded, greedy.total.tolist())) / len(best),
        "sampled": sum(map(succeeded, sampled.total.tolist())) / count,
        "reward": sampled.total.mean().item(),
        **{f"part {name}": part.float().mean().item() for name, part in sampled.parts.items()},
        "prompted": nats[0],
        "english": nats[1],
        "sentences": sum(has_room_for_a_verb(each.prompt, each.text) for each in flat) / count,
        "frames": len({frame(each.prompt, each.text) for each in flat}) / count,
        "words": sum(len(each.text.split()) for each in flat) / count,
        "commas": sum(each.text.count(",") for each in flat) / count,
        "answers": [group[0].text for group in best][:shown],
        "drawn": [group[0].text for group in drawn][:shown],
    }
