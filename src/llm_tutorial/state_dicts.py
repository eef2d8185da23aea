"""The weights of one library in a model of another: tensors by name, under other names."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor


def renamed(state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    r"""Tensors under new names.

    Args:
        state: Tensors by name.
        rules: Regular expressions and what takes their place, applied in order; a name that becomes empty is left out.

    Example:
        >>> weight = Tensor([1.0])
        >>> list(renamed({"layers.0.weight": weight, "lm_head.weight": weight}, [(r"^lm_head\..*", ""), (r"^layers", "blocks")]))
        ['blocks.0.weight']
    """
    new = {}
    for name, tensor in state.items():
        for old, replacement in rules:
            name = re.sub(old, replacement, name)
        if name:
            new[name] = tensor
    return new
