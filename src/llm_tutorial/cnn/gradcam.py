"""Which places of a picture speak for a class: Grad-CAM, and occlusion to check it by.

Grad-CAM: Selvaraju et al., 2017, arXiv:1610.02391. Occlusion: Zeiler and Fergus, 2013, arXiv:1311.2901.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_tutorial.cnn.convolution import output_size


def layer_of(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """A layer by its name, or the layer itself.

    Args:
        model: Holds the layer.
        layer: A name as `named_modules` has it, or a module of the model.

    Raises:
        ValueError: The model has no such layer; the message names those it has.

    Example:
        >>> layer_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), "1")
        ReLU()
    """
    named = dict(model.named_modules())
    if isinstance(layer, str) and layer in named:
        return named[layer]
    if isinstance(layer, nn.Module) and any(module is layer for module in named.values()):
        return layer
    wanted, known = layer if isinstance(layer, str) else type(layer).__name__, [name for name in named if name]
    raise ValueError(
        f"the model has no layer {wanted!r}; there are {', '.join(known[:20])}{' …' * (len(known) > 20)}\n"
        f"模型里没有 {wanted!r} 这一层；有的是 {'、'.join(known[:20])}{'……' * (len(known) > 20)}"
    )


def grad_cam(
    model: nn.Module, images: Tensor, layer: str | nn.Module, classes: Sequence[int] | Tensor | None = None
) -> Tensor:
    """Grad-CAM: a layer's maps, weighted by the mean gradient of the class's score, added up, and what is negative cut.

    The model is in evaluation mode meanwhile, and no gradient of its weights is kept.

    Args:
        model: Gives scores, (batch, classes), before any softmax, or has them as `logits` in what it gives.
        images: (batch, channels, height, width).
        layer: Whose output to look at, (batch, maps, rows, columns): its name, or itself; usually the last before the
            pooling over all places.
        classes: Which score of each picture to explain; the highest if left out.

    Returns:
        (batch, rows, columns), 0 where nothing speaks for the class.

    Raises:
        ValueError: No such layer, a layer without places, or a class that does not exist; the message gives the sizes.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> grad_cam(model, torch.rand(3, 1, 8, 8), "1", [0, 1, 0]).shape
        torch.Size([3, 6, 6])
    """
    seen: list[Tensor] = []
    handle = layer_of(model, layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    training = model.training
    try:
        with torch.enable_grad():
            scores = _scores(model.eval()(images.detach().requires_grad_()))
            maps = seen[0] if seen else images
            if not seen or maps.dim() != 4:
                raise ValueError(
                    f"layer {layer!r} gives {tuple(maps.shape) if seen else 'nothing'}: Grad-CAM needs a layer that gives "
                    f"(batch, maps, rows, columns)\n第 {layer!r} 层给出的是 {tuple(maps.shape) if seen else '空'}："
                    "Grad-CAM 需要输出为（批次，图，行，列）的层"
                )
            chosen = scores.argmax(-1) if classes is None else torch.as_tensor(classes, device=scores.device)
            if chosen.shape != scores.shape[:1] or not ((chosen >= 0) & (chosen < scores.shape[-1])).all():
                raise ValueError(
                    f"classes {chosen.tolist()} for {len(images)} pictures and {scores.shape[-1]} classes: one for each "
                    f"picture, from 0 to {scores.shape[-1] - 1}\n{len(images)} 张图片、{scores.shape[-1]} 个类，给的类别却是 "
                    f"{chosen.tolist()}：每张图片一个，取 0 到 {scores.shape[-1] - 1}"
                )
            (gradient,) = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), maps)
    finally:
        handle.remove()
        model.train(training)
    weights = gradient.mean((2, 3), keepdim=True)  # (batch, maps, 1, 1)
    return (weights * maps.detach()).sum(1).relu()


def _scores(output: Any) -> Tensor:
    """The scores themselves, or those in an output of Transformers."""
    scores: Tensor = getattr(output, "logits", output)
    return scores


@torch.no_grad()
def occlusion(
    model: nn.Module, images: Tensor, classes: Sequence[int] | Tensor, size: int, stride: int, fill: float = 0.0
) -> Tensor:
    """How far the score of a class falls when a square is covered, for each place of the square.

    Args:
        model: Gives scores, (batch, classes), or has them as `logits`; used as it is, so call `eval()` first.
        images: (batch, channels, height, width).
        classes: Whose score, for each picture.
        size: Side of the square, in pixels.
        stride: Steps from place to place.
        fill: What the square is filled with.

    Returns:
        (batch, rows, columns); positive where covering harms.

    Raises:
        ValueError: The square does not fit into the picture; the message gives the sizes.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        >>> occlusion(model, torch.rand(3, 1, 8, 8), [0, 1, 0], size=4, stride=2).shape
        torch.Size([3, 3, 3])
    """
    rows, columns = (output_size(side, size, stride) for side in images.shape[2:])
    chosen = torch.as_tensor(classes, device=images.device)[:, None]
    whole = _scores(model(images)).gather(1, chosen)[:, 0]
    falls = images.new_zeros(len(images), rows, columns)
    for row in range(rows):
        covered = images.repeat(columns, 1, 1, 1).unflatten(0, (columns, len(images)))  # (column, batch, …)
        for column in range(columns):
            top, left = row * stride, column * stride
            covered[column, :, :, top : top + size, left : left + size] = fill
        scores = _scores(model(covered.flatten(0, 1))).gather(1, chosen.repeat(columns, 1))
        falls[:, row] = whole[:, None] - scores.view(columns, len(images)).T
    return falls
