"""Variants that change how an adapter starts or how fast its parts learn, not what it computes.

Sources: PiSSA, Meng et al. 2024 (arXiv:2404.02948); LoRA+, Hayou et al. 2024 (arXiv:2402.12354).
(rsLoRA and DoRA are options of ``LoRALinear``.)
"""

from typing import Any

import torch
from torch import nn

from llm_tutorial.lora.inject import lora_layers


@torch.no_grad()
def pissa_init(model: nn.Module, niter: int | None = None) -> nn.Module:
    r"""Starts every adapter at the top singular vectors of its weight, and takes them out of the weight.

    With ``W = U S V^T`` and the largest ``rank`` singular values ``S_r``, ``B = U_r (S_r / scaling)^(1/2)`` and
    ``A = (S_r / scaling)^(1/2) V_r^T``; the base keeps ``W - scaling * B A``. The first output is that of the
    pretrained model, and what is trained are its strongest directions. ``remove_lora`` restores ``W`` itself;
    ``save_adapter`` saves an ordinary adapter of twice the rank, which needs no changed base.

    Args:
        model: A model with fresh adapters.
        niter: Power iterations of a randomised decomposition, much faster on large weights (4 is close, 16 closer);
            the exact decomposition if not given.

    Returns:
        The same model.

    Raises:
        ValueError: The model has no adapter, one that is merged or initialised so already, or packed weights.

    Example:
        >>> from llm_tutorial.lora.inject import add_lora
        >>> layer = nn.Linear(6, 4)
        >>> weight = layer.weight.clone()
        >>> adapted = pissa_init(add_lora(nn.Sequential(layer), rank=2))[0]
        >>> torch.allclose(adapted.merged_weight(), weight, atol=1e-6)
        True
        >>> torch.linalg.matrix_rank(adapted.weight)  # of 4: the two strongest directions left
        tensor(2)
    """
    layers = [layer for _, layer in lora_layers(model)]
    if not layers:
        raise ValueError("this model has no adapter to initialise; add_lora() puts one in")
    if any(layer.merged or layer.start is not None for layer in layers):
        raise ValueError("PiSSA starts a fresh adapter; remove_lora(), then add_lora() again")
    if any(not isinstance(layer.base.weight, nn.Parameter) for layer in layers):
        raise ValueError("PiSSA changes the base weight, which is packed in 4 bits; dequantize_model() first")
    for layer in layers:
        pretrained = layer.base.weight
        weight = pretrained.float()
        if niter is None:
            u, s, vh = torch.linalg.svd(weight, full_matrices=False)
        else:
            u, s, v = torch.svd_lowrank(weight, q=layer.rank, niter=niter)
            vh = v.T
        root = (s[: layer.rank] / layer.scaling).sqrt()  # (rank,)
        layer.lora_B.copy_(u[:, : layer.rank] * root)
        layer.lora_A.copy_(root[:, None] * vh[: layer.rank])
        layer.start = (pretrained, layer.lora_A.clone(), layer.lora_B.clone())
        layer.base.weight = nn.Parameter((weight - layer.delta_weight()).to(pretrained.dtype), requires_grad=False)
    return model


def lora_plus_groups(model: nn.Module, lr: float, ratio: float = 16.0) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser that let ``B`` learn ``ratio`` times as fast as ``A``.

    As in PEFT, vectors (biases, DoRA's magnitudes) learn at the rate of ``B``, and matrices trained in full at that of
    ``A``.

    Args:
        model: A model with adapters.
        lr: Learning rate of ``A``.
        ratio: Learning rate of ``B`` over that of ``A``; at least 1, and 1 is plain LoRA.

    Returns:
        Two groups, ``A`` first.

    Raises:
        ValueError: A learning rate that is not positive, a ratio below 1, or a model that trains nothing.

    Example:
        >>> from llm_tutorial.lora.inject import add_lora
        >>> groups = lora_plus_groups(add_lora(nn.Sequential(nn.Linear(6, 4)), rank=2), lr=0.25, ratio=4)
        >>> [(group["lr"], [tuple(p.shape) for p in group["params"]]) for group in groups]
        [(0.25, [(2, 6)]), (1.0, [(4, 2)])]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    if not lr > 0:
        raise ValueError(f"lr must be positive; got {lr!r}")
    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1, since B is to learn faster than A; got {ratio!r}")
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("this model trains nothing; add_lora() puts an adapter in")
    fast = [parameter for name, parameter in trained if "lora_B" in name or parameter.ndim == 1]
    slow = [parameter for name, parameter in trained if not ("lora_B" in name or parameter.ndim == 1)]
    return [{"params": slow, "lr": lr}, {"params": fast, "lr": lr * ratio}]
