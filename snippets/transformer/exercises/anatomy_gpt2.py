"""GPT-2 is a third variant of the block: causal, norms before, learned positions,
GELU, biases. Write the map that turns the names and shapes of `GPT2LMHeadModel`
into those of our `Transformer`.

GPT-2 是这个块的第三种变体：因果掩码、归一化在前、学出来的位置、GELU、带偏置。
请写出名称映射，把 `GPT2LMHeadModel` 的张量改成我们的 `Transformer` 所要的名称和形状。
"""

from torch import Tensor

from llm_tutorial.state_dicts import renamed

RULES = (
    (r"^lm_head\..*", ""),
    (r"^transformer\.", ""),
    (r"^wte", "tokens"),
    (r"^wpe", "positions"),
    (r"^h\.", "blocks."),
    (r"^ln_f", "last_norm"),
    (r"ln_1", "attention_norm"),
    (r"ln_2", "feed_forward_norm"),
    (r"attn\.c_proj", "attention.output"),
    (r"mlp\.c_fc", "feed_forward.up"),
    (r"mlp\.c_proj", "feed_forward.down"),
)


def gpt2_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # state: of GPT2LMHeadModel; returns what Transformer.load_state_dict takes
    # "attn.c_attn" holds queries, keys and values side by side, and GPT-2's linear
    # layers store their weights as (in, out), where nn.Linear has (out, in).
    # TODO: cut c_attn in three, and transpose the weights of the linear layers
    return renamed(state, RULES)
