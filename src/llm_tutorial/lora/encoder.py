"""A Transformer whose attention follows an interaction matrix that it draws itself.

The first layers read their window alone. Then a gate scores every token; the highest become entities, which all tokens
read and which read all tokens in the layers above, with an embedding for each kind of relation between the two. The
gate learns from the task's loss, since its score is part of the attention's, and from annotation where there is any.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.relations import RELATIONS, related_kinds
from llm_tutorial.lora.sparse import sparse_attention
from llm_tutorial.precision import widen


class RelationSparseConfig(PretrainedConfig):
    """Sizes of the encoder and the make of its interaction matrix.

    Args:
        vocab_size: Tokens.
        hidden_size: Of a token's vector.
        num_hidden_layers: Blocks.
        num_attention_heads: Heads, each of ``hidden_size / num_attention_heads``.
        intermediate_size: Of the feed-forward part.
        attention: ``"sparse"``, or ``"dense"``: every pair attends; entities and relations stay as they are.
        block_size: Tokens in a block of the window.
        window: Blocks seen to each side; ``None`` for no window.
        entities: ``"learned"``, ``"random"`` or ``"none"``.
        num_entities: At most so many for each text.
        relations: Kinds of relation that have an embedding, any of ``RELATIONS``; none for attention that knows of none.
        gate_layer: The first layer that reads entities.
        num_types: Types of entity that the gate tells apart.
        gate_loss_weight: Of the gate's own loss, where types are given.
        sentence_ends: Tokens that end a sentence.
        titles: Titles of two tokens each.
        bigram_buckets: Buckets that pairs of neighbouring tokens are hashed into, each with an embedding that is added
            to the tokens'; 0 for none. Pairs of characters help to find Chinese names (Zhang & Yang 2018,
            arXiv:1805.02023).
        rope_theta: Base of the rotary positions.
        dropout: After attention and feed-forward.
        pad_token_id: Padding.

    Raises:
        ValueError: A head that is not of even size, an unknown kind of attention, entities or relation, a gate beyond the
            last layer.
    """

    model_type = "relation_sparse"

    def __init__(
        self,
        vocab_size: int = 5000,
        hidden_size: int = 256,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        attention: str = "sparse",
        block_size: int = 64,
        window: int | None = 1,
        entities: str = "learned",
        num_entities: int = 32,
        relations: tuple[str, ...] = RELATIONS,
        gate_layer: int = 1,
        num_types: int = 3,
        gate_loss_weight: float = 0.5,
        sentence_ends: tuple[int, ...] = (),
        titles: tuple[tuple[int, int], ...] = (),
        bigram_buckets: int = 0,
        rope_theta: float = 10000.0,
        dropout: float = 0.1,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        if hidden_size % (2 * num_attention_heads):
            raise ValueError(f"hidden_size {hidden_size} over {num_attention_heads} heads gives no head of even size")
        for name, value, known in (
            ("attention", attention, ("sparse", "dense")),
            ("entities", entities, ("learned", "random", "none")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}; got {value!r}")
        if unknown := set(relations) - set(RELATIONS):
            raise ValueError(f"relations must be among {RELATIONS}; got {sorted(unknown)}")
        if not 0 <= gate_layer < num_hidden_layers:
            raise ValueError(f"gate_layer must be in 0 … {num_hidden_layers - 1}; got {gate_layer}")
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        self.num_attention_heads, self.intermediate_size = num_attention_heads, intermediate_size
        self.attention, self.block_size, self.window = attention, block_size, window
        self.entities, self.num_entities, self.relations = entities, num_entities, list(relations)
        self.gate_layer, self.num_types, self.gate_loss_weight = gate_layer, num_types, gate_loss_weight
        self.sentence_ends, self.titles = list(sentence_ends), [list(title) for title in titles]
        self.bigram_buckets = bigram_buckets
        self.rope_theta, self.dropout, self.pad_token_id = rope_theta, dropout, pad_token_id
        super().__init__(**{"tie_word_embeddings": True, **kwargs})


@dataclass
class EncoderOutput(ModelOutput):
    """What the encoder gives.

    Attributes:
        last_hidden_state: (batch, length, hidden_size).
        gate_logits: Scores of "no entity" and of each type, (batch, length, 1 + num_types).
        entities: Chosen positions (batch, entities), -1 where there is none.
    """

    last_hidden_state: Tensor | None = None
    gate_logits: Tensor | None = None
    entities: Tensor | None = None


@dataclass
class TaskOutput(ModelOutput):
    """What a model with a head gives: ``loss`` where labels were given, ``logits``, and the encoder's choice."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    gate_logits: Tensor | None = None
    entities: Tensor | None = None


class RelationSparseAttention(nn.Module):
    """Attention of several heads over an interaction matrix, with an embedding for each kind of relation.

    Args:
        config: Sizes, and whether attention is sparse or dense.
    """

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__()
        self.heads, self.size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        self.dense = config.attention == "dense"
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        if config.relations and config.entities != "none":
            # added to the entity's key where a token reads it, and to the token's key where the entity reads
            self.relation_key = nn.Parameter(torch.zeros(2, len(RELATIONS), self.heads, self.size))

    def forward(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        matrix: InteractionMatrix,
        gate: Tensor | None = None,
        kinds: Tensor | None = None,
    ) -> Tensor:
        """Reads along the matrix.

        Args:
            hidden: (batch, length, hidden_size).
            rotation: Cosines and sines of the positions, (batch or 1, 1, length, head size) each.
            matrix: Which pairs attend.
            gate: Added to the scores of all who read an entity, (batch, entities).
            kinds: Relations of tokens to entities (batch, length, entities), a sum of bits.

        Returns:
            (batch, length, hidden_size).
        """
        batch, length, _ = hidden.shape
        query, key, value = self.qkv(hidden).view(batch, length, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        entity_bias = row_bias = None
        if gate is not None:
            entity_bias = gate[:, None, None].expand(-1, -1, length, -1)  # (batch, 1, length, entities)
        if kinds is not None and hasattr(self, "relation_key"):
            at = matrix.entities.clamp(min=0)[:, None, :, None].expand(-1, self.heads, -1, self.size)  # type: ignore[union-attr]
            reading = self._relation_scores(query, kinds, 0)
            entity_bias = reading if entity_bias is None else reading + entity_bias
            row_bias = self._relation_scores(query.gather(2, at), kinds.mT, 1)
        query, key = rotate(query, rotation), rotate(key, rotation)
        attend = _dense if self.dense else sparse_attention
        read = attend(query, key, value, matrix, entity_bias, row_bias)
        return self.out(read.transpose(1, 2).reshape(batch, length, -1))

    def _relation_scores(self, query: Tensor, kinds: Tensor, direction: int) -> Tensor:
        """Query times the sum of the embeddings of its relations, (batch, heads, query, key)."""
        bits = torch.arange(2 ** len(RELATIONS), device=kinds.device)[:, None] >> torch.arange(
            len(RELATIONS), device=kinds.device
        )
        table = torch.einsum("ck,khd->chd", (bits & 1).to(query.dtype), self.relation_key[direction])
        scores = torch.einsum("bhqd,chd->bhqc", query, table) * self.size**-0.5
        return scores.gather(-1, kinds[:, None].expand(-1, self.heads, -1, -1))


def _dense(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    matrix: InteractionMatrix,
    entity_bias: Tensor | None,
    row_bias: Tensor | None,
) -> Tensor:
    """Every pair attends; scores with entities carry the same biases as in sparse attention."""
    real = matrix.is_real
    if entity_bias is None and row_bias is None:
        if matrix.real is None:
            return F.scaled_dot_product_attention(query, key, value, is_causal=matrix.causal)
        mask = real[:, None, None, :] | ~real[:, None, :, None]  # padding reads anything, so that no row is empty
        if matrix.causal:
            mask = mask & torch.ones(matrix.length, matrix.length, dtype=torch.bool, device=mask.device).tril()
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert matrix.entities is not None
    heads, length, size = query.shape[1:]
    at, there = matrix.entities.clamp(min=0), (matrix.entities >= 0)[:, None, None]  # (batch, 1, 1, entities)
    scores = widen((query * size**-0.5) @ key.mT)  # spelled out: the fused kernel has no gradient of a bias
    if entity_bias is not None:
        read = entity_bias * (there & ~matrix.is_entity[:, None, :, None])  # what an entity reads, row_bias says
        read = read.expand(-1, heads, -1, -1).to(scores.dtype)
        scores.scatter_add_(3, at[:, None, None].expand(-1, heads, length, -1), read)
    if row_bias is not None:
        rows = (row_bias * there.mT).expand(-1, heads, -1, -1).to(scores.dtype)
        scores.scatter_add_(2, at[:, None, :, None].expand(-1, heads, -1, length), rows)
    if matrix.real is not None:
        scores = scores.masked_fill(~real[:, None, None], torch.finfo(scores.dtype).min)
    if matrix.causal:
        later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).to(value.dtype) @ value


class BigramEmbedding(nn.Module):
    """Vectors of each token's pair with the token before it and of that with the token after it, projected.

    Args:
        config: Buckets, and the hidden size; a pair has a vector of a quarter of it.
        causal: Take the pair with the token before it twice.
    """

    def __init__(self, config: RelationSparseConfig, causal: bool = False) -> None:
        super().__init__()
        self.buckets, self.causal = config.bigram_buckets, causal
        self.pair = nn.Embedding(config.bigram_buckets, config.hidden_size // 4)
        self.out = nn.Linear(config.hidden_size // 4 * 2, config.hidden_size, bias=False)
        self.out.initial_std = 0.1  # type: ignore[assignment]  # at 0.02 pairs would hardly be heard beside tokens

    def forward(self, input_ids: Tensor) -> Tensor:
        """(batch, length) to (batch, length, hidden_size)."""
        beside = F.pad(input_ids, (1, 1))
        bucket = (beside[:, :-1] * 73_856_093 ^ beside[:, 1:] * 19_349_663) % self.buckets  # (batch, length + 1)
        pairs = self.pair(bucket)
        return self.out(torch.cat([pairs[:, :-1], pairs[:, :-1] if self.causal else pairs[:, 1:]], -1))


def rotary_angles(position_ids: Tensor, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines by which rotary positions turn heads of a size, (batch, 1, length, size) each.

    Args:
        position_ids: (batch, length).
        size: Of a head.
        theta: Base of the rates.
    """
    places = torch.arange(
        0, size, 2, device=position_ids.device, dtype=torch.float32
    )  # 16 bits tell few positions apart
    rates = theta ** (-places / size)
    angles = (position_ids[:, None, :, None] * rates).repeat(1, 1, 1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions, Su et al. 2021 (arXiv:2104.09864), on (batch, heads, length, size).

    Args:
        x: Queries or keys.
        rotation: What `rotary_angles` gives.

    Example:
        >>> x = torch.ones(1, 1, 2, 4)
        >>> turned = rotate(x, rotary_angles(torch.tensor([[0, 9]]), size=4, theta=100.0))
        >>> torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
        True
    """
    one, other = x.chunk(2, -1)
    return (x * rotation[0] + torch.cat([-other, one], -1) * rotation[1]).to(x.dtype)


class RelationSparseLayer(nn.Module):
    """Attention and feed-forward, each after a normalisation and added to what came in."""

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.attention = RelationSparseAttention(config)
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, *attention: Any) -> Tensor:
        """(batch, length, hidden_size) to the same."""
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), *attention))
        return hidden + self.dropout(self.down(F.gelu(self.up(self.mlp_norm(hidden)))))


class RelationSparsePreTrainedModel(PreTrainedModel):
    """What the models share: configuration and initial weights."""

    config_class = RelationSparseConfig
    base_model_prefix = "encoder"
    _input_embed_layer = "embedding"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=getattr(module, "initial_std", 0.02))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, RelationSparseAttention) and hasattr(module, "relation_key"):
            nn.init.zeros_(module.relation_key)
        if isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)


class RelationSparseEncoder(RelationSparsePreTrainedModel):
    """The encoder: token ids to vectors, and the entities it chose.

    Args:
        config: Its configuration.

    Example:
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch._C.Generator object at ...>
        >>> config = RelationSparseConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_entities=3)
        >>> output = RelationSparseEncoder(config)(torch.randint(1, 50, (2, 100)))
        >>> output.last_hidden_state.shape, output.entities.shape
        (torch.Size([2, 100, 16]), torch.Size([2, 3]))
    """

    def __init__(self, config: RelationSparseConfig, causal: bool = False) -> None:
        super().__init__(config)
        self.causal = causal
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        if config.bigram_buckets:
            self.bigram = BigramEmbedding(config, causal)
        self.layers = nn.ModuleList(RelationSparseLayer(config) for _ in range(config.num_hidden_layers))
        self.gate = nn.Linear(config.hidden_size, 1 + config.num_types)
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        entities: Tensor | None = None,
        position_ids: Tensor | None = None,
        **_: Any,
    ) -> EncoderOutput:
        """Reads a batch of texts.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 0 at padding.
            entities: Positions (batch, entities) to use in place of the gate's, -1 for none: an upper bound.
            position_ids: (batch, length), what rotary positions count by; 0, 1, 2, … if not given.

        Returns:
            Vectors, the gate's scores, and the entities read.
        """
        config, length = self.config, input_ids.shape[1]
        if not length:
            raise ValueError("input_ids has no token")
        real = None if attention_mask is None or bool(attention_mask.all()) else attention_mask.bool()
        make = partial(InteractionMatrix, length, config.block_size, config.window, device=input_ids.device)
        matrix = make(real=real, causal=self.causal)
        if position_ids is None:
            position_ids = torch.arange(length, device=input_ids.device)[None]
        rotation = rotary_angles(position_ids, config.hidden_size // config.num_attention_heads, config.rope_theta)
        hidden = self.embedding(input_ids)
        if config.bigram_buckets:
            hidden = hidden + self.bigram(input_ids if real is None else input_ids.where(real, config.pad_token_id))
        gate_logits = bias = kinds = None
        for index, layer in enumerate(self.layers):
            if index == config.gate_layer and (config.entities != "none" or entities is not None):
                gate_logits = widen(self.gate(F.rms_norm(hidden, hidden.shape[-1:])))
                score = gate_logits[..., 1:].logsumexp(-1) - gate_logits[..., 0]  # log-odds of being an entity
                given = entities is not None
                entities = entities if given else self._choose(score, real)  # type: ignore[assignment]
                assert entities is not None
                if config.entities == "learned" and not given:
                    bias = F.logsigmoid(score.gather(1, entities.clamp(min=0)))  # (batch, entities)
                types = gate_logits.argmax(-1) if config.entities == "learned" else None
                kinds = related_kinds(input_ids, entities, config.sentence_ends, config.titles, types, self.causal)
                kinds &= sum(1 << bit for bit, name in enumerate(RELATIONS) if name in config.relations)
                matrix = make(entities, real=real, causal=self.causal)
            hidden = layer(hidden, rotation, matrix, bias, kinds)
        return EncoderOutput(self.norm(hidden), gate_logits, entities)

    def _choose(self, score: Tensor, real: Tensor | None) -> Tensor:
        """The highest scores; reading from left to right, the first scores above zero, for who must not look ahead."""
        count = min(self.config.num_entities, score.shape[1])
        if self.config.entities == "random":
            score = torch.rand_like(score)
        elif self.training:
            score = score - torch.empty_like(score).exponential_().log()  # Gumbel noise: now and then another one
        score = score.detach() if real is None else score.detach().masked_fill(~real, -torch.inf)
        if self.causal:
            chosen = score > (1 - count / score.shape[1] if self.config.entities == "random" else 0)
            chosen &= chosen.cumsum(1) <= count
            score = torch.where(chosen, 1.0, -torch.inf)
        top, places = score.topk(count)
        places = places.where(top > -torch.inf, -1)
        return places.sort(-1).values


def gate_loss(gate_logits: Tensor, types: Tensor) -> Tensor:
    """Cross-entropy of the gate's types, the rare entities and the many other tokens weighing alike.

    Args:
        gate_logits: (batch, length, 1 + num_types).
        types: (batch, length), 0 for no entity, -100 where it does not count.
    """
    each = F.cross_entropy(widen(gate_logits).flatten(0, 1), types.flatten(), ignore_index=-100, reduction="none")
    entity, other = types.flatten() > 0, types.flatten() == 0
    return sum(each[part].mean() for part in (entity, other) if part.any()) / 2  # type: ignore[return-value]


class RelationSparseForTokenClassification(RelationSparsePreTrainedModel):
    """The encoder with a label for each token.

    Args:
        config: Its configuration; ``num_labels`` says how many labels there are.
    """

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__(config)
        self.encoder = RelationSparseEncoder(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        types: Tensor | None = None,
        entities: Tensor | None = None,
        position_ids: Tensor | None = None,
        **_: Any,
    ) -> TaskOutput:
        """Labels each token.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 0 at padding.
            labels: (batch, length), -100 where there is none.
            types: Annotation for the gate (batch, length): 0 for no entity, -100 where it does not count.
            entities: Positions in place of the gate's.
            position_ids: What rotary positions count by.
        """
        output = self.encoder(input_ids, attention_mask, entities, position_ids)
        logits = self.classifier(output.last_hidden_state)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(widen(logits).flatten(0, 1), labels.flatten(), ignore_index=-100)
            if types is not None and output.gate_logits is not None:
                loss = loss + self.config.gate_loss_weight * gate_loss(output.gate_logits, types)
        return TaskOutput(loss, logits, output.gate_logits, output.entities)


class RelationSparseForCausalLM(RelationSparsePreTrainedModel, GenerationMixin):
    """The causal form: a small language model whose head shares the embedding's weight.

    Args:
        config: Its configuration.
    """

    _tied_weights_keys = {"head.weight": "encoder.embedding.weight"}  # noqa: RUF012, the form Transformers reads

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__(config)
        self.encoder = RelationSparseEncoder(config, causal=True)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.head

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
    ) -> TaskOutput:
        """Scores of the next token.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 0 at padding.
            labels: (batch, length), the tokens themselves; -100 where a token does not count.
        """
        output = self.encoder(input_ids, attention_mask)
        logits = self.head(output.last_hidden_state)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(widen(logits[:, :-1]).flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return TaskOutput(loss, logits, output.gate_logits, output.entities)


AutoConfig.register("relation_sparse", RelationSparseConfig)
AutoModel.register(RelationSparseConfig, RelationSparseEncoder)
AutoModelForTokenClassification.register(RelationSparseConfig, RelationSparseForTokenClassification)
AutoModelForCausalLM.register(RelationSparseConfig, RelationSparseForCausalLM)
