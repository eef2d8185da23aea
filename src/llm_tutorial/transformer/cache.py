"""A KV cache for the block of this chapter, and how many bytes it takes.

A causal token never sees what comes after it, so its keys and values never change: keep them, and a step of decoding
computes the new tokens alone (Shazeer, 2019, arXiv:1911.02150; Pope et al., 2022, arXiv:2211.05102).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.transformer.block import Attention, Transformer, rotate


class Cache:
    """Keys and values of the tokens that were read so far, for each layer (batch, key-value head, token, size).

    Args:
        layers: Blocks of the model.

    Example:
        >>> cache = Cache(layers=1)
        >>> keys, values = cache.update(0, torch.ones(1, 3, 5, 64), torch.ones(1, 3, 5, 64))
        >>> keys, values = cache.update(0, torch.ones(1, 3, 1, 64), torch.ones(1, 3, 1, 64))
        >>> len(cache), cache.nbytes
        (6, 9216)
        >>> cache.crop(2)
        >>> len(cache)
        2
    """

    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    def __len__(self) -> int:
        """Tokens in the last layer, which is the last to be filled."""
        return 0 if self.keys[-1] is None else self.keys[-1].shape[2]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Appends keys and values of new tokens, and returns those of all tokens.

        Args:
            layer: Number of the block.
            keys: (batch, key-value head, new token, size).
            values: Of the same shape.

        Raises:
            ValueError: The cache belongs to a batch of another size.
        """
        old_keys, old_values = self.keys[layer], self.values[layer]
        if old_keys is not None and old_values is not None:
            if len(old_keys) != len(keys):
                raise ValueError(
                    f"the cache holds a batch of {len(old_keys)}, the new tokens are of {len(keys)}\n"
                    f"缓存里的批有 {len(old_keys)} 条，新词元的批有 {len(keys)} 条"
                )
            keys, values = torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values

    def crop(self, length: int) -> None:
        """Forgets all tokens but the first ones.

        Args:
            length: Tokens to keep.

        Raises:
            ValueError: There are not as many.
        """
        if not 0 <= length <= len(self):
            raise ValueError(
                f"cannot keep {length} of {len(self)} tokens\n缓存里有 {len(self)} 个词元，留不下 {length} 个"
            )
        self.keys = [keys[:, :, :length] for keys in self.keys if keys is not None] or self.keys
        self.values = [values[:, :, :length] for values in self.values if values is not None] or self.values

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values) if tensor is not None)


def advance(model: Transformer, ids: Tensor, cache: Cache, attention_mask: Tensor | None = None) -> Tensor:
    """The last hidden states of new tokens, which attend to what the cache holds and to each other; it grows by them.

    Args:
        model: A decoder with norms in front, as SmolLM2.
        ids: The new tokens, (batch, new token).
        cache: Of the tokens before.
        attention_mask: 1 for a token, 0 for padding, of cached and new tokens together, (batch, token); positions are
            counted along it. All ones if left out.

    Returns:
        (batch, new token, width); meaningless where there is padding.

    Raises:
        ValueError: The model is no such decoder, the mask has another length, or the cache is of another batch.

    Example:
        >>> from llm_tutorial.transformer.block import BlockConfig
        >>> config = BlockConfig(100, 16, 2, 4, 2, 32, causal=True, norm_first=True, rms=True, rotary=True, bias=False)
        >>> model, cache, ids = Transformer(config), Cache(2), torch.tensor([[5, 6, 7, 8]])
        >>> _ = advance(model, ids[:, :3], cache)
        >>> torch.allclose(advance(model, ids[:, 3:], cache), model(ids)[:, 3:], atol=1e-6)
        True
    """
    config = model.config
    if not (config.causal and config.norm_first and config.rotary):
        raise ValueError(
            "a cache needs a causal decoder, here with norms in front and rotary positions\n"
            "缓存需要因果解码器，这里还要求归一化在前、位置用旋转编码"
        )
    (batch, new), past = ids.shape, len(cache)
    if attention_mask is None:
        attention_mask = torch.ones(batch, past + new, dtype=torch.long, device=ids.device)
    if attention_mask.shape != (batch, past + new):
        raise ValueError(
            f"the mask is {tuple(attention_mask.shape)}, cached and new tokens are {(batch, past + new)}\n"
            f"掩码的形状是 {tuple(attention_mask.shape)}，缓存和新词元合起来是 {(batch, past + new)}"
        )
    places = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, past:]
    readable = torch.ones(new, past + new, dtype=torch.bool, device=ids.device).tril(past)
    itself = torch.eye(new, past + new, dtype=torch.bool, device=ids.device).roll(past, 1)  # so that no row is empty
    mask = (readable & attention_mask.bool()[:, None] | itself)[:, None]  # (batch, 1, query, key)
    x: Tensor = model.tokens(ids)
    blocks: list[Any] = list(model.blocks)
    for layer, block in enumerate(blocks):
        x = x + attend(block.attention, block.attention_norm(x), layer, cache, mask, places)
        x = x + block.feed_forward(block.feed_forward_norm(x))
    states: Tensor = model.last_norm(x)
    return states


def attend(attention: Attention, x: Tensor, layer: int, cache: Cache, mask: Tensor, places: Tensor) -> Tensor:
    """The attention of the block, with keys and values of a cache in front of its own.

    Args:
        attention: Of one block.
        x: (batch, new token, width).
        layer: Number of the block.
        cache: Grows by the new tokens.
        mask: True where a query may read a key, (batch, 1, new token, token).
        places: Of the new tokens, (batch, new token).
    """
    q, k, v = (
        project(x).unflatten(-1, (-1, attention.size)).transpose(1, 2)  # (batch, head, new token, size)
        for project in (attention.query, attention.key, attention.value)
    )
    q, k = (rotate(x, places, attention.base).to(v.dtype) for x in (q, k))  # angles are float32
    k, v = cache.update(layer, k, v)  # (batch, key-value head, token, size)
    read = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    joined: Tensor = attention.output(read.transpose(1, 2).flatten(2))
    return joined


def cache_bytes(config: Any, tokens: int, batch: int = 1, number_bytes: float = 2) -> float:
    """Bytes of keys and values: ``2 · layers · key-value heads · size · tokens · batch · number_bytes``.

    Args:
        config: Of Transformers, or anything with ``num_hidden_layers``, ``num_key_value_heads`` and ``head_dim`` (or
            ``hidden_size`` and ``num_attention_heads``).
        tokens: Of one text, prompt and answer together.
        batch: Texts.
        number_bytes: 4 (float32), 2 (bfloat16), 1 (int8), …

    Raises:
        ValueError: Fewer than no tokens or no texts.

    Example:
        >>> from types import SimpleNamespace
        >>> llama = SimpleNamespace(num_hidden_layers=32, num_key_value_heads=8, head_dim=128)
        >>> cache_bytes(llama, 8192) / 2**30  # one text of 8,192 tokens, in GiB
        1.0
    """
    if tokens < 0 or batch < 0:
        raise ValueError(
            f"{tokens} tokens in {batch} texts: neither may be negative\n{tokens} 个词元、{batch} 条文本：都不能是负数"
        )
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * tokens * batch * number_bytes
