"""What a CNN's filters look like, and what they find: for any model whose layers have names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.gradcam import layer_of


def kernel_pictures(layer: nn.Module) -> Tensor:
    """The kernels of a convolution over one channel or three as pictures: 0.5 is weight 0, each at its own contrast.

    Args:
        layer: A convolution whose kernels read one channel or three.

    Returns:
        (kernels, height, width, 3), from 0 to 1.

    Raises:
        ValueError: Not such a convolution; the message gives the shape of its weights.

    Example:
        >>> kernel_pictures(nn.Conv2d(3, 8, 5)).shape
        torch.Size([8, 5, 5, 3])
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Conv2d) or not isinstance(weight, Tensor) or weight.shape[1] not in (1, 3):
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else "none"
        raise ValueError(
            f"kernels of 1 or 3 channels can be shown as pictures; {type(layer).__name__} has weights {shape}\n"
            f"只有 1 个或 3 个通道的卷积核才能画成图片；{type(layer).__name__} 的权重形状是 {shape}"
        )
    kernels = weight.detach().float()
    size = kernels.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return (kernels / size / 2 + 0.5).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)


@torch.no_grad()
def feature_maps(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What some layers give on the way of a picture through a model, which is in evaluation mode meanwhile.

    Args:
        model: Takes the pictures.
        images: (batch, channels, height, width).
        layers: Their names.

    Returns:
        The output of each layer by its name.

    Raises:
        ValueError: The model has no such layer.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        >>> feature_maps(model, torch.rand(2, 1, 8, 8), ["1"])["1"].shape
        torch.Size([2, 4, 6, 6])
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> None:
        layer = layer_of(model, name)
        handles.append(
            layer.register_forward_hook(lambda layer, inputs, output: found.__setitem__(name, output.clone()))
        )

    handles: list[torch.utils.hooks.RemovableHandle] = []
    training = model.training
    try:
        for name in layers:
            keep(name)
        model.eval()(images)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found


def strongest(
    model: nn.Module, images: Tensor, layer: str, channel: int, side: int, count: int = 8
) -> tuple[Tensor, list[int]]:
    """The patches of pictures on which a filter answers most, one a picture, zeros beyond the edge.

    Args:
        model: Takes the pictures.
        images: (batch, channels, height, width).
        layer: Its name. The middle of its row `i` of `n` is taken to lie at `(i + 1/2) height / n`, as under padding
            that keeps the size.
        channel: Which of its maps.
        side: Height and width of a patch; the layer's receptive field shows all that counts (`inspect`).
        count: How many patches.

    Returns:
        Patches, (count, channels, side, side), strongest first, and the number of the picture that each is from.

    Raises:
        ValueError: No such layer or channel; the message gives the sizes.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1))
        >>> patches, pictures = strongest(model, torch.rand(9, 1, 8, 8), "0", channel=2, side=3, count=5)
        >>> patches.shape, len(set(pictures))
        (torch.Size([5, 1, 3, 3]), 5)
    """
    maps = feature_maps(model, images, [layer])[layer]
    if maps.dim() != 4 or not 0 <= channel < maps.shape[1]:
        raise ValueError(
            f"layer {layer!r} gives {tuple(maps.shape)}: there is no map {channel} of (batch, maps, rows, columns)\n"
            f"第 {layer!r} 层给出 {tuple(maps.shape)}：（批次，图，行，列）里没有第 {channel} 张图"
        )
    best = maps[:, channel].flatten(1).max(-1)
    pictures = best.values.topk(min(count, len(images))).indices.tolist()
    padded = F.pad(images, [side] * 4)
    patches = []
    for picture in pictures:
        place = divmod(int(best.indices[picture]), maps.shape[-1])
        top, left = (
            side + round((i + 0.5) * size / n - side / 2)
            for i, size, n in zip(place, images.shape[2:], maps.shape[2:], strict=True)
        )
        patches.append(padded[picture, :, top : top + side, left : left + side])
    return torch.stack(patches), pictures
