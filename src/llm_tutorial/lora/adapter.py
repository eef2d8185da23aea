"""Adapters on disk, in the format of PEFT: what one library saved, the other loads.

A folder holds ``adapter_config.json`` (rank, alpha, which modules …) and ``adapter_model.safetensors``, whose tensors
are named ``base_model.model.<layer>.lora_A.weight``, ``….lora_B.weight`` and, for DoRA, ``….lora_magnitude_vector``;
modules trained in full keep their own names behind ``base_model.model.``.
"""

import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llm_tutorial.lora.inject import (
    WRAPPERS,
    add_lora,
    check_called,
    ends_with,
    lora_layers,
    matching_linears,
    named_modules,
    remove_lora,
    saved_modules,
    unwrapped,
)
from llm_tutorial.lora.linear import LoRALinear

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
SUFFIXES = {"lora_A": ".lora_A.weight", "lora_B": ".lora_B.weight", "lora_magnitude": ".lora_magnitude_vector"}

USED = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "modules_to_save"}
# these say where an adapter came from, or repeat what the names of its tensors say
IGNORED = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_version", "revision"),
    *("qalora_group_size", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "task_type"),
}
HARMLESS: dict[str, tuple[Any, ...]] = {"bias": ("none",), "init_lora_weights": (True, "gaussian", "orthogonal")}


def save_adapter(model: nn.Module, folder: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Saves the adapter of a model, and nothing of the pretrained weights, so that PEFT can load it too.

    The folder is complete or recognisably absent at every moment. A PiSSA adapter is saved as the equivalent ordinary
    one of twice the rank (``B A - B0 A0``), since its own needs a changed base.

    Args:
        model: A model with adapters, merged or not.
        folder: Where to; made if missing, and an adapter that is there is replaced.
        dtype: Of the saved tensors; half precision halves the file.

    Returns:
        The folder.

    Raises:
        ValueError: The model has no adapter, or its layers differ in rank, alpha or another option.

    Example:
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=1)
        >>> with tempfile.TemporaryDirectory() as scratch:
        ...     sorted(os.listdir(save_adapter(model, f"{scratch}/mine")))
        ['adapter_config.json', 'adapter_model.safetensors']
    """
    folder = Path(folder)
    config, tensors = (
        _config(unwrapped(model)),
        {PREFIX + name: tensor.to(dtype) for name, tensor in _tensors(model).items()},
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch, "adapter")
        new.mkdir()
        save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
        (new / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if folder.exists():  # with other files of the reader's in it, perhaps
            (folder / CONFIG).unlink(missing_ok=True)  # so that an old configuration never meets new weights
            os.replace(new / WEIGHTS, folder / WEIGHTS)
            os.replace(new / CONFIG, folder / CONFIG)
        else:
            os.replace(new, folder)
    return folder


def load_adapter(model: nn.Module, folder: str | Path, trainable: bool = False) -> nn.Module:
    """Puts a saved adapter, ours or PEFT's, into a model, in place of the one that is there.

    Everything is checked before the model is touched. Several adapters share one base by loading one after another.

    Args:
        model: The pretrained model, with or without another adapter; it stays frozen.
        folder: What ``save_adapter`` or PEFT's ``save_pretrained`` wrote.
        trainable: Whether the adapter is to be trained further.

    Returns:
        The same model.

    Raises:
        ValueError: The folder or a file is missing or damaged, the file lacks layers that the configuration names, the
            adapter is for another model, or it uses an option that this library does not have. The message says what
            to do.

    Example:
        >>> layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> load_adapter(layers, "nowhere")
        Traceback (most recent call last):
        ...
        ValueError: nowhere has no adapter_config.json; give the folder that save_adapter() or PEFT's save_pretrained() \
wrote
    """
    folder = Path(folder)
    config = _read_config(folder)
    tensors = _read_tensors(folder, unwrapped(model))
    layers = sorted({name.removesuffix(SUFFIXES["lora_A"]) for name in tensors if name.endswith(SUFFIXES["lora_A"])})
    to_save = _modules_to_save(model, config["modules_to_save"] or [], tensors)
    _check_fit(folder, unwrapped(model), config, tensors, layers, to_save)

    remove_lora(model)
    add_lora(
        model,
        rank=config["r"],
        alpha=config["lora_alpha"],
        target_modules="|".join(map(re.escape, layers)),
        modules_to_save=to_save,
        dropout=config["lora_dropout"],
        use_rslora=config["use_rslora"],
        use_dora=config["use_dora"],
    )
    for name, target in _tensors(model).items():
        target.data.copy_(tensors[name])
    if not trainable:
        model.requires_grad_(False)
    return model


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """What is saved of a model, by the names of PEFT without their prefix."""
    tensors: dict[str, Tensor] = {}
    for name, layer in lora_layers(model):
        tensors |= {f"{name}{SUFFIXES[kind]}": tensor for kind, tensor in _adapter(layer).items()}
    for name, module in saved_modules(model):
        tensors |= {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _adapter(layer: LoRALinear) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {"lora_A": layer.lora_A, "lora_B": layer.lora_B}
    if layer.start is not None:  # B A - B0 A0 as one product, since the pretrained weight is what a reader has
        _, first_A, first_B = layer.start
        tensors = {"lora_A": torch.cat([layer.lora_A, first_A]), "lora_B": torch.cat([layer.lora_B, -first_B], dim=1)}
    return tensors if layer.lora_magnitude is None else {**tensors, "lora_magnitude": layer.lora_magnitude}


def _config(model: nn.Module) -> dict[str, Any]:
    """The content of ``adapter_config.json``."""
    layers = dict(lora_layers(model))
    if not layers:
        raise ValueError("this model has no adapter to save; add_lora() puts one in")
    options = {
        (
            layer.start is not None,
            layer.rank,
            layer.alpha,
            layer.dropout.p,
            layer.use_rslora,
            layer.lora_magnitude is not None,
        )
        for layer in layers.values()
    }
    if len(options) > 1:
        raise ValueError("the adapted layers differ in rank, alpha, dropout or variant; one file holds one setting")
    is_pissa, rank, alpha, dropout, use_rslora, use_dora = options.pop()
    if is_pissa:  # twice the rank at the same scaling
        rank, alpha = 2 * rank, (math.sqrt(2) if use_rslora else 2) * alpha
    name = str(getattr(model, "name_or_path", ""))
    return {
        "base_model_name_or_path": None if not name or os.path.exists(name) else name,  # a path is of this machine only
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "modules_to_save": [name for name, _ in saved_modules(model)] or None,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": _shortest(layers, model),
        "task_type": "CAUSAL_LM" if type(model).__name__.endswith("ForCausalLM") else None,
        "use_dora": use_dora,
        "use_rslora": use_rslora,
    }


def _shortest(layers: Iterable[str], model: nn.Module) -> list[str]:
    """Name endings that mean exactly these layers, or their whole names where endings would mean more."""
    endings = sorted({name.rpartition(".")[2] for name in layers})
    meant = {name for name, _ in named_modules(model) if ends_with(name, endings)}
    return endings if meant == set(layers) else sorted(layers)


def _read_config(folder: Path) -> dict[str, Any]:
    """The checked configuration."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{folder} has no {CONFIG}; give the folder that save_adapter() or PEFT's save_pretrained() wrote"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); save or copy the adapter again") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        found = config.get("peft_type") if isinstance(config, dict) else config
        raise ValueError(f"{path} describes no LoRA adapter (peft_type={found!r}); load it with PEFT")
    config = {"lora_dropout": 0.0, "use_rslora": False, "use_dora": False, "modules_to_save": None, **config}
    if missing := sorted(USED - config.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}; save or copy the adapter again")
    kinds: dict[str, Any] = {
        "r": int,
        "lora_alpha": (int, float),
        "lora_dropout": (int, float),
        "use_rslora": bool,
        "use_dora": bool,
    }
    if wrong := [option for option, kind in kinds.items() if not isinstance(config[option], kind)]:
        raise ValueError(f"{path} has {wrong[0]}={config[wrong[0]]!r}; save or copy the adapter again")
    try:
        LoRALinear(nn.Linear(1, 1), 1, config["lora_alpha"], config["lora_dropout"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for option in sorted(config.keys() - USED - IGNORED):
        value = config[option]
        if value and value not in HARMLESS.get(option, ()):
            hint = "; PEFT turns it into an ordinary adapter with path_initial_model_for_weight_conversion"
            raise ValueError(
                f"{path} asks for {option}={value!r}, which LoRALinear does not have; load the adapter with PEFT"
                + (hint if option == "init_lora_weights" else "")
            )
    return config


def _read_tensors(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """The tensors by their names without PEFT's prefix and without those of wrappers."""
    path = folder / WEIGHTS
    if not path.is_file():
        hint = " (adapter_model.bin is a pickle: save it with PEFT as safetensors)"
        hint = hint if (folder / "adapter_model.bin").exists() else ""
        raise ValueError(f"{folder} has no {WEIGHTS}{hint}; save or copy the adapter again")
    try:
        tensors = {_plain(name, model): tensor for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); save or copy the adapter again") from None
    # beside the adapter of an output head PEFT saves the frozen head as well
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".base_layer.weight")}


def _plain(name: str, model: nn.Module) -> str:
    """The name of a tensor, or of a module, as it is in a model that nothing is wrapped around."""
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    name = name.removeprefix(f"module.{PREFIX}").removeprefix(PREFIX)
    return name if hasattr(model, "module") else name.removeprefix("module.")  # DDP's


def _modules_to_save(model: nn.Module, endings: list[str], tensors: Mapping[str, Tensor]) -> list[str]:
    """Full names of the modules that the file holds whole. PEFT takes any name that ends in the letters given."""
    names = [name for name, _ in named_modules(model) if endings and name.endswith(tuple(endings))]
    return [name for name in names if any(key.startswith(f"{name}.") for key in tensors)]


def _check_fit(
    folder: Path,
    model: nn.Module,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    layers: list[str],
    to_save: list[str],
) -> None:
    """Compares the names and shapes of the file with those that the model needs."""
    modules = dict(named_modules(model))
    linears: dict[str, Any] = {name: modules[name] for name in layers if hasattr(modules.get(name), "in_features")}
    if not linears or len(linears) < len(layers):
        absent = next((name for name in layers if name not in linears), "any linear layer")
        raise ValueError(
            f"the adapter in {folder} is for another model: {len(layers) - len(linears)} of its {len(layers)} layers "
            f"are not linear layers of this {type(model).__name__}, such as {absent}; load the model it was trained on"
        )
    check_called(model, layers)
    if lacking := sorted(_asked_for(model, config) - set(layers)):
        raise ValueError(
            f"{folder / WEIGHTS} lacks {len(lacking)} of the layers that {CONFIG} names, such as {lacking[0]}; save or copy "
            f"the adapter again\n{folder / WEIGHTS} 缺少 {CONFIG} 所列的 {len(lacking)} 个层，例如 {lacking[0]}；"
            "请重新保存或复制适配器"
        )
    rank = config["r"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, linear in linears.items():
        if rank > min(linear.in_features, linear.out_features):
            raise ValueError(f"the adapter in {folder} has rank {rank}, more than a side of {name}; load it with PEFT")
        shapes[name + SUFFIXES["lora_A"]] = (rank, int(linear.in_features))
        shapes[name + SUFFIXES["lora_B"]] = (int(linear.out_features), rank)
        if config["use_dora"]:
            shapes[name + SUFFIXES["lora_magnitude"]] = (int(linear.out_features),)
    for name in to_save:
        shapes |= {f"{name}.{key}": tuple(tensor.shape) for key, tensor in modules[name].state_dict().items()}
    for name, shape in shapes.items():
        if name not in tensors:
            raise ValueError(f"{folder / WEIGHTS} lacks {name}; save or copy the adapter again")
        if tuple(tensors[name].shape) != shape:
            raise ValueError(
                f"the adapter in {folder} is for another model: {name} has the shape {tuple(tensors[name].shape)}, this "
                f"{type(model).__name__} needs {shape}; load the model it was trained on"
            )
    if unknown := sorted(tensors.keys() - shapes.keys()):
        raise ValueError(
            f"{folder / WEIGHTS} holds {unknown[0]}, for which this {type(model).__name__} has no place "
            f"({len(unknown)} such); load the adapter with PEFT"
        )


def _asked_for(model: nn.Module, config: Mapping[str, Any]) -> set[str]:
    """The linear layers that a configuration names, read as PEFT reads it."""
    targets, numbers = config.get("target_modules"), config.get("layers_to_transform")
    if not targets:
        return set()
    if isinstance(targets, str):
        numbers = None  # PEFT heeds them beside a list alone
    else:
        targets = [_plain(target, model) for target in targets]
    try:
        names = matching_linears(model, targets)
    except ValueError:
        return set()  # the file's layers, which are there, say what there is
    excluded = config.get("exclude_modules") or []
    if isinstance(excluded, str):
        names = [name for name in names if not re.fullmatch(excluded, name)]
    else:
        names = [name for name in names if not ends_with(name, excluded)]
    for whole in config["modules_to_save"] or []:
        names = [name for name in names if not re.match(rf"(^|.*\.){whole}($|\..*)", name)]
    if numbers is None or numbers == []:
        return set(names)
    numbers = [numbers] if isinstance(numbers, int) else numbers
    patterns = config.get("layers_pattern") or []
    patterns = [patterns] if isinstance(patterns, str) else patterns
    patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in patterns] or [r".*?\.[^.]*\.(\d+)\."]
    places = {name: next(filter(None, (re.match(pattern, name) for pattern in patterns)), None) for name in names}
    return {name for name, place in places.items() if place and int(place[1]) in numbers}
