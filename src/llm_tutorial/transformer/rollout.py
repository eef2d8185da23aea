"""The trained vision Transformers and what they attend to: weights of each layer, attention rollout through all.

Abnar and Zuidema, 2020, arXiv:2005.00928. Whether a map shows what the answer rests on is tested by erasing patches.
"""

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.results import weights
from llm_tutorial.transformer.block import Block
from llm_tutorial.transformer.vit import VisionConfig, VisionTransformer


def trained_vit(task: str = "digits") -> VisionTransformer:
    """The ViT that ``train_vit.py`` kept, with seed 0 and all its pictures, in evaluation mode.

    Args:
        task: ``digits`` or ``pairs``.

    Raises:
        ValueError: Another task.

    Example:
        >>> trained_vit("pairs").config.classes
        2
    """
    classes = {"digits": 10, "pairs": 2}
    if task not in classes:
        raise ValueError(
            f"no ViT for {task!r}; there are {sorted(classes)}\n没有 {task!r} 的 ViT；有的是 {sorted(classes)}"
        )
    model = VisionTransformer(VisionConfig(classes=classes[task]))
    state = load_file(weights("transformer", "vit") / f"{task}.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.eval()


def attention_weights(model: VisionTransformer, images: Tensor) -> Tensor:
    """The attention weights of all layers and heads.

    Args:
        model: Any.
        images: (batch, channels, height, width).

    Returns:
        (layer, batch, head, query, key); each row sums to one.

    Example:
        >>> attention = attention_weights(VisionTransformer(VisionConfig()), torch.zeros(2, 1, 28, 28))
        >>> attention.shape, bool(torch.allclose(attention.sum(-1), torch.ones(())))
        (torch.Size([4, 2, 4, 17, 17]), True)
    """
    x = model.embed(images)
    n = x.shape[1]
    everything = torch.ones(1, 1, n, n, dtype=torch.bool, device=x.device)
    places = torch.arange(n, device=x.device)[None]
    layers = []
    for block in model.blocks:
        assert isinstance(block, Block)
        attention = block.attention
        normed = block.attention_norm(x)
        q, k = (
            project(normed).unflatten(-1, (-1, attention.size)).transpose(1, 2)  # (batch, head, patch, size)
            for project in (attention.query, attention.key)
        )
        layers.append((q @ k.mT / attention.size**0.5).softmax(-1))
        x = block(x, everything, places)
    return torch.stack(layers)


def rollout(attention: Tensor) -> Tensor:
    """How much of each input stands in each output, if attention and residual each pass on half.

    Args:
        attention: (layer, batch, head, query, key), as `attention_weights` gives them.

    Returns:
        (batch, output, input); each row sums to one.

    Example:
        >>> uniform = torch.full((1, 1, 1, 2, 2), 0.5)
        >>> rollout(uniform)[0]
        tensor([[0.7500, 0.2500],
                [0.2500, 0.7500]])
    """
    mixed = (attention.mean(2) + torch.eye(attention.shape[-1], device=attention.device)) / 2  # over heads
    shares = mixed[0]
    for layer in mixed[1:]:
        shares = layer @ shares  # later layers on the left
    return shares


def patch_map(shares: Tensor) -> Tensor:
    """What the CLS token takes from each patch, as a map: (batch, output, input) -> (batch, rows, columns).

    Example:
        >>> patch_map(torch.eye(17)[None]).shape
        torch.Size([1, 4, 4])
    """
    side = round((shares.shape[-1] - 1) ** 0.5)
    return shares[:, 0, 1:].unflatten(1, (side, side))


def erased(images: Tensor, maps: Tensor, count: int, patch: int) -> Tensor:
    """Pictures without the patches that a map puts first.

    Args:
        images: (batch, channels, height, width).
        maps: (batch, rows, columns); the highest values go first.
        count: How many patches become 0, the colour of paper.
        patch: Side of a patch.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.9], [0.3, 0.2]]])
        >>> erased(torch.ones(1, 1, 4, 4), maps, 1, 2)[0, 0]
        tensor([[1., 1., 0., 0.],
                [1., 1., 0., 0.],
                [1., 1., 1., 1.],
                [1., 1., 1., 1.]])
    """
    flat = maps.flatten(1)
    keep = torch.ones_like(flat).scatter(1, flat.argsort(1, descending=True)[:, :count], 0.0)
    return images * F.interpolate(keep.view_as(maps)[:, None], scale_factor=patch)
