"""What training keeps in memory: computed from a model's shape, and counted while it trains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training keeps, activations apart.

    Attributes:
        weights: Bytes of all parameters.
        gradients: Bytes of the gradients.
        optimizer: Bytes of the optimiser's states.

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
    parameters: int,
    trained: int,
    weight_bytes: float = 4,
    trained_bytes: float = 4,
    states: int = 2,
    state_bytes: float | None = None,
) -> TrainingMemory:
    """Memory of weights, gradients and optimiser: ``(N - P) b_w + P b_t``, ``P b_t`` and ``P k b_k``.

    Where the trained parameters come on top of the frozen ones, as in LoRA, they are counted in ``parameters``.

    Args:
        parameters: ``N``, all parameters.
        trained: ``P``, those trained.
        weight_bytes: Bytes of a frozen weight: 4 (float32), 2 (bfloat16), 0.625 (4-bit blocks with a 16-bit
            scale and minimum for each 32 weights).
        trained_bytes: Bytes of a trained parameter, and of its gradient.
        states: ``k``, the numbers that the optimiser keeps for a trained parameter: two for Adam, three where it keeps
            a float32 copy of a 16-bit parameter as well (mixed precision).
        state_bytes: Bytes of each of these; ``trained_bytes`` if not given.

    Example:
        >>> training_memory(100, 100).total / training_memory(100, 0).total  # full fine-tuning with Adam
        4.0
        >>> training_memory(1, 1, 2, 2, states=3, state_bytes=4).total  # mixed precision: no less than float32
        16
    """
    state_bytes = trained_bytes if state_bytes is None else state_bytes
    return TrainingMemory(
        weights=(parameters - trained) * weight_bytes + trained * trained_bytes,
        gradients=trained * trained_bytes,
        optimizer=trained * states * state_bytes,
    )


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimiser's states, counted.

    Example:
        >>> layer = nn.Linear(10, 1, bias=False)
        >>> optimizer = torch.optim.AdamW(layer.parameters())
        >>> layer(torch.ones(10)).backward()
        >>> optimizer.step()
        >>> optimizer_bytes(optimizer)  # two numbers of 4 bytes a weight
        80
    """
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


def block_activations(
    hidden: int,
    intermediate: int,
    heads: int,
    key_value_heads: int,
    head_dim: int,
    rank: int | None = None,
    value_bytes: int = 4,
    adapter_bytes: int = 4,
    repeated: bool = False,
) -> int:
    """Bytes that one block of Llama, Qwen or SmolLM keeps for the backward pass, for each token.

    An operation keeps what its gradients need. A norm keeps its input and one over its root mean square, both in
    float32, and where its gain is trained the normalised values. A linear layer keeps its input only if its weight is
    trained: the gradient of the input needs the weight alone. An adapter keeps its own input for ``A`` and ``rank``
    numbers for ``B``. Attention keeps queries, keys, values, its output (which is the input of ``o_proj``) and the
    logarithm of each softmax's sum; SwiGLU keeps gate, SiLU(gate) and up. RoPE and residual sums keep nothing.

    Args:
        hidden: Width of the residual stream.
        intermediate: Width of the feed-forward layer.
        heads: Query heads.
        key_value_heads: Heads of keys and values.
        head_dim: Width of a head.
        rank: Rank of an adapter on every linear layer of a frozen block; ``None`` if every weight is trained
            instead, 0 if none is and gradients only pass through.
        value_bytes: Bytes of an activation.
        adapter_bytes: Bytes of an adapter's number. Where it is not ``value_bytes``, each of the seven adapters keeps
            a converted copy of its input, even where three of them share it.
        repeated: Whether keys and values are repeated to all heads, as Transformers does where there is a mask.

    Example:
        >>> smollm2 = dict(hidden=576, intermediate=1536, heads=9, key_value_heads=3, head_dim=64)
        >>> [block_activations(**smollm2, rank=rank) // 4 for rank in (None, 8, 0)]  # numbers: full, LoRA, frozen
        [11147, 10051, 7307]
    """
    attended = heads * head_dim
    norms = 2 * (4 * hidden + 4)
    keys = attended if repeated else key_value_heads * head_dim
    attention = 2 * value_bytes * (attended + keys) + 4 * heads
    kept = norms + attention + 3 * value_bytes * intermediate
    inputs = 2 * hidden + intermediate  # of q, k and v; of gate and up; of down (that of o is attention's output)
    if rank is None:
        return kept + value_bytes * (2 * hidden + inputs)  # with the normalised values of both norms
    if rank == 0:
        return kept
    if adapter_bytes != value_bytes:
        inputs = 5 * hidden + attended + intermediate
    return kept + adapter_bytes * (inputs + 7 * rank)


def activation_memory(
    shape: Mapping[str, int],
    layers: int,
    vocabulary: int,
    tokens: int,
    answers: int,
    rank: int | None = None,
    value_bytes: int = 4,
    adapter_bytes: int = 4,
    repeated: bool = False,
    checkpointing: bool = False,
) -> int:
    """Bytes that the forward pass of a Llama, Qwen or SmolLM keeps for the backward pass.

    Beside the blocks, the last norm and the loss: the cross-entropy keeps the logarithm of each softmax, ``vocabulary``
    numbers for every token that is predicted. Left out, since small: the attention mask, the tables of RoPE, and that
    the first norm of a frozen model keeps nothing. Passing, and so not counted: logits, gradients of activations, a
    packed weight while it is unpacked, and the block that checkpointing recomputes (see ``block_activations``), which
    comes after the loss has given its part back.

    Args:
        shape: ``hidden``, ``intermediate``, ``heads``, ``key_value_heads`` and ``head_dim``, as ``linear_shapes`` and
            ``block_activations`` take them.
        layers: Blocks that the gradient passes.
        vocabulary: Rows of the output head.
        tokens: Tokens in the batch, without padding.
        answers: Tokens that are predicted; ``tokens`` unless the prompt is masked.
        rank: See ``block_activations``. ``LoRALinear`` keeps ``scaling * B`` of each layer as well.
        value_bytes: Bytes of an activation.
        adapter_bytes: Bytes of an adapter's number.
        repeated: See ``block_activations``.
        checkpointing: Keep the input of each block alone, to recompute the rest block by block.

    Example:
        >>> smollm2 = dict(hidden=576, intermediate=1536, heads=9, key_value_heads=3, head_dim=64)
        >>> for checkpointing in (False, True):
        ...     kept = activation_memory(smollm2, 30, 49152, 512, 128, rank=8, checkpointing=checkpointing)
        ...     print(f"{kept / 2**20:.0f} MiB")
        619 MiB
        59 MiB
    """
    hidden = shape["hidden"]
    if checkpointing:
        block = tokens * hidden * value_bytes
    else:
        block = tokens * block_activations(
            **shape, rank=rank, value_bytes=value_bytes, adapter_bytes=adapter_bytes, repeated=repeated
        )
        if rank:
            block += adapter_bytes * rank * sum(out_features for out_features, _ in linear_shapes(**shape).values())
    end = tokens * (4 * hidden + 4) + answers * vocabulary * value_bytes
    if rank is None:
        end += (tokens + answers) * hidden * value_bytes  # for the gradients of the norm and of the head
    return layers * block + end
