"""Adapters put into a model by the names of its modules, counted, merged and taken out again."""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from llm_tutorial.lora.linear import LoRALinear, check_adapter

ALL_LINEAR = "all-linear"
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # torch.compile, FSDP, checkpointing


def unwrapped(model: nn.Module) -> nn.Module:
    """A module without what ``torch.compile``, DDP and the like have wrapped around it.

    Example:
        >>> unwrapped(torch.compile(nn.Linear(2, 2)))
        Linear(in_features=2, out_features=2, bias=True)
    """
    while True:
        inner = next((name for name in WRAPPERS if name in dict(model.named_children())), None)
        if isinstance(model, DataParallel | DistributedDataParallel):
            inner = "module"
        if inner is None:
            return model
        model = model.get_submodule(inner)


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module with its name, which is the same whether or not something is wrapped around it or within it.

    Example:
        >>> [name for name, _ in named_modules(nn.Sequential(torch.compile(nn.Sequential(nn.ReLU()))))]
        ['', '0', '0.0']
    """
    return _named(model, "", set())


def _named(model: nn.Module, name: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    model = unwrapped(model)
    if model in seen:
        return
    seen.add(model)
    yield name, model
    for child, module in model.named_children():
        yield from _named(module, f"{name}.{child}" if name else child, seen)


def get_module(model: nn.Module, name: str) -> nn.Module:
    """The module of a name, as ``named_modules`` has it."""
    model = unwrapped(model)
    for part in name.split(".") if name else ():
        model = unwrapped(model.get_submodule(part))
    return model


def set_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Puts a module in the place of another."""
    parent, _, part = name.rpartition(".")
    get_module(model, parent).set_submodule(part, module)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Every adapted layer with its name."""
    return ((name, module) for name, module in named_modules(model) if isinstance(module, LoRALinear))


def saved_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module trained in full (``modules_to_save``) with its name; its ``original`` is the pretrained one."""
    return ((name, module) for name, module in named_modules(model) if "original" in vars(module))


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
    get_head = getattr(unwrapped(model), "get_output_embeddings", None)
    head = get_head() if callable(get_head) else None
    inner = {f"{name}.base" for name, _ in lora_layers(model)}
    linears = [n for n, m in named_modules(model) if hasattr(m, "in_features") and n not in inner]
    if target_modules == ALL_LINEAR:
        found = [name for name in linears if get_module(model, name) is not head]
    elif isinstance(target_modules, str):
        found = [name for name in linears if re.fullmatch(target_modules, name)]
    else:
        found = [name for name in linears if ends_with(name, target_modules)]
    if not found:
        endings = sorted({name.rpartition(".")[2] for name in linears})
        raise ValueError(f"target_modules={target_modules!r} matches no linear layer; their names end in {endings}")
    return found


def check_called(model: nn.Module, names: Sequence[str]) -> None:
    """Raises an error where PyTorch reads a layer's weight without calling the layer: an adapter would do nothing.

    Raises:
        ValueError: A layer inside ``nn.MultiheadAttention``, or one that ``nn.TransformerEncoderLayer``'s fast path reads.

    Example:
        >>> check_called(nn.MultiheadAttention(4, 2), ["out_proj"])
        Traceback (most recent call last):
        ValueError: nn.MultiheadAttention never calls its layer 'out_proj', so that an adapter there would do nothing; ...
    """
    for name in names:
        parent, part = get_module(model, name.rpartition(".")[0]), name.rpartition(".")[2]
        if isinstance(parent, nn.MultiheadAttention):
            raise ValueError(
                f"nn.MultiheadAttention never calls its layer {name!r}, so that an adapter there would do nothing; name "
                "other target_modules, or use an attention that is made of nn.Linear\n"
                f"nn.MultiheadAttention 从不调用它的层 {name!r}，加在那里的适配器不起作用；请在 target_modules 里写别的层，"
                "或者改用由 nn.Linear 组成的注意力"
            )
        fast = isinstance(parent, nn.TransformerEncoderLayer) and torch.backends.mha.get_fastpath_enabled()
        if fast and part in ("linear1", "linear2"):
            raise ValueError(
                f"in evaluation the fast path of nn.TransformerEncoderLayer never calls its layer {name!r}, so that an "
                "adapter there would do nothing; switch it off with torch.backends.mha.set_fastpath_enabled(False)\n"
                f"评估时 nn.TransformerEncoderLayer 的快速路径不调用它的层 {name!r}，加在那里的适配器不起作用；"
                "请用 torch.backends.mha.set_fastpath_enabled(False) 关掉它"
            )


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
        ValueError: Nothing matches, an adapter is there already or would never be called, or a rank or alpha is out of
            range.

    Example:
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=1, target_modules=["2"])
        >>> print(count_parameters(model))
        6 of 36 parameters trained (16.667 %)
    """
    if any(True for _ in lora_layers(model)):
        raise ValueError("this model has adapters already; remove_lora() or merge_and_unload() it first")
    to_save = {}
    for ending in modules_to_save:
        matching = {name: module for name, module in named_modules(model) if ends_with(name, [ending])}
        if not matching:
            raise ValueError(f"modules_to_save={ending!r} matches no module")
        to_save.update(matching)
    names = [name for name in matching_linears(model, target_modules) if name not in to_save]
    for name in names:
        if within := [saved for saved in to_save if name.startswith(f"{saved}.")]:
            raise ValueError(f"{name!r} cannot have an adapter inside {within[0]!r}, which is trained in full")
    check_called(model, names)
    for name in names:  # all of them before the first is frozen
        layer: Any = get_module(model, name)
        try:
            check_adapter(layer.in_features, layer.out_features, rank, alpha, dropout)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    adapters = {name: LoRALinear(get_module(model, name), rank, alpha, dropout, use_rslora, use_dora) for name in names}
    model.requires_grad_(False)
    for name, adapter in adapters.items():
        set_module(model, name, adapter)
        for parameter in (adapter.lora_A, adapter.lora_B, adapter.lora_magnitude):
            if parameter is not None:
                parameter.requires_grad_(True)
    for name, module in to_save.items():
        trained = copy.deepcopy(module).requires_grad_(True)
        vars(trained)["original"] = module  # not registered: neither counted nor saved
        set_module(model, name, trained)
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
        set_module(model, name, layer.base)
    for name, module in list(saved_modules(model)):
        original = vars(module)["original"]
        for kept, trained in zip(_tensors(original), _tensors(module), strict=True):
            kept.data = kept.data.to(trained.device, trained.dtype)  # where the model has gone meanwhile
        set_module(model, name, original)
    return model


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def merge_and_unload(model: nn.Module) -> nn.Module:
    """Merges every adapter and drops it: a plain model of the pretrained shape is left."""
    for name, layer in list(lora_layers(model)):
        if not layer.merged:
            layer.merge()
        set_module(model, name, layer.base)
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
