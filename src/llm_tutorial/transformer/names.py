"""What a library calls its tensors, and what the one block calls them: real weights in our own model.

A map is a list of rules, old and new, that are applied to each name in turn. `load_state_dict` is strict: a tensor
without a place, or a place without a tensor, is an error. Two tensors of one shape that changed places are none: only
equal outputs prove a map.
"""

from typing import Any

from llm_tutorial.state_dicts import renamed
from llm_tutorial.transformer.block import BlockConfig, Transformer

BERT = (
    (r"^pooler\..*", ""),  # a head of its own, which sentence embeddings do not use
    (r"^embeddings\.word_embeddings", "tokens"),
    (r"^embeddings\.position_embeddings", "positions"),
    (r"^embeddings\.token_type_embeddings", "segments"),
    (r"^embeddings\.LayerNorm", "first_norm"),
    (r"^encoder\.layer", "blocks"),
    (r"attention\.self\.", "attention."),
    (r"attention\.output\.dense", "attention.output"),
    (r"attention\.output\.LayerNorm", "attention_norm"),
    (r"intermediate\.dense", "feed_forward.up"),
    (r"(\d)\.output\.dense", r"\1.feed_forward.down"),
    (r"(\d)\.output\.LayerNorm", r"\1.feed_forward_norm"),
)
"""Rules for the names of `BertModel`."""

LLAMA = (
    (r"^lm_head\..*", ""),  # the embedding once more
    (r"^model\.", ""),
    (r"^embed_tokens", "tokens"),
    (r"^norm", "last_norm"),
    (r"^layers", "blocks"),
    (r"self_attn\.q_proj", "attention.query"),
    (r"self_attn\.k_proj", "attention.key"),
    (r"self_attn\.v_proj", "attention.value"),
    (r"self_attn\.o_proj", "attention.output"),
    (r"input_layernorm", "attention_norm"),
    (r"post_attention_layernorm", "feed_forward_norm"),
    (r"mlp\.(gate|up|down)_proj", r"feed_forward.\1"),
)
"""Rules for the names of `LlamaForCausalLM` with a tied head, as SmolLM2 has it."""


def block_config(config: Any) -> BlockConfig:
    """What the configuration of a BERT or a Llama says, in the words of the one block.

    Args:
        config: Of Transformers.

    Raises:
        ValueError: Another kind of model, or one with a choice that the block does not have.
    """
    kind, act = config.model_type, getattr(config, "hidden_act", None)
    sizes = (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads)
    if kind == "bert" and act == "gelu" and not config.is_decoder:
        return BlockConfig(
            *sizes, config.num_attention_heads, config.intermediate_size, causal=False, norm_first=False,
            epsilon=config.layer_norm_eps, longest=config.max_position_embeddings, segments=config.type_vocab_size,
        )  # fmt: skip
    rope = getattr(config, "rope_parameters", None) or {}
    if kind == "llama" and act == "silu" and config.tie_word_embeddings and rope.get("rope_type") == "default":
        return BlockConfig(
            *sizes, config.num_key_value_heads, config.intermediate_size, causal=True, norm_first=True, rms=True,
            gated=True, rotary=True, bias=False, epsilon=config.rms_norm_eps, base=rope["rope_theta"],
        )  # fmt: skip
    raise ValueError(
        f"the block reads BERT with GELU, and Llama with a tied head and plain rotary positions, not this {kind!r}\n"
        f"这个块能读用 GELU 的 BERT，以及输出层与嵌入绑定、旋转位置不作缩放的 Llama；读不了这个 {kind!r}"
    )


def own_copy(model: Any) -> Transformer:
    """Our own model with the weights of a BERT or a Llama of Transformers, in evaluation mode.

    Args:
        model: `BertModel`, `LlamaModel` or `LlamaForCausalLM`.

    Raises:
        ValueError: Another kind of model.

    Example:
        >>> import torch
        >>> from transformers import BertConfig, BertModel
        >>> bert = BertModel(BertConfig(num_hidden_layers=1)).eval()
        >>> ids = torch.tensor([[5, 6, 7]])
        >>> bool(torch.allclose(own_copy(bert)(ids), bert(ids).last_hidden_state, atol=1e-6))
        True
    """
    own = Transformer(block_config(model.config))
    own.load_state_dict(renamed(model.state_dict(), BERT if model.config.model_type == "bert" else LLAMA))
    return own.eval()
