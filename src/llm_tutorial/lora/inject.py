"""Adapters put into a model by the names of its modules, counted, merged and taken out again."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from llm_tutorial.lora.linear import LoRALinear

ALL_LINEAR = "all-linear"


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Every adapted layer with its name."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


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
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    linears = [n for n, m in model.named_modules() if hasattr(m, "in_features") and m is not head and ".base" not in n]
    if target_modules == ALL_LINEAR:
        found = linears
    elif isinstance(target_modules, str):
        found = [name for name in linears if re.fullmatch(target_modules, name)]
    else:
        found = [name for name in linears if any(name == end or name.endswith(f".{end}") for end in target_modules)]
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
        modules_to_save: Name endings of modules trained in full, such as a new classification head.
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
    names = matching_linears(model, target_modules)
    adapters = {
        name: LoRALinear(model.get_submodule(name), rank, alpha, dropout, use_rslora, use_dora) for name in names
    }
    model.requires_grad_(False)
    for name, adapter in adapters.items():
        model.set_submodule(name, adapter)
        for parameter in (adapter.lora_A, adapter.lora_B, adapter.lora_magnitude):
            if parameter is not None:
                parameter.requires_grad_(True)
    for ending in modules_to_save:
        found = [m for n, m in model.named_modules() if n == ending or n.endswith(f".{ending}")]
        if not found:
            raise ValueError(f"modules_to_save={ending!r} matches no module")
        for module in found:
            module.requires_grad_(True)
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
    """Puts the pretrained layers back and drops the adapters."""
    for name, layer in list(lora_layers(model)):
        if layer.merged:
            layer.unmerge()
        model.set_submodule(name, layer.base)
    return model


def merge_and_unload(model: nn.Module) -> nn.Module:
    """Merges every adapter and drops it: a plain model of the pretrained shape is left."""
    for name, layer in list(lora_layers(model)):
        if not layer.merged:
            layer.merge()
        model.set_submodule(name, layer.base)
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
    """Counts the parameters of a model; those with ``requires_grad`` are trained."""
    parameters = list(model.parameters())
    return ParameterCount(sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters))
