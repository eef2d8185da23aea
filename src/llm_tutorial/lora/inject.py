"""Adapters put into a model by the names of its modules, counted, merged and taken out again."""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

from llm_tutorial.lora.linear import LoRALinear, check_adapter

ALL_LINEAR = "all-linear"


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Every adapted layer with its name."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def saved_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module trained in full (``modules_to_save``) with its name; its ``original`` is the pretrained one."""
    return ((name, module) for name, module in model.named_modules() if "original" in vars(module))


def ends_with(name: str, endings: Sequence[str]) -> bool:
    """Whether a dotted name is, or ends in, one of the endings.

    Example:
        >>> ends_with("layers.0.q_proj", ["q_proj"]), ends_with("layers.0.nq_proj", ["q_proj"])
        (True, False)
    """
    return any(name == ending or name.endswith(f".{ending}") for ending in endings)


def matching_linears(model: nn.Module, target_modules: str | Sequence[str]) -> list[str]:
    """Names of the linear layers that ``target_modules`` asks for, spelled as in PEFT.

    Args:
        model: The model.
        target_modules: ``"all-linear"`` for all but the output head; a list of name endings, as in
            ``["q_proj", "v_proj"]``; or one regular expression that matches a whole name.

    Raises:
        ValueError: Nothing matches; the message lists the endings there are.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> matching_linears(model, r"[01]")
        ['0']
    """
    get_head = getattr(model, "get_output_embeddings", None)
    head = get_head() if callable(get_head) else None
    inner = {f"{name}.base" for name, _ in lora_layers(model)}
    linears = [n for n, m in model.named_modules() if hasattr(m, "in_features") and n not in inner]
    if target_modules == ALL_LINEAR:
        found = [name for name in linears if model.get_submodule(name) is not head]
    elif isinstance(target_modules, str):
        found = [name for name in linears if re.fullmatch(target_modules, name)]
    else:
        found = [name for name in linears if ends_with(name, target_modules)]
    if not found:
        endings = sorted({name.rpartition(".")[2] for name in linears})
        raise ValueError(f"target_modules={target_modules!r} matches no linear layer; their names end in {endings}")
    return found


def add_lora(
    model: nn.Module,
    rank: int = 8,
    alpha: float | None = None,
    target_modules: str | Sequence[str] = ALL_LINEAR,
    modules_to_save: Sequence[str] = (),
    dropout: float = 0.0,
    use_rslora: bool = False,
    use_dora: bool = False,
) -> nn.Module:
    """Freezes a model and puts an adapter beside each linear layer asked for, in place.

    Args:
        model: Any model; its parameters are frozen.
        rank: Rank of each update.
        alpha: Numerator of the scaling, ``rank`` if not given.
        target_modules: See ``matching_linears``.
        modules_to_save: Name endings of modules trained in full, such as a new classification head. A copy is trained,
            as in PEFT: a head that was tied to the embedding leaves the embedding as it is.
        dropout: Dropout on the adapter's input.
        use_rslora: Scale by ``alpha / sqrt(rank)``.
        use_dora: Learn magnitudes as well.

    Returns:
        The same model.

    Raises:
        ValueError: Nothing matches, an adapter is there already, or a rank or alpha is out of range.

    Example:
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=1, target_modules=["2"])
        >>> print(count_parameters(model))
        6 of 36 parameters trained (16.667 %)
    """
    if any(True for _ in lora_layers(model)):
        raise ValueError("this model has adapters already; remove_lora() or merge_and_unload() it first")
    to_save = {}
    for ending in modules_to_save:
        matching = {name: module for name, module in model.named_modules() if ends_with(name, [ending])}
        if not matching:
            raise ValueError(f"modules_to_save={ending!r} matches no module")
        to_save.update(matching)
    names = [name for name in matching_linears(model, target_modules) if name not in to_save]
    for name in names:
        if within := [saved for saved in to_save if name.startswith(f"{saved}.")]:
            raise ValueError(f"{name!r} cannot have an adapter inside {within[0]!r}, which is trained in full")
    for name in names:  # all of them before the first is frozen
        layer: Any = model.get_submodule(name)
        try:
            check_adapter(layer.in_features, layer.out_features, rank, alpha, dropout)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    adapters = {
        name: LoRALinear(model.get_submodule(name), rank, alpha, dropout, use_rslora, use_dora) for name in names
    }
    model.requires_grad_(False)
    for name, adapter in adapters.items():
        model.set_submodule(name, adapter)
        for parameter in (adapter.lora_A, adapter.lora_B, adapter.lora_magnitude):
            if parameter is not None:
                parameter.requires_grad_(True)
    for name, module in to_save.items():
        trained = copy.deepcopy(module).requires_grad_(True)
        vars(trained)["original"] = module  # not registered: neither counted nor saved
        model.set_submodule(name, trained)
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """Merges every adapter into its weight; ``unmerge_lora`` undoes it."""
    for _, layer in lora_layers(model):
        layer.merge()
    return model


def unmerge_lora(model: nn.Module) -> nn.Module:
    """Takes every merged adapter out of its weight again, exactly."""
    for _, layer in lora_layers(model):
        layer.unmerge()
    return model


def remove_lora(model: nn.Module) -> nn.Module:
    """Puts the pretrained layers back and drops the adapters; the model stays frozen."""
    for name, layer in list(lora_layers(model)):
        if layer.merged:
            layer.unmerge()
        if layer.start is not None:
            layer.base.weight = layer.start[0]
        model.set_submodule(name, layer.base)
    for name, module in list(saved_modules(model)):
        model.set_submodule(name, vars(module)["original"])
    return model


def merge_and_unload(model: nn.Module) -> nn.Module:
    """Merges every adapter and drops it: a plain model of the pretrained shape is left."""
    for name, layer in list(lora_layers(model)):
        if not layer.merged:
            layer.merge()
        model.set_submodule(name, layer.base)
    for _, module in saved_modules(model):
        del vars(module)["original"]
    return model


class ParameterCount(NamedTuple):
    """Trained and total parameters of a model, tied ones counted once."""

    trained: int
    total: int

    @property
    def percent(self) -> float:
        """Share of the total that is trained, in percent."""
        return 100 * self.trained / self.total

    def __str__(self) -> str:
        return f"{self.trained:,} of {self.total:,} parameters trained ({self.percent:.3f} %)"


def count_parameters(model: nn.Module) -> ParameterCount:
    """Counts the parameters of a model, packed ones as well; those with ``requires_grad`` are trained."""
    parameters = list(model.parameters())
    packed = sum(getattr(module, "packed_weights", 0) for module in model.modules())
    return ParameterCount(
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        total=sum(p.numel() for p in parameters) + packed,
    )
