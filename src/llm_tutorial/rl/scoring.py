"""Log-probabilities of answers for an update: a group is one row, in which its prompt stands once.

Eight answers to a prompt of 30 tokens, one row each, are 240 tokens of prompt and as many of answers. In one row the
prompt is read once, and a mask lets an answer see the prompt and itself and nothing else.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.rl.sampling import Completion


class Scores(NamedTuple):
    """Of each token of each answer, padded: (answers, tokens)."""

    log_probs: Tensor  # 0 where there is no token
    mask: Tensor  # True where there is one
    hidden: Tensor | None  # (answers, tokens, width): the last layer where the token is predicted, without gradient


def group_rows(groups: Sequence[Sequence[Completion]], device: Any = None) -> dict[str, Tensor]:
    """A row for each group: its prompt, then its answers without their last tokens, which predict nothing.

    Args:
        groups: Groups of any size, each of one prompt.
        device: Where the tensors go.

    Returns:
        ``input_ids`` and ``position_ids`` (groups, length), ``visible`` (groups, length, length): whether the token of
            a row may see that of a column; ``row``, ``column`` and ``token`` (answers, tokens): where a token of an answer
            is predicted, and which it is; ``mask`` (answers, tokens).

    Example:
        >>> one = Completion("", [5, 6], [7, 8, 2], [], "", False)
        >>> two = Completion("", [5, 6], [9, 2], [], "", False)
        >>> rows = group_rows([[one, two]])
        >>> rows["input_ids"].tolist(), rows["position_ids"].tolist(), rows["column"].tolist()
        ([[5, 6, 7, 8, 9]], [[0, 1, 2, 3, 2]], [[1, 2, 3], [1, 4, 0]])
        >>> rows["visible"][0].int().tolist()[-1]  # the 9 sees the prompt and itself
        [1, 1, 0, 0, 1]
    """
    lengths = [len(group[0].prompt_ids) + sum(len(each.ids) - 1 for each in group) for group in groups]
    shape = (len(groups), max(lengths))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    owner = torch.full(shape, -1)  # 0: the prompt, n: answer n, -1: nothing
    answers = [(row, each) for row, group in enumerate(groups) for each in group]
    places = (len(answers), max(len(each.ids) for _, each in answers))
    row_of, column, token = (torch.zeros(places, dtype=torch.long) for _ in range(3))
    mask = torch.zeros(places, dtype=torch.bool)
    number = 0
    for row, group in enumerate(groups):
        prompt = group[0].prompt_ids
        start = len(prompt)
        ids[row, :start], positions[row, :start] = torch.tensor(prompt), torch.arange(start)
        owner[row, :start] = 0
        for n, each in enumerate(group, start=1):
            count = len(each.ids)
            stop = start + count - 1
            ids[row, start:stop] = torch.tensor(each.ids[:-1], dtype=torch.long)
            positions[row, start:stop] = len(prompt) + torch.arange(count - 1)
            owner[row, start:stop] = n
            row_of[number] = row
            column[number, :count] = torch.tensor([len(prompt) - 1, *range(start, stop)])
            token[number, :count] = torch.tensor(each.ids)
            mask[number, :count] = True
            start, number = stop, number + 1
    earlier = torch.ones(shape[1], shape[1], dtype=torch.bool).tril()
    query, key = owner[:, :, None], owner[:, None, :]
    visible = earlier & ((key == 0) | (key == query))
    rows = {"input_ids": ids, "position_ids": positions, "visible": visible}
    rows |= {"row": row_of, "column": column, "token": token, "mask": mask}
    return {name: tensor.to(device) for name, tensor in rows.items()}


def group_scores(model: nn.Module, groups: Sequence[Sequence[Completion]], hidden: bool = False) -> Scores:
    """Log-probability of each token of each answer, with gradients; each prompt is read once.

    Args:
        model: A causal language model of Transformers whose attention takes a mask of four dimensions
            (``check_scores`` finds out).
        groups: Groups of answers; the answers follow one another in the result.
        hidden: Whether the hidden states are wanted.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> from llm_tutorial.rl.sampling import sample
        >>> model = load_model()
        >>> _ = torch.manual_seed(0)
        >>> groups = sample(model, load_tokenizer(), ["A cat", "Two"], answers=3, max_new_tokens=4)
        >>> scores = group_scores(model, groups)
        >>> check_scores(scores, groups)
        >>> scores.log_probs.shape
        torch.Size([6, 4])
    """
    device = next(model.parameters()).device
    rows = group_rows(groups, device)
    dtype = next(p.dtype for p in model.parameters() if p.dim() > 1)
    mask = torch.zeros(rows["visible"].shape, dtype=dtype, device=device)
    mask = mask.masked_fill(~rows["visible"], torch.finfo(dtype).min)[:, None]  # (groups, 1, length, length)
    first = int(rows["column"][rows["mask"]].min())  # where the first answer begins to be predicted
    output = model(
        input_ids=rows["input_ids"],
        attention_mask=mask,
        position_ids=rows["position_ids"],
        use_cache=False,
        output_hidden_states=hidden,
        logits_to_keep=rows["input_ids"].shape[1] - first,
    )
    logits = output.logits.float()  # (groups, length - first, vocabulary)
    row, column = rows["row"], (rows["column"] - first).clamp(min=0)
    chosen = logits[row, column, rows["token"]] - logits.logsumexp(-1)[row, column]
    states = output.hidden_states[-1].detach().float()[row, rows["column"]] if hidden else None
    return Scores(chosen * rows["mask"], rows["mask"], states)


def plain_scores(model: nn.Module, completions: Sequence[Completion]) -> Scores:
    """The same with a padded row for each answer, prompt included: slower, and for every causal model.

    Args:
        model: A causal language model of Transformers.
        completions: Answers to any prompts.

    Example:
        >>> from llm_tutorial.models import load_model
        >>> answer = Completion("", [504], [3575, 314], [], "", True)
        >>> plain_scores(load_model(), [answer]).log_probs.shape
        torch.Size([1, 2])
    """
    from llm_tutorial.evaluation import padded

    device = next(model.parameters()).device
    ids, seen = padded([each.prompt_ids + each.ids for each in completions], "right", device)
    log_probs = model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    log_probs = log_probs.gather(2, ids[:, 1:, None])[:, :, 0]
    starts = torch.tensor([len(each.prompt_ids) - 1 for each in completions], device=device)
    counts = torch.tensor([len(each.ids) for each in completions], device=device)
    place = torch.arange(int(counts.max()), device=device)
    mask = place < counts[:, None]
    chosen = log_probs.gather(1, (starts[:, None] + place).clamp(max=log_probs.shape[1] - 1))
    return Scores(chosen * mask, mask, None)


def sampled_log_probs(groups: Sequence[Sequence[Completion]], like: Tensor) -> Tensor:
    """What the policy that wrote the answers gave their tokens: (answers, tokens), 0 where there is none.

    Args:
        groups: Groups of answers.
        like: A tensor of that shape, as ``Scores.log_probs``.
    """
    result = torch.zeros_like(like)
    for row, each in enumerate(answer for group in groups for answer in group):
        result[row, : len(each.log_probs)] = torch.tensor(each.log_probs, device=like.device)
    return result


def check_scores(scores: Scores, groups: Sequence[Sequence[Completion]], tolerance: float = 0.02) -> None:
    """Whether an update sees the log-probabilities with which the answers were drawn.

    Args:
        scores: Of the policy that wrote them, at temperature 1.
        groups: The answers.
        tolerance: Mean absolute difference that rounding explains; 16 bits need more.

    Raises:
        ValueError: It does not: the model reads a mask of four dimensions in another way, dropout is on, the tokens
            were drawn at another temperature, or by other weights.
    """
    drawn = sampled_log_probs(groups, scores.log_probs)
    gap = ((scores.log_probs.detach() - drawn).abs().sum() / scores.mask.sum()).item()
    if not gap <= tolerance:
        raise ValueError(
            f"the update sees log-probabilities that differ by {gap:.3f} a token from those at sampling: this model may "
            "not take a mask of four dimensions, dropout may be on, or the answers come from another temperature or "
            "from other weights\n"
            f"更新时看到的对数概率与采样时每个词元平均相差 {gap:.3f}：模型可能不支持四维的掩码，或者开着 dropout，"
            "或者回答是用别的温度、别的权重写的"
        )
