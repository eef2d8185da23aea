"""Linear layers whose frozen weight stays packed in 4 bits, as QLoRA has it.

The format is Q4_1 of GGUF files: each row is cut into blocks of 32 weights, and a block of 20 bytes holds a 16-bit
scale ``d``, a 16-bit minimum ``m`` and 32 codes ``q`` of 4 bits; a weight is ``d q + m``. That is 5 bits a weight.

Sources: QLoRA, Dettmers et al. 2023 (arXiv:2305.14314), whose own code, NF4, spaces the 16 levels as the quantiles of a
normal distribution; the Q4_1 format, llama.cpp.
"""

import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm_tutorial.lora.inject import ALL_LINEAR, get_module, lora_layers, matching_linears, named_modules, set_module

BLOCK = 32  # weights in a block
BLOCK_BYTES = 20  # 2 of scale, 2 of minimum, 16 of codes


def quantize_q4_1(weight: Tensor) -> Tensor:
    """Packs a weight into Q4_1 blocks, byte for byte as the ``gguf`` package does.

    Args:
        weight: (..., in_features), finite; ``in_features`` is a multiple of 32.

    Returns:
        (..., in_features / 32, 20), ``uint8``.

    Raises:
        ValueError: The last side is no multiple of 32, or a value is not finite.

    Example:
        >>> weight = torch.arange(32.0)[None]  # one row, one block
        >>> blocks = quantize_q4_1(weight)
        >>> blocks.shape
        torch.Size([1, 1, 20])
        >>> dequantize_q4_1(blocks)[0, :4]  # scale 31/15, minimum 0
        tensor([0.0000, 0.0000, 2.0664, 2.0664])
    """
    if weight.shape[-1] % BLOCK:
        raise ValueError(f"Q4_1 packs {BLOCK} weights of a row together; a row of {weight.shape[-1]} cannot be cut so")
    if not weight.isfinite().all():
        raise ValueError("a weight that is not finite cannot be quantised")
    values = weight.detach().float().unflatten(-1, (-1, BLOCK))  # (..., blocks, 32)
    low, high = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
    scale = (high - low) / 15
    steps = torch.where(scale == 0, 0, 1 / scale)  # a constant block has scale 0
    codes = ((values - low) * steps + 0.5).to(torch.uint8).clamp(max=15)  # rounds to the nearest of 0 .. 15
    pairs = codes[..., :16] | codes[..., 16:] << 4  # the first half of a block in the low four bits
    return torch.cat([scale.half().view(torch.uint8), low.half().view(torch.uint8), pairs], dim=-1)


def dequantize_q4_1(blocks: Tensor) -> Tensor:
    """Unpacks Q4_1 blocks.

    Args:
        blocks: (..., in_features / 32, 20), ``uint8``.

    Returns:
        (..., in_features), ``float32``.

    Example:
        >>> weight = torch.linspace(-1, 1, 64).reshape(1, 64)
        >>> error = (dequantize_q4_1(quantize_q4_1(weight)) - weight).abs().max()
        >>> bool(error <= 1 / 15 / 2 + 1e-3)  # half of a step of a block that spans 1
        True
    """
    scale, low = blocks[..., 0:2].view(torch.float16).float(), blocks[..., 2:4].view(torch.float16).float()
    pairs = blocks[..., 4:]
    codes = torch.cat([pairs & 15, pairs >> 4], dim=-1).float()  # (..., blocks, 32)
    return codes.mul_(scale).add_(low).flatten(-2)


class _PackedLinear(torch.autograd.Function):
    """``x W^T`` that keeps only the packed weight for the backward pass and unpacks it again there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Tensor) -> Tensor:
        ctx.save_for_backward(blocks)
        return F.linear(x, dequantize_q4_1(blocks).to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (blocks,) = ctx.saved_tensors
        return grad @ dequantize_q4_1(blocks).to(grad.dtype), None


class Q4Linear(nn.Module):
    """A frozen linear layer with a weight packed in Q4_1 blocks, unpacked on the fly.

    At no time is more than one layer's weight there in float. Gradients flow through it to its input, so that
    ``LoRALinear`` works on top of it.

    Args:
        blocks: (out_features, in_features / 32, 20), ``uint8``.
        bias: (out_features,), kept as it is.

    Example:
        >>> layer = Q4Linear.from_linear(nn.Linear(64, 8))
        >>> layer(torch.ones(3, 64)).shape, layer.blocks.nbytes  # 64 * 8 weights of 5 bits
        (torch.Size([3, 8]), 320)
    """

    blocks: Tensor
    like: Tensor

    def __init__(self, blocks: Tensor, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        if blocks.dtype != torch.uint8 or blocks.ndim != 3 or blocks.shape[-1] != BLOCK_BYTES:
            raise ValueError(
                f"blocks must be uint8 of shape (out, in / 32, 20); got {blocks.dtype}, {tuple(blocks.shape)}"
            )
        self.out_features, self.in_features = blocks.shape[0], blocks.shape[1] * BLOCK
        self.packed_weights = self.out_features * self.in_features
        self.register_buffer("blocks", blocks)
        self.register_buffer("like", torch.empty(0), persistent=False)  # follows .to(): what a float weight would be
        self.bias = bias

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> "Q4Linear":
        """Quantises a float layer."""
        return cls(quantize_q4_1(linear.weight), linear.bias)

    @property
    def weight(self) -> Tensor:
        """The weight unpacked, (out_features, in_features), ``float32``: a new tensor each time."""
        return dequantize_q4_1(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        output = _PackedLinear.apply(x, self.blocks)
        return output if self.bias is None else output + self.bias.to(output.dtype)

    def extra_repr(self) -> str:
        """What ``print`` shows of the layer."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def quantize_model(model: nn.Module) -> nn.Module:
    """Quantises every linear layer but the output head, in place.

    Raises:
        ValueError: The model has adapters, or a layer whose rows cannot be cut into blocks of 32.

    Example:
        >>> model = quantize_model(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)))
        >>> type(model[2]).__name__, weight_bytes(model)  # 64 * 32 + 32 * 2 weights and 34 float32 biases
        ('Q4Linear', 1456)
    """
    return _replace(model, {name: Q4Linear.from_linear(linear) for name, linear in _float_linears(model).items()})


def quantize_model_from_gguf(model: nn.Module, gguf: str | os.PathLike[str]) -> nn.Module:
    """Gives a model that came out of a GGUF file the file's own packed blocks back, in place.

    The logits stay what they are, up to the order of sums: the float weights were unpacked from these very blocks.
    Linear layers of other types (Q8_0, Q6_K …) stay float, with a warning, and so do embeddings, the output head and
    norms, which the file keeps in 8 to 32 bits.

    Args:
        model: The float model, without adapters.
        gguf: Path of the file, as from ``llm_tutorial.models.gguf_path``.

    Returns:
        The same model.

    Raises:
        ValueError: The file is not of this model, has no Q4_1 tensor or cannot be read, or the model has adapters.
    """
    import gguf as library  # here, so that adapters need no gguf

    try:
        reader = library.GGUFReader(gguf)
        architecture = str(reader.fields["general.architecture"].contents())
        layers = int(reader.fields[f"{architecture}.block_count"].contents())
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{os.fspath(gguf)} cannot be read as a GGUF model ({error}); download it again") from None
    kinds = {name: kind for kind, name in library.MODEL_ARCH_NAMES.items()}
    if architecture not in kinds:
        raise ValueError(
            f"{os.fspath(gguf)} is of the architecture {architecture!r}, which the installed gguf package does not "
            "know; update gguf, or quantize_model() the float model"
        )
    names = library.get_tensor_name_map(kinds[architecture], layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    packed: dict[str, Q4Linear] = {}
    other: dict[str, str] = {}
    for name, linear in _float_linears(model).items():
        tensor = tensors.get(f"{names.get_name(name)}.weight")
        if tensor is None:
            raise ValueError(f"{os.fspath(gguf)} has no tensor for {name}: it is of another model")
        if tensor.tensor_type != library.GGMLQuantizationType.Q4_1:
            other[name] = tensor.tensor_type.name
            continue
        blocks = torch.tensor(tensor.data).unflatten(-1, (-1, BLOCK_BYTES))  # (out, in / 32, 20)
        if architecture == "llama" and name.endswith(("q_proj", "k_proj")):
            attention: Any = get_module(model, name.rpartition(".")[0])
            blocks = _unpermute(blocks, attention.head_dim)
        packed[name] = Q4Linear(blocks, linear.bias)
        weight = packed[name].weight
        if weight.shape != linear.weight.shape or not torch.allclose(weight, linear.weight.float(), atol=1e-2):
            raise ValueError(
                f"{name} of this model is not what {os.fspath(gguf)} holds: load the model that the file is of, "
                "or quantize_model() this one"
            )
    if not packed:
        raise ValueError(f"{os.fspath(gguf)} has no Q4_1 tensor for this model; quantize_model() packs float weights")
    if other:
        warnings.warn(f"{len(other)} linear layers are not Q4_1 in the file and stay float: {other}", stacklevel=2)
    return _replace(model, packed)


def dequantize_model(model: nn.Module) -> nn.Module:
    """Turns every packed layer back into a float one, in place; an adapter on top stays, and can then be merged.

    Example:
        >>> model = dequantize_model(quantize_model(nn.Sequential(nn.Linear(64, 32))))
        >>> type(model[0]).__name__
        'Linear'
    """
    for name, layer in list(named_modules(model)):
        if isinstance(layer, Q4Linear):
            with torch.device("meta"):  # no memory and no random numbers for a weight that is replaced
                linear = nn.Linear(layer.in_features, layer.out_features, bias=False)
            linear.weight = nn.Parameter(layer.weight.to(layer.like.dtype), requires_grad=False)
            linear.bias = layer.bias  # type: ignore[assignment]
            set_module(model, name, linear.train(layer.training))
    return model


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all weights, packed or not, trained or not; tied ones are counted once.

    Example:
        >>> weight_bytes(nn.Linear(64, 32, bias=False)), weight_bytes(Q4Linear.from_linear(nn.Linear(64, 32, bias=False)))
        (8192, 1280)
    """
    tensors = model.state_dict().values()
    return sum({(tensor.data_ptr(), tensor.nbytes): tensor.nbytes for tensor in tensors}.values())


def _float_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The layers to be packed."""
    if any(True for _ in lora_layers(model)):
        raise ValueError("quantise the model first, then add_lora(); remove_lora() takes the adapters out")
    layers = {name: get_module(model, name) for name in matching_linears(model, ALL_LINEAR)}
    return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear)}


def _replace(model: nn.Module, layers: dict[str, Q4Linear]) -> nn.Module:
    for name, layer in layers.items():
        old: Any = get_module(model, name)
        layer.requires_grad_(False).train(old.training)
        set_module(model, name, layer.to(old.weight.device, old.weight.dtype))
    return model


def _unpermute(rows: Tensor, head_dim: int) -> Tensor:
    """Undoes what the conversion to GGUF does to the rows of llama's queries and keys.

    llama.cpp rotates neighbouring features (0, 1), (2, 3) …, Transformers features that are half a head apart: the
    file interleaves the two halves of each head.

    Example:
        >>> _unpermute(torch.tensor([0, 2, 1, 3]), head_dim=4)
        tensor([0, 1, 2, 3])
    """
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)
