"""The state of a training under way, so that an interrupted one goes on to the same result.

A state belongs to the settings it was made with (``settings_of``): under other settings a training starts anew and
says so. What is written is whole or absent; what was damaged later is named.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llm_tutorial.fetch import say

STATE = "state.json"


class StateError(RuntimeError):
    """A saved state cannot be read; the message says which, and what to do, in English and in Chinese."""


def settings_of(model: nn.Module, optimizer: torch.optim.Optimizer, **others: Any) -> dict[str, Any]:
    """What must be the same when a training goes on: trained parameters, optimiser with its rates, and ``others``.

    Args:
        model: The model; parameters with ``requires_grad`` count.
        optimizer: The optimiser as it begins.
        others: Further settings, such as ``steps``.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> settings_of(layer, torch.optim.SGD(layer.parameters(), lr=0.1), steps=5)["steps"]
        '5'
    """
    shapes = [(name, tuple(p.shape), str(p.dtype)) for name, p in model.named_parameters() if p.requires_grad]
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return {
        "parameters": hashlib.sha256(repr(shapes).encode()).hexdigest()[:12],
        "optimizer": f"{type(optimizer).__name__} {groups}",
        **{key: repr(value) for key, value in others.items()},
    }


def save_state(
    folder: Path, model: nn.Module, optimizer: Any, scheduler: Any, losses: list[float], settings: dict[str, Any]
) -> None:
    """Writes trained parameters, buffers, optimiser and schedule; the former state stays until the new one is whole.

    Args:
        folder: Where to.
        model: The model; parameters with ``requires_grad`` are saved.
        optimizer: Its optimiser.
        scheduler: The schedule of its learning rate, or ``None``.
        losses: The losses so far.
        settings: What ``settings_of`` gave.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    names = {id(p): name for name, p in trained.items()}
    tensors = {f"model/{name}": p.detach().clone() for name, p in (trained | _buffers(model)).items()}
    for parameter, values in optimizer.state.items():
        tensors |= {f"{key}/{names[id(parameter)]}": torch.as_tensor(value) for key, value in values.items()}
    file = f"{len(losses)}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file)
    schedule = scheduler.state_dict() if scheduler else {}
    schedule = {key: value for key, value in schedule.items() if key != "lr_lambdas"}
    write_json(folder / STATE, {"settings": settings, "losses": losses, "scheduler": schedule, "tensors": file})
    for old in folder.glob("*.safetensors"):
        if old.name != file:
            old.unlink()


def load_state(folder: Path, model: nn.Module, optimizer: Any, scheduler: Any, settings: dict[str, Any]) -> list[float]:
    """Puts a saved state into model, optimiser and schedule.

    Args:
        folder: Where ``save_state`` wrote it.
        model: The model, as it was built.
        optimizer: Its optimiser.
        scheduler: The schedule of its learning rate, or ``None``.
        settings: What ``settings_of`` gives now.

    Returns:
        The losses so far; none where there is no state, or one of other settings, which is removed.

    Raises:
        StateError: The state was damaged.

    Example:
        >>> import tempfile
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_state(Path(folder), layer, optimizer, None, [0.5], {"steps": "5"})
        ...     load_state(Path(folder), layer, optimizer, None, {"steps": "5"})
        [0.5]
    """
    if not (folder / STATE).exists():
        return []
    try:
        saved = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if other := [key for key in settings if saved["settings"].get(key) != settings[key]]:
            say(f"The state in {folder} was saved with another {', '.join(other)}: starting anew.")
            say(f"{folder} 里的状态是用别的设置（{'、'.join(other)}）保存的：从头开始。")
            shutil.rmtree(folder)
            return []
        tensors = load_file(folder / saved["tensors"])
        with torch.no_grad():
            for name, tensor in (dict(model.named_parameters()) | _buffers(model)).items():
                if tensor.requires_grad or f"model/{name}" in tensors:
                    tensor.copy_(tensors.pop(f"model/{name}"))
                keys = [key for key in tensors if key.partition("/")[2] == name]
                if keys:
                    optimizer.state[tensor] = {key.partition("/")[0]: tensors.pop(key) for key in keys}
        if scheduler:
            scheduler.load_state_dict(scheduler.state_dict() | saved["scheduler"])
            for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
                group["lr"] = rate
        return list(saved["losses"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise StateError(damaged(folder, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """What is said of a file or folder of a training under way that cannot be read."""
    return (
        f"The saved state {path} is damaged ({type(error).__name__}: {error}): remove it to start this run anew.\n"
        f"保存的状态 {path} 已损坏（{type(error).__name__}：{error}）：请删除它，然后从头开始这次训练。"
    )


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that is whole or absent.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, "state.json"), {"losses": [0.5]})
        ...     json.loads(Path(folder, "state.json").read_text())
        {'losses': [0.5]}
    """
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    os.replace(partial, path)


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    kept = model.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in model.named_buffers() if name in kept}
