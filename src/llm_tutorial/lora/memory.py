"""What training keeps in memory: computed from a model's shape, and counted while it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training keeps, activations apart.

    Example:
        >>> memory = TrainingMemory(weights=4, gradients=1, optimizer=2)
        >>> memory.total
        7
    """

    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer


def training_memory(
    parameters: int, trained: int, weight_bytes: float = 4, trained_bytes: float = 4, states: int = 2
) -> TrainingMemory:
    """Memory of weights, gradients and optimiser: ``N b_w + P b_t + P states b_t``.

    Frozen weights cost ``weight_bytes`` each, as trained ones do where training is full; each of the ``P``
    trained parameters costs a gradient and the optimiser's ``states`` (two for Adam). Where the trained ones
    come on top of the frozen ones, as in LoRA, they are counted in ``parameters``.

    Args:
        parameters: ``N``, all parameters.
        trained: ``P``, those trained.
        weight_bytes: Of a frozen weight: 4 (float32), 2 (bfloat16), 0.625 (4-bit blocks with a 16-bit scale
            and minimum for each 32 weights).
        trained_bytes: Of a trained parameter, its gradient and each state.
        states: Numbers that the optimiser keeps for a parameter.

    Example:
        >>> training_memory(100, 100).total / training_memory(100, 0).total  # full fine-tuning with Adam
        4.0
    """
    frozen = parameters - trained
    return TrainingMemory(
        frozen * weight_bytes + trained * trained_bytes, trained * trained_bytes, trained * states * trained_bytes
    )


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimiser's states, counted."""
    tensors = (value for state in optimizer.state.values() for value in state.values())
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor) and tensor.ndim)


def saved_tensor_bytes(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that a forward pass keeps for the backward pass: the activations, each storage once.

    Args:
        model: Its parameters are not counted.
        forward: Runs the forward pass.

    Example:
        >>> layer, x = nn.Linear(10, 10), torch.ones(5, 10)
        >>> saved_tensor_bytes(layer, lambda: layer(x))  # the input, for the weight's gradient
        200
        >>> saved_tensor_bytes(layer.requires_grad_(False), lambda: layer(x))
        0
    """
    owned = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold its own graph, and neither would ever be freed

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()  # its graph keeps every storage alive, so no address is used twice
    del result
    return sum(kept.values())


def linear_shapes(
    hidden: int, intermediate: int, heads: int, key_value_heads: int, head_dim: int
) -> dict[str, tuple[int, int]]:
    """Shapes (out_features, in_features) of the linear layers in a block of Llama, Qwen or SmolLM.

    Example:
        >>> linear_shapes(576, 1536, 9, 3, 64)["k_proj"]
        (192, 576)
    """
    return {
        "q_proj": (heads * head_dim, hidden),
        "k_proj": (key_value_heads * head_dim, hidden),
        "v_proj": (key_value_heads * head_dim, hidden),
        "o_proj": (hidden, heads * head_dim),
        "gate_proj": (intermediate, hidden),
        "up_proj": (intermediate, hidden),
        "down_proj": (hidden, intermediate),
    }


def lora_parameters(shapes: dict[str, tuple[int, int]], layers: int, rank: int) -> int:
    """Trained parameters of LoRA on each of ``shapes`` in each layer: ``rank * (out + in)`` a weight.

    Example:
        >>> lora_parameters(linear_shapes(576, 1536, 9, 3, 64), layers=30, rank=8)
        2442240
    """
    return layers * rank * sum(out_features + in_features for out_features, in_features in shapes.values())
