"""The loop of reinforcement learning for a language model: write, score, credit, update.

Every step seeds itself, and the state of a run is kept after each: a run that was killed goes on to the same numbers.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from llm_tutorial.rl.kl import kl_estimate
from llm_tutorial.rl.methods import Batch, Method, credited, trained_modules
from llm_tutorial.rl.rewards import Rewards
from llm_tutorial.rl.sampling import Completion, evaluating, merged, sample
from llm_tutorial.rl.scoring import Scores, check_scores, group_scores, sampled_log_probs
from llm_tutorial.saved_state import load_state, save_state, settings_of, write_json
from llm_tutorial.training import PROBED_STEPS

Record = dict[str, float]
Groups = list[list[Completion]]
RECORDS = "records.json"


def train(
    policy: nn.Module,
    tokenizer: Any,
    prompts_at: Callable[[int], Sequence[str]],
    score: Callable[[Sequence[Completion]], Rewards],
    method: Method,
    optimizer: torch.optim.Optimizer,
    steps: int,
    answers: int = 8,
    max_new_tokens: int = 24,
    reference: nn.Module | None = None,
    state: Path | None = None,
    seed: int = 0,
    groups_at_once: int = 4,
    max_grad_norm: float = 1.0,
    save_every: int = 1,
    description: str = "training",
    each: Callable[[int, Groups, Rewards], None] | None = None,
) -> list[Record]:
    """Trains a policy's free parameters by a method of ``llm_tutorial.rl.methods``.

    Args:
        policy: A causal language model; parameters with ``requires_grad`` are trained, as those of a LoRA adapter.
        tokenizer: Its tokenizer.
        prompts_at: Gives the prompts of a step.
        score: Gives the rewards of answers, such as ``Rubric.score``.
        method: Turns rewards into a loss.
        optimizer: Holds the free parameters, and those of the critic if there is one.
        steps: Steps to take in all.
        answers: Answers to each prompt.
        max_new_tokens: Most tokens of an answer.
        reference: The policy that the trained one is held to; a model from PEFT without its adapter if not given.
        state: Folder that keeps the run; without one it cannot go on.
        seed: Seed of the answers.
        groups_at_once: Groups that go through the model together in an update.
        max_grad_norm: Norm to which the gradient is clipped.
        save_every: Steps between two saved states.
        description: Words beside the progress bar.
        each: Called after each step with its number, its answers and their rewards.

    Returns:
        Of each step: ``reward`` and its parts (means), ``spread`` (mean standard deviation within a group), ``silent``
            (share of groups without spread), ``entropy`` and ``kl`` (nats a token, estimated; kl where the method needs a
            reference), ``kl_answer`` (nats an answer), ``gradient`` (norm before clipping), ``tokens`` (of an answer),
            ``cut`` (share), ``seconds``.

    Raises:
        RewardError: A reward is no finite number or could not be computed: the step is undone, the state stays.
        PromptError: A prompt is empty or too long.
    """
    last = min(steps, int(os.environ.get(PROBED_STEPS, steps)))
    modules = trained_modules(policy, method)
    settings = settings_of(modules, optimizer, method=str(method), steps=steps, answers=answers, seed=seed)
    records = _resume(state, modules, optimizer, settings) if state and last == steps else []
    bar = tqdm(range(len(records), last), initial=len(records), total=last, desc=description)
    for step in bar:
        torch.manual_seed(1_000_003 * seed + step)
        start = time.perf_counter()
        with merged(policy):
            groups = sample(policy, tokenizer, prompts_at(step), answers, max_new_tokens)
        rewards = score([answer for group in groups for answer in group])
        earlier = [record["reward"] for record in records]
        record = update(
            policy, groups, rewards.total.float(), method, optimizer, earlier,
            max_new_tokens, reference, groups_at_once, max_grad_norm,
        )  # fmt: skip
        record |= {name: part.float().mean().item() for name, part in rewards.parts.items()}
        records.append(record | {"seconds": time.perf_counter() - start})
        bar.set_postfix(reward=f"{record['reward']:.2f}", silent=f"{record['silent']:.0%}")
        if each:
            each(step, groups, rewards)
        if state and last == steps and (step + 1) % save_every == 0:
            state.mkdir(parents=True, exist_ok=True)
            write_json(state / RECORDS, records)
            save_state(state, modules, optimizer, None, [record["reward"] for record in records], settings)
    return records + records[-1:] * (steps - last)  # a probe leaves out the last steps, and has a record of each


def update(
    policy: nn.Module,
    groups: Sequence[Sequence[Completion]],
    rewards: Tensor,
    method: Method,
    optimizer: torch.optim.Optimizer,
    earlier: Sequence[float] = (),
    longest: int = 24,
    reference: nn.Module | None = None,
    groups_at_once: int = 4,
    max_grad_norm: float = 1.0,
) -> Record:
    """One step of the policy, or ``method.passes``, on answers that it wrote.

    Args:
        policy: As for ``train``.
        groups: The answers, as many in each group.
        rewards: Of each answer, (answers,).
        method: As for ``train``.
        optimizer: As for ``train``.
        earlier: Mean reward of each earlier step.
        longest: Most tokens that an answer may have.
        reference: As for ``train``.
        groups_at_once: As for ``train``.
        max_grad_norm: As for ``train``.

    Returns:
        What ``train`` records, but for the parts.
    """
    device = next(policy.parameters()).device
    rewards = rewards.to(device).view(len(groups), -1)  # (prompts, answers)
    size, shares = rewards.shape[1], range(0, len(groups), groups_at_once)
    critic = method.critic is not None
    before: Scores | None = None
    reference_log_probs = None
    with torch.no_grad(), evaluating(policy):
        if method.needs_reference:
            reference_log_probs = _scores(
                reference or policy, groups, groups_at_once, without=reference is None
            ).log_probs
        if critic or method.passes > 1:
            before = _scores(policy, groups, groups_at_once, hidden=critic)
            check_scores(before, groups, _tolerance(policy))
    tokens = sum(len(answer.ids) for group in groups for answer in group)
    lengths = torch.tensor([len(answer.ids) for group in groups for answer in group], device=device)
    mask = torch.arange(int(lengths.max()), device=device) < lengths[:, None]
    log_ratio = None
    if reference_log_probs is not None:
        written = before.log_probs if before else sampled_log_probs(groups, reference_log_probs)
        log_ratio = written - reference_log_probs
    advantages, returns = credited(method, rewards, earlier, log_ratio, mask, before.hidden if before else None)
    sums = {"log_probs": 0.0, "gradient": 0.0}
    for attempt in range(method.passes):
        optimizer.zero_grad()
        for start in shares:
            rows = slice(start * size, (start + groups_at_once) * size)
            now = _with_gradient(policy, groups[start : start + groups_at_once])
            width = now.log_probs.shape[1]
            if start == 0 and attempt == 0 and before is None:
                check_scores(now, groups[:groups_at_once], _tolerance(policy))

            def cut(tensor: Tensor | None, rows: slice = rows, width: int = width) -> Any:
                return None if tensor is None else tensor[rows, :width]

            part = Batch(
                log_probs=now.log_probs,
                mask=now.mask,
                old_log_probs=cut(before.log_probs) if before else now.log_probs.detach(),
                reference_log_probs=cut(reference_log_probs),
                advantages=advantages[rows] if advantages.dim() == 1 else cut(advantages),
                returns=cut(returns),
                hidden=cut(before.hidden) if before else None,
                answers=len(lengths),
                tokens=tokens,
                longest=longest,
            )
            method.loss(part).backward()
            if attempt == 0:
                sums["log_probs"] += now.log_probs.sum().item()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        sums["gradient"] += float(nn.utils.clip_grad_norm_(parameters, max_grad_norm)) / method.passes
        if not math.isfinite(sums["gradient"]):
            raise FloatingPointError("the gradient is not finite\n梯度不是有限的数")
        optimizer.step()
        optimizer.zero_grad()
    spread = rewards.std(1) if size > 1 else torch.zeros(len(rewards))
    record = {
        "reward": rewards.mean().item(),
        "spread": spread.mean().item(),
        "silent": (spread < 1e-6).float().mean().item(),
        "entropy": -sums["log_probs"] / tokens,
        "gradient": sums["gradient"],
        "tokens": tokens / len(lengths),
        "cut": sum(answer.cut for group in groups for answer in group) / len(lengths),
    }
    if log_ratio is not None:
        k3 = kl_estimate(log_ratio, torch.zeros_like(log_ratio))
        record |= {"kl": (k3 * mask).sum().item() / tokens, "kl_answer": log_ratio.sum().item() / len(lengths)}
    return record


def _with_gradient(policy: nn.Module, groups: Sequence[Sequence[Completion]]) -> Scores:
    """Scores without dropout: the ratio to the policy that wrote the answers would else be noise."""
    with evaluating(policy):
        return group_scores(policy, groups)


def _tolerance(policy: nn.Module) -> float:
    """How far the log-probabilities of sampling and update may differ: in 16 bits the merged weights are rounded."""
    return 0.02 if all(p.dtype == torch.float32 for p in policy.parameters()) else 0.2


def _scores(
    model: nn.Module,
    groups: Sequence[Sequence[Completion]],
    groups_at_once: int,
    hidden: bool = False,
    without: bool = False,
) -> Scores:
    """Scores of all groups, a few at a time; ``without``: with the adapters of PEFT switched off."""
    if without and not hasattr(model, "disable_adapter"):
        raise ValueError(
            "a KL needs a reference: give one, or a model from PEFT\nKL 需要参考模型：请给出一个，或者用 PEFT 的模型"
        )
    with model.disable_adapter() if without else nullcontext():  # type: ignore[operator]
        found = [
            group_scores(model, groups[start : start + groups_at_once], hidden)
            for start in range(0, len(groups), groups_at_once)
        ]
    longest = max(each.mask.shape[1] for each in found)

    def together(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([nn.functional.pad(t, (0, 0) * (t.dim() - 2) + (0, longest - t.shape[1])) for t in tensors])

    return Scores(
        together([each.log_probs for each in found]),
        together([each.mask for each in found]),
        together([each.hidden for each in found if each.hidden is not None]) if hidden else None,
    )


def _resume(
    state: Path, modules: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> list[Record]:
    """Steps that the saved state has behind it; what was recorded beyond them is taken again."""
    done = len(load_state(state, modules, optimizer, None, settings))
    return json.loads((state / RECORDS).read_text(encoding="utf-8"))[:done] if done else []
