"""What the layers of a CNN see, and what they cost: read off any model as it runs.

The receptive field of a place is the piece of the input that it depends on. Layer after layer its size `r` and the
jump `j`, the distance in the input of two neighbouring places, grow by

    r ← r + d (k - 1) j,    j ← j s

(kernel k, dilation d, stride s), from r = j = 1. Of these places few at the middle count most: the *effective* field
(Luo et al., 2016, arXiv:1701.04128) is measured by gradients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from llm_tutorial.cnn.convolution import per_axis
from llm_tutorial.cnn.pooling import BlurPool
from llm_tutorial.tables import Table, table

BOTTLENECK = 8
Pooling = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
Convolution = (nn.Conv1d, nn.Conv2d)
Global = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class Kernel:
    """The kernel of a layer along one axis."""

    size: int
    stride: int
    padding: int
    dilation: int

    @property
    def span(self) -> int:
        """From its first entry to its last."""
        return self.dilation * (self.size - 1) + 1


@dataclass(frozen=True)
class Layer:
    """What a layer sees and costs.

    Attributes:
        name: Its name in the model.
        kind: Its class.
        receptive_field: What one of its places depends on, along each axis of the input; 0 for all of it.
        output: Shape of its output without the batch.
        parameters: Weights and biases.
        multiplications: For one input.
    """

    name: str
    kind: str
    receptive_field: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    multiplications: int


@dataclass
class Inspection:
    """A row for each layer, and what to look at twice; made by `inspect`."""

    layers: list[Layer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """The rows, with totals."""
        rows: dict[str, Sequence[object]] = {
            f"{layer.name} {layer.kind}": [
                " × ".join(map(str, layer.receptive_field)) if all(layer.receptive_field) else "all",
                " × ".join(map(str, layer.output)), layer.parameters, layer.multiplications,
            ]
            for layer in self.layers
        }  # fmt: skip
        rows["total"] = [
            "", "", sum(layer.parameters for layer in self.layers), sum(layer.multiplications for layer in self.layers),
        ]  # fmt: skip
        return table(rows, ["layer", "field", "output", "parameters", "multiplications"], ["", "", ",", ","])

    def show(self) -> None:
        """Displays the table, and the warnings below it."""
        self.table().show()
        for warning in self.warnings:
            print("!", warning)


def kernel_of(layer: nn.Module, axes: int) -> tuple[Kernel, ...]:
    """The kernel of a layer along each axis; one place for layers that work on each place alone.

    Args:
        layer: A convolution, a pooling, or what works on each place.
        axes: Of the input: 1 for a signal, 2 for a picture.

    Raises:
        ValueError: A convolution that is transposed: no field of its kind.

    Example:
        >>> kernel_of(nn.Conv2d(1, 1, 3, stride=2, padding=1), 2)[0]
        Kernel(size=3, stride=2, padding=1, dilation=1)
    """
    if isinstance(layer, BlurPool):
        return (Kernel(layer.kernel.shape[-1], layer.stride, layer.padding, 1),) * axes
    if isinstance(layer, Convolution):
        size, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
        given = layer.padding
        padding: Sequence[int] = per_axis(given, axes) if not isinstance(given, str) else [
            d * (k - 1) // 2 if given == "same" else 0 for k, d in zip(size, dilation, strict=True)
        ]  # fmt: skip
        return tuple(map(Kernel, size, stride, padding, dilation))
    if isinstance(layer, Pooling):
        dilation = per_axis(getattr(layer, "dilation", 1), axes)
        sizes = (per_axis(each, axes) for each in (layer.kernel_size, layer.stride, layer.padding))
        return tuple(map(Kernel, *sizes, dilation))
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        raise ValueError(
            f"{layer} makes its output larger: read the model up to it\n{layer} 会放大输出：请只读它之前的部分"
        )
    return (Kernel(1, 1, 0, 1),) * axes


def multiplications(layer: nn.Module, output: Sequence[int]) -> int:
    """Multiplications of a convolution, a blur or a linear layer for one input; 0 for others.

    Args:
        layer: The layer.
        output: Shape of its output without the batch.

    Example:
        >>> multiplications(nn.Conv2d(16, 32, 3, groups=4), (32, 14, 14)) == 32 * 14 * 14 * 4 * 9
        True
    """
    if isinstance(layer, Convolution):
        return prod(output) * layer.weight[0].numel()
    if isinstance(layer, BlurPool):
        return prod(output) * layer.kernel[0].numel()
    if isinstance(layer, nn.Linear):
        return prod(output) * layer.in_features
    return 0


def inspect(model: nn.Module, example: Tensor, cue: int = 0) -> Inspection:
    """What each layer sees, gives and costs, and what to look at twice.

    Any model that takes one tensor: what flows through branches, sums and functions such as `F.max_pool2d` is followed
    as it runs. Where branches meet, a place sees what the branch that sees most does. It warns where a stride leaves
    places of its input unseen, where a layer keeps less than an eighth of its input's numbers, and where the last field
    before everything is pooled is smaller than what there is to recognise.

    Args:
        model: Takes the example, and nothing else.
        example: An input, (batch, channels, *size); values do not matter.
        cue: How large what decides the class is, in places of the input; 0 if unknown.

    Raises:
        ValueError: The model cannot take the example: the message names the layer and its input.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
        >>> found = inspect(model, torch.zeros(1, 1, 12, 12), cue=12)
        >>> [layer.receptive_field for layer in found.layers]
        [(3, 3), (3, 3), (4, 4), (8, 8)]
        >>> found.warnings
        ['a place of the last layer sees 8 × 8, less than the cue of 12']
    """
    axes = example.dim() - 2
    if axes not in (1, 2) or not example.numel():
        raise ValueError(
            f"an example of shape {tuple(example.shape)}: expected (batch, channels, length) or (batch, channels, height, "
            f"width), not empty\n样例的形状是 {tuple(example.shape)}：应当是（批次，通道，长）或（批次，通道，高，宽），且不为空"
        )
    leaves = {name: module for name, module in model.named_modules() if not list(module.children())}
    follow = _Follow(axes, {module: name for name, module in leaves.items()}, cue)
    handles = [
        handle
        for module in leaves.values()
        for handle in (module.register_forward_pre_hook(follow.enter), module.register_forward_hook(follow.leave))
    ]
    training = model.training
    try:
        with torch.no_grad(), follow:
            follow.views[id(example)] = View([1] * axes, [1] * axes)
            out = model.eval()(example)
    except RuntimeError as error:
        found = follow.found
        if follow.entered:
            layer, shape = follow.entered
            where, into = f"layer {follow.names[layer]!r} ({layer})", f"第 {follow.names[layer]!r} 层（{layer}）"
        else:
            shape = found.layers[-1].output if found.layers else tuple(example.shape[1:])
            last = repr(found.layers[-1].name) if found.layers else "the input\u2019s"
            where, into = f"what follows layer {last}", f"第 {last} 层之后的运算"
        raise ValueError(
            f"{where} cannot take an input of {shape}: {error}\n{into}接不了形状为 {shape} 的输入：{error}"
        ) from error
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    last_view = follow.views.get(id(out)) if isinstance(out, Tensor) else None
    if last_view and all(last_view.field) and min(last_view.field) < cue:
        follow.warn(f"a place of the last layer sees {_by(last_view.field)}, less than the cue of {cue}")
    return follow.found


@dataclass
class View:
    """What a place of a tensor sees of the input, and how far apart two neighbours are, along each axis."""

    field: list[int]
    jump: list[int]

    def under(self, kernels: Sequence[Kernel]) -> "View":
        """What a place sees through a kernel more."""
        return View(
            [r + (kernel.span - 1) * j for r, j, kernel in zip(self.field, self.jump, kernels, strict=True)],
            [j * kernel.stride for j, kernel in zip(self.jump, kernels, strict=True)],
        )


class _Follow(TorchFunctionMode):
    """Follows what each tensor of a running model sees of its input, through layers and functions."""

    def __init__(self, axes: int, names: dict[nn.Module, str], cue: int) -> None:
        super().__init__()
        self.axes, self.names, self.cue, self.found = axes, names, cue, Inspection()
        self.views: dict[int, View] = {}
        self.entered: tuple[nn.Module, tuple[int, ...]] | None = None  # the layer that is running, and its input
        self._alive: list[Tensor] = []  # so that no two tensors have the same id
        self._met: dict[nn.Module, None] = {}
        self._times: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs a function; what comes out sees what went in did, and more if it is a pooling."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        flat = [
            each
            for given in (*args, *kwargs.values())
            for each in (given if isinstance(given, list | tuple) else [given])
        ]
        given = [each for each in flat if isinstance(each, Tensor) and id(each) in self.views]
        if given and isinstance(out, Tensor) and id(out) not in self.views:
            layer = FUNCTIONS.get(getattr(func, "__name__", ""))
            if layer and not self.entered:
                self._note(f"({func.__name__})", layer(*args[1:], **kwargs), given[0], out)
            else:
                views = [self.views[id(each)] for each in given]
                self._set(out, View(*([_widest(each) for each in zip(*sides, strict=True)] for sides in (
                    [view.field for view in views], [view.jump for view in views],
                ))))  # fmt: skip
                if not self.entered and self._whole(given[0], out):
                    self._all(out, func.__name__, self.views[id(given[0])])
        return out

    def enter(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.entered = (layer, tuple(inputs[0].shape[1:]))

    def leave(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._note(self.names[layer], layer, inputs[0], output)
        self.entered = None

    def warn(self, text: str) -> None:
        if text not in self.found.warnings:  # once for both axes
            self.found.warnings.append(text)

    def _note(self, name: str, layer: nn.Module, given: Tensor, output: Tensor) -> None:
        view = self.views.get(id(given), View([0] * self.axes, [1] * self.axes))
        self._set(output, View(view.field, view.jump))
        if given.dim() == self.axes + 2 and all(view.field):
            kernels = kernel_of(layer, self.axes)
            for axis, kernel in enumerate(kernels):
                unseen = _unseen(kernel, given.shape[2 + axis])
                if unseen and not getattr(layer, "ceil_mode", False):
                    self.warn(f"{name}: {unseen}")
            self._set(output, view.under(kernels))
            if not isinstance(layer, Global) and prod(output.shape[1:]) * BOTTLENECK < prod(given.shape[1:]):
                self.warn(f"{name}: {prod(given.shape[1:]):,} numbers become {prod(output.shape[1:]):,}")
        if isinstance(layer, nn.Flatten) or (isinstance(layer, Global) and prod(output.shape[2:]) == 1):
            self._all(output, name, view)
        own = sum(p.numel() for p in layer.parameters(recurse=False)) if layer not in self._met else 0
        self._met[layer] = None
        self._times[name] = self._times.get(name, 0) + 1
        if self._times[name] > 1:  # used again
            name = f"{name}, {self._times[name]}"
        shape, field = tuple(output.shape[1:]), tuple(self.views[id(output)].field)
        self.found.layers.append(Layer(name, type(layer).__name__, field, shape, own, multiplications(layer, shape)))

    def _whole(self, given: Tensor, out: Tensor) -> bool:
        """Whether a function that is no layer made one place, or none, of all places."""
        return given.dim() == self.axes + 2 and (
            out.dim() < given.dim() or prod(out.shape[2:]) == 1 < prod(given.shape[2:])
        )

    def _all(self, output: Tensor, name: str, before: View) -> None:
        if all(before.field) and min(before.field) < self.cue:
            self.warn(f"a place before {name} sees {_by(before.field)}, less than the cue of {self.cue}")
        self._set(output, View([0] * self.axes, before.jump))

    def _set(self, output: Tensor, view: View) -> None:
        self._alive.append(output)
        self.views[id(output)] = view


FUNCTIONS: dict[str, type[nn.Module]] = {
    layer.__name__: module
    for layer, module in (
        (F.max_pool1d, nn.MaxPool1d), (F.max_pool2d, nn.MaxPool2d), (F.avg_pool1d, nn.AvgPool1d),
        (F.avg_pool2d, nn.AvgPool2d), (F.adaptive_avg_pool2d, nn.AdaptiveAvgPool2d),
        (F.adaptive_max_pool2d, nn.AdaptiveMaxPool2d),
    )
}  # fmt: skip
"""Functions that pool, by name, and the layer that each is."""


def _widest(sides: Sequence[int]) -> int:
    """Of branches that meet: what the one that sees most does; 0 is everything."""
    return max(sides) if all(sides) else 0


def _by(field: Sequence[int]) -> str:
    return " × ".join(map(str, field))


def _unseen(kernel: Kernel, size: int) -> str:
    """Which places of an axis a kernel never meets, in words; empty if it meets all."""
    if kernel.stride > kernel.span:
        return f"stride {kernel.stride} over a kernel of {kernel.span} skips {kernel.stride - kernel.span} of every {kernel.stride} places"
    left = (size + 2 * kernel.padding - kernel.span) % kernel.stride - kernel.padding
    return f"the last {left} of {size} places are never seen (stride {kernel.stride})" if left > 0 else ""


def effective_field(
    model: nn.Module, shape: Sequence[int], place: Sequence[int] | None = None, inputs: int = 32
) -> Tensor:
    """How much each place of the input moves one place of the output: the mean size of its gradient.

    Where it is not zero is the receptive field, if enough inputs are drawn for each maximum to fall everywhere.

    Args:
        model: Gives (batch, channels, *places).
        shape: Of an input without the batch, (channels, *size).
        place: Of the output; its middle if left out.
        inputs: Random inputs over which to take the mean.

    Returns:
        (*size), with sum 1.

    Example:
        >>> field = effective_field(nn.Conv2d(1, 1, 3, padding=1), (1, 7, 7))
        >>> int((field > 0).sum())
        9
    """
    x = torch.randn(inputs, *shape, requires_grad=True)
    with torch.enable_grad():
        y = model(x)
        middle = tuple(place) if place is not None else tuple(size // 2 for size in y.shape[2:])
        (gradient,) = torch.autograd.grad(y[(slice(None), slice(None), *middle)].sum(), x)
    mass = gradient.abs().mean((0, 1))
    return mass / mass.sum()
