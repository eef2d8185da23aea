"""One Transformer block with four choices, of which BERT and SmolLM2 are two readings.

The choices: who may read whom (mask), how a token knows its place, which norm stands where, and the feed-forward
layer (Vaswani et al., 2017, arXiv:1706.03762; Devlin et al., 2018, arXiv:1810.04805; Touvron et al., 2023,
arXiv:2302.13971). `llm_tutorial.transformer.names` fills the block with the weights of real models.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BlockConfig:
    """The sizes of a model, and the choices that tell an encoder of 2018 from a decoder of 2025.

    Attributes:
        vocabulary: Tokens that have an embedding.
        width: Length of the vector at each position.
        layers: Blocks.
        heads: Query heads of each block.
        key_value_heads: Heads of keys and values; each is shared by as many neighbouring query heads.
        feed_forward: Width between the linear layers of the feed-forward part.
        causal: Whether a token reads only itself and what comes before.
        norm_first: Norms before attention and feed-forward part, and a last one (pre-norm); else after each (post-norm).
        rms: RMSNorm in place of layer normalisation.
        gated: SwiGLU in place of two linear layers around a GELU.
        rotary: Positions turn queries and keys; else each position has a learned vector, added to the embedding.
        bias: Whether linear layers have one.
        epsilon: Added to the variance by norms.
        base: Of the rotary positions.
        longest: Positions that have a learned vector.
        segments: Kinds of text that have a learned vector, such as BERT's question and context; 0 for none.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    feed_forward: int
    causal: bool
    norm_first: bool
    rms: bool = False
    gated: bool = False
    rotary: bool = False
    bias: bool = True
    epsilon: float = 1e-5
    base: float = 10_000.0
    longest: int = 512
    segments: int = 0


def norm(config: BlockConfig) -> nn.Module:
    """The norm that a configuration asks for: layer normalisation or RMSNorm."""
    return (nn.RMSNorm if config.rms else nn.LayerNorm)(config.width, config.epsilon)


def rotate(x: Tensor, places: Tensor, base: float) -> Tensor:
    """Rotary positions (Su et al., 2021, arXiv:2104.09864): turns plane `t` by `place · base^(-2t/d)`.

    Args:
        x: Queries or keys, (batch, head, token, d); coordinate `t` pairs with `t + d/2`, as in Llama.
        places: Of the tokens, (batch, token).
        base: Of the angles.

    Example:
        >>> x = torch.ones(1, 1, 2, 4)
        >>> turned = rotate(x, torch.tensor([[0, 1]]), 10_000.0)
        >>> torch.equal(turned[..., 0, :], x[..., 0, :]), torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
        (True, True)
    """
    d = x.shape[-1]
    speeds = base ** (-torch.arange(0, d, 2, device=x.device) / d)  # (d/2,)
    angles = places[:, None, :, None] * speeds  # (batch, 1, token, d/2)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


class Attention(nn.Module):
    """Attention of a text to itself.

    Args:
        config: Sizes, positions and biases.
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.size, self.base = config.width // config.heads, config.base if config.rotary else 0.0
        keys = config.key_value_heads * self.size
        self.query = nn.Linear(config.width, config.width, config.bias)
        self.key = nn.Linear(config.width, keys, config.bias)
        self.value = nn.Linear(config.width, keys, config.bias)
        self.output = nn.Linear(config.width, config.width, config.bias)

    def forward(self, x: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """Reads the values of the positions that the mask leaves.

        Args:
            x: (batch, token, width).
            mask: True where a query may read a key, (batch, 1, query, key).
            places: (batch, token).
        """
        q, k, v = (
            project(x).unflatten(-1, (-1, self.size)).transpose(1, 2)  # (batch, head, token, size)
            for project in (self.query, self.key, self.value)
        )
        if self.base:
            q, k = rotate(q, places, self.base), rotate(k, places, self.base)
        read = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
        joined: Tensor = self.output(read.transpose(1, 2).flatten(2))
        return joined


class FeedForward(nn.Module):
    """The part of a block that works on each position alone: GELU between two linear layers, or SwiGLU.

    SwiGLU is that of Shazeer (2020, arXiv:2002.05202).

    Args:
        config: Sizes, biases and which of the two.
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.feed_forward, config.bias)
        self.gate = nn.Linear(config.width, config.feed_forward, config.bias) if config.gated else None
        self.down = nn.Linear(config.feed_forward, config.width, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) -> (…, width)."""
        inner = F.gelu(self.up(x)) if self.gate is None else F.silu(self.gate(x)) * self.up(x)
        down: Tensor = self.down(inner)
        return down


class Block(nn.Module):
    """Attention, then the feed-forward part, each added to its input; norms before or after.

    Args:
        config: Sizes and choices.
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention, self.feed_forward = Attention(config), FeedForward(config)
        self.attention_norm, self.feed_forward_norm = norm(config), norm(config)

    def forward(self, x: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """(batch, token, width) -> (batch, token, width); `mask` and `places` go to the attention."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), mask, places)
            x = x + self.feed_forward(self.feed_forward_norm(x))
        else:
            x = self.attention_norm(x + self.attention(x, mask, places))
            x = self.feed_forward_norm(x + self.feed_forward(x))
        return x


class Transformer(nn.Module):
    """Embeddings, blocks, and a norm on one side of them; the output layer is the embedding once more.

    All tokens count as of the first segment, and there is no dropout.

    Args:
        config: Sizes and choices.

    Example:
        >>> config = BlockConfig(100, 16, 2, 4, 4, 32, causal=True, norm_first=True)
        >>> Transformer(config)(torch.tensor([[5, 6, 7]])).shape
        torch.Size([1, 3, 16])
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = None if config.rotary else nn.Embedding(config.longest, config.width)
        self.segments = nn.Embedding(config.segments, config.width) if config.segments else None
        self.first_norm = nn.Identity() if config.norm_first else norm(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.last_norm = norm(config) if config.norm_first else nn.Identity()

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """The last hidden state of each token.

        Args:
            ids: (batch, token).
            attention_mask: 1 for a token, 0 for padding, (batch, token); all ones if left out.
            places: Of the tokens, (batch, token); 0, 1, 2, … if left out.

        Returns:
            (batch, token, width); meaningless where there is padding.

        Raises:
            ValueError: A place beyond the last that has a learned vector.
        """
        n = ids.shape[1]
        if places is None:
            places = torch.arange(n, device=ids.device).expand_as(ids)
        if self.positions is not None and int(places.max()) >= self.config.longest:
            raise ValueError(
                f"place {int(places.max())}, but only {self.config.longest} places have a vector: cut the text\n"
                f"位置 {int(places.max())} 没有向量，位置向量只有 {self.config.longest} 个：请截断文本"
            )
        mask = readable(ids, attention_mask, self.config.causal)
        x = self.tokens(ids)  # (batch, token, width)
        if self.positions is not None:
            x = x + self.positions(places)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(ids))
        x = self.first_norm(x)
        for block in self.blocks:
            x = block(x, mask, places)
        states: Tensor = self.last_norm(x)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Scores of every next token, by the tied embedding: (…, width) -> (…, vocabulary)."""
        return states @ self.tokens.weight.T


def readable(ids: Tensor, attention_mask: Tensor | None, causal: bool) -> Tensor:
    """Who may read whom.

    Args:
        ids: (batch, token).
        attention_mask: 1 for a token, 0 for padding, (batch, token); all ones if left out.
        causal: Whether the future is hidden.

    Returns:
        True where a query may read a key, (batch, 1, query, key). Padding reads itself, so that no row is empty.

    Example:
        >>> readable(torch.zeros(1, 3), torch.tensor([[0, 1, 1]]), causal=True)[0, 0].int()
        tensor([[1, 0, 0],
                [0, 1, 0],
                [0, 1, 1]], dtype=torch.int32)
    """
    n = ids.shape[1]
    mask = torch.ones(n, n, dtype=torch.bool, device=ids.device)
    if causal:
        mask = mask.tril()
    if attention_mask is not None:
        mask = mask & attention_mask.bool()[:, None, :]  # (batch, query, key)
    mask = mask | torch.eye(n, dtype=torch.bool, device=ids.device)
    return mask.expand(len(ids), n, n)[:, None]
