"""One helper for long runs: progress, interruption and resumption, several devices, a manifest.

A training script is a plain loop over named runs:

    long_run = LongRun("low_rank", Path(__file__))
    for seed in range(3):
        long_run.measure(f"rank 8, seed {seed}", lambda: train(seed))
    long_run.finish()

``measure`` keeps the metrics of each finished run, and ``fit`` the state of the one under way, in the
user's cache folder: a killed script goes on where it stopped, to the same result. ``accelerate launch``
runs the same script on several devices.
"""

import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from llm_tutorial.fetch import cache_folder

PROBE = "LLM_TUTORIAL_PROBE"  # names the file that a probe is written to
PROBED_STEPS = 10
_probed_steps = PROBED_STEPS  # of the script that is probed, as its LongRun says


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

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> encode(load_tokenizer("smollm2-135m"), "two days →", "2天")
        Example(input_ids=[1, 11355, 2009, 17822, 34, 18614, 119, 2], answer_from=4)
    """
    ids = tokenizer(with_begin_token(tokenizer, prompt), add_special_tokens=False).input_ids
    answer_ids = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return Example(ids + answer_ids, 1 if prompt_loss else len(ids))


def with_begin_token(tokenizer: Any, prompt: str) -> str:
    """The prompt after the tokenizer's begin token, unless it has one already (chat templates do) or there is none."""
    begin = tokenizer.bos_token or ""
    return prompt if prompt.startswith(begin) else begin + prompt


def pack(examples: Sequence[Example], device: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    """One row that holds all examples end to end: no padding, and logits for the answers alone.

    Positions start again at 0 with each example, from which Transformers makes the block-diagonal causal
    mask that keeps the examples apart.

    Args:
        examples: Of any lengths, ``T`` tokens together, ``K`` of them answers.
        device: Where the tensors go.

    Returns:
        The model's arguments, and the labels (K,) of the logits (1, K, vocabulary) it then gives.
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


def answer_loss(model: nn.Module, examples: Sequence[Example], device: Any = None) -> Tensor:
    """Sum of the answer tokens' cross-entropy, in nats; divide by ``answer_tokens`` for the mean."""
    inputs, labels = pack(examples, device)
    return nn.functional.cross_entropy(model(**inputs, use_cache=False).logits[0], labels, reduction="sum")


def answer_tokens(examples: Sequence[Example]) -> int:
    """How many tokens the loss is summed over."""
    return sum(len(example.input_ids) - example.answer_from for example in examples)


def linear_decay(optimizer: torch.optim.Optimizer, steps: int, warmup: int = 0) -> torch.optim.lr_scheduler.LambdaLR:
    """A learning rate that rises over ``warmup`` steps, then falls linearly to 0 at ``steps``."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (warmup + 1), (steps - step) / max(steps - warmup, 1))
    )


def fit(
    model: nn.Module,
    batch_at: Callable[[int], Sequence[Any]],
    optimizer: torch.optim.Optimizer,
    steps: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    state: Path | None = None,
    seed: int = 0,
    save_every: int = 25,
    max_grad_norm: float | None = 1.0,
    description: str = "training",
    accelerator: Accelerator | None = None,
    loss_of: Callable[[nn.Module, Sequence[Any], Any], Tensor] = answer_loss,
    count: Callable[[Sequence[Any]], int] = answer_tokens,
) -> list[float]:
    """Trains a model's free parameters on batches that depend on the step's number alone.

    Every step seeds itself, so step 57 is the same whether or not the run was interrupted before it.
    On several devices each takes its share of every batch, and the loss is divided by what the whole batch
    counts (its answer tokens): the result is that of one device.

    Args:
        model: The model; parameters with ``requires_grad`` are trained.
        batch_at: Gives the whole batch of a step.
        optimizer: Over the trained parameters.
        steps: How many.
        scheduler: Stepped after each step.
        state: Folder that keeps the state of an unfinished run; it is removed at the end by ``LongRun``.
        seed: Of dropout.
        save_every: Steps between two saved states.
        max_grad_norm: Gradients are clipped to this norm.
        description: Shown beside the progress bar.
        accelerator: From Accelerate; one that finds the devices itself if not given.
        loss_of: Summed loss of examples, given the model, the examples and the device.
        count: What the sum is divided by.

    Returns:
        The mean loss of each step, in nats per answer token.
    """
    accelerator = accelerator or Accelerator(cpu=not torch.accelerator.is_available())
    losses = _load_state(state, model, optimizer, scheduler) if state and PROBE not in os.environ else []
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    probed = PROBE in os.environ
    rank, world = accelerator.process_index, accelerator.num_processes
    model.train()
    last = min(steps, _probed_steps) if probed else steps
    bar = tqdm(range(len(losses), last), initial=len(losses), total=last, desc=description, disable=rank > 0)
    for step in bar:
        torch.manual_seed(1_000_003 * seed + step)
        batch = batch_at(step)
        tokens = count(batch)
        loss = loss_of(wrapped, batch[rank::world], accelerator.device) / tokens
        accelerator.backward(loss * world)  # the devices' gradients are averaged, and shall be summed
        if max_grad_norm is not None:
            accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if scheduler:
            scheduler.step()
        losses.append(float(accelerator.reduce(loss.detach(), "sum")))
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
        if state and not probed and rank == 0 and (step + 1) % save_every == 0 and step + 1 < steps:
            _save_state(state, model, optimizer, scheduler, losses)
    model.eval()
    return losses + losses[-1:] * (steps - last)  # a probe leaves out the last steps, and has a loss for each of them


def _save_state(folder: Path, model: nn.Module, optimizer: Any, scheduler: Any, losses: list[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    names = {id(p): name for name, p in trained.items()}
    tensors = {f"model/{name}": p.detach().contiguous() for name, p in trained.items()}
    for parameter, values in optimizer.state.items():
        tensors |= {f"{key}/{names[id(parameter)]}": torch.as_tensor(value) for key, value in values.items()}
    step = len(losses)
    save_file(tensors, folder / f"{step}.safetensors")
    schedule = scheduler.state_dict() if scheduler else {}
    schedule = {key: value for key, value in schedule.items() if key != "lr_lambdas"}
    _write(folder / "state.json", {"losses": losses, "scheduler": schedule, "tensors": f"{step}.safetensors"})
    for old in folder.glob("*.safetensors"):
        if old.name != f"{step}.safetensors":
            old.unlink()


def _load_state(folder: Path, model: nn.Module, optimizer: Any, scheduler: Any) -> list[float]:
    if not (folder / "state.json").exists():
        return []
    saved = json.loads((folder / "state.json").read_text())
    tensors = load_file(folder / saved["tensors"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(tensors.pop(f"model/{name}"))
                keys = [key for key in tensors if key.partition("/")[2] == name]
                optimizer.state[parameter] = {key.partition("/")[0]: tensors.pop(key) for key in keys}
    if scheduler:
        scheduler.load_state_dict(scheduler.state_dict() | saved["scheduler"])
        for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
    return saved["losses"]


def _write(path: Path, content: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def data_digest(data: Any) -> str:
    """SHA-256 of a training set, for a manifest.

    Example:
        >>> data_digest(["a", 1])[:8]
        '1d809466'
    """
    return hashlib.sha256(repr(data).encode()).hexdigest()


def configuration(run: str) -> str:
    """What a run has in common with those that differ from it in nothing but their seed.

    Example:
        >>> configuration("window, seed 2")
        'window'
    """
    return re.sub(r",? ?seed \d+", "", run)


class LongRun:
    """A script's runs: measured once each, and written down in a manifest when all are done.

    Where the environment variable ``LLM_TUTORIAL_PROBE`` names a file, the script is probed instead: of each
    configuration one run takes its first steps and is measured on the first few of what it is to be measured on. That
    is enough to tell whether changed code still does the same.

    Args:
        name: Of the weights' folder.
        script: The training script, ``Path(__file__)``; its chapter is the name of its folder.
        probed_steps: Steps of a run that is probed.
    """

    def __init__(self, name: str, script: Path, probed_steps: int = PROBED_STEPS) -> None:
        global _probed_steps
        self.name = name
        chapter = script.resolve().parent.name
        self.folder = Path(__file__).parent / chapter / "weights" / name
        self.state = cache_folder() / "runs" / chapter / name
        if os.environ.get("LLM_TUTORIAL_RETRAIN"):
            self.state = self.state / "retrain"
        self.runs: dict[str, dict[str, Any]] = {}
        self.data: dict[str, str] = {}
        self.probes: dict[str, dict[str, Any]] = {}
        self.probe = Path(os.environ[PROBE]) if PROBE in os.environ else None
        self._held_out: list[str] = []
        if self.probe:
            _probed_steps = probed_steps
            manifest = self.folder / "manifest.json"
            self._recorded = json.loads(manifest.read_text(encoding="utf-8"))["metrics"] if manifest.exists() else {}
            self.folder = self.probe.parent / name  # the committed weights stay

    def state_of(self, run: str) -> Path:
        """Folder for the state of one run under way."""
        return self.state / hashlib.sha256(run.encode()).hexdigest()[:12]

    def few(self, items: Sequence[Any], count: int = 4) -> Sequence[Any]:
        """What a run is measured on: all of it; in a probe the first few, and a digest of all is kept.

        Args:
            items: Examples, documents, settings to try.
            count: How many a probe takes.
        """
        if not self.probe:
            return items
        self._held_out.append(data_digest(_plain(items))[:16])
        return items[:count]

    def measure(self, run: str, function: Callable[[], dict[str, Any]], timed: bool = False) -> dict[str, Any]:
        """Runs a function once; what it returned before is read back instead of computed again.

        Args:
            run: The run's name.
            function: Trains and evaluates; returns metrics, with ``losses`` among them where it trained.
            timed: It measures nothing but time; a probe leaves it out.
        """
        if self.probe:
            return self._probe(run, function, timed)
        path = self.state_of(run).with_suffix(".json")
        if path.exists():
            self.runs[run] = json.loads(path.read_text(encoding="utf-8"))
        else:
            start = time.perf_counter()
            metrics = function()
            self.runs[run] = metrics | {"seconds": time.perf_counter() - start}
            self.state.mkdir(parents=True, exist_ok=True)
            _write(path, self.runs[run])
            shutil.rmtree(self.state_of(run), ignore_errors=True)
        return self.runs[run]

    def _probe(self, run: str, function: Callable[[], dict[str, Any]], timed: bool) -> dict[str, Any]:
        self.runs[run] = self._recorded.get(run, {})
        kind = configuration(run)
        if not timed and kind not in self.probes:
            self._held_out = []
            found = function()
            losses = found.get("losses", [])
            self.probes[kind] = {
                "run": run,
                "steps": len(losses),
                "losses": [_significant(loss) for loss in losses[:_probed_steps]],
                "held_out": self._held_out,
                "metrics": _significant({k: v for k, v in found.items() if k not in ("losses", "curve")}),
            }
            self.runs[run] = self.runs[run] or found
        return self.runs[run]  # as recorded: what a script chooses by its results, it chooses as it did

    def finish(self, **facts: Any) -> None:
        """Writes the manifest; the site's ``record`` command adds the digests of the code.

        Args:
            facts: What else the manifest shall say, such as ``seeds`` and ``steps``.
        """
        if self.probe:
            said = {"runs": list(self.runs), "facts": facts, "data": self.data, "probes": self.probes}
            return _write(self.probe, said)
        seconds = sum(run["seconds"] for run in self.runs.values())
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = ("losses", "seconds")
        manifest = {
            "name": self.name,
            **facts,
            "seconds": round(seconds),
            "time": next(
                (label for limit, label in ((600, "10 min"), (3600, "1 h"), (7200, "2 h")) if seconds < limit), "5 h"
            ),
            "data": self.data,
            "losses": {
                name: [round(loss, 6) for loss in run["losses"][:10]]
                for name, run in self.runs.items()
                if "losses" in run
            },
            "metrics": {name: {k: v for k, v in run.items() if k not in kept} for name, run in self.runs.items()},
        }
        _write(self.folder / "manifest.json", manifest)
        shutil.rmtree(self.state, ignore_errors=True)
        return None


def _plain(data: Any) -> Any:
    """Nested data with its tensors as lists: what a digest is taken of."""
    if isinstance(data, Tensor):
        return data.tolist()
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data


def _significant(value: Any) -> Any:
    """Numbers of nested results to six significant digits, keys as JSON has them."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _significant(each) for key, each in value.items()}
    return [_significant(each) for each in value] if isinstance(value, list | tuple) else value


def read_manifest(chapter: str, name: str) -> dict[str, Any]:
    """The manifest of a long run that the package ships.

    Args:
        chapter: ``"lora"``, for example.
        name: Of the run.

    Raises:
        ValueError: There is no such run; the message names those there are.

    Example:
        >>> read_manifest("lora", "low_rank")["steps"]
        150
    """
    weights = Path(__file__).parent / chapter / "weights"
    path = weights / name / "manifest.json"
    if not path.exists():
        known = sorted(path.parent.name for path in weights.glob("*/manifest.json"))
        raise ValueError(f"no long run {name!r} in chapter {chapter!r}; there are {known}")
    return json.loads(path.read_text(encoding="utf-8"))
