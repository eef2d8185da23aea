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
    ours = {}
    for name, tensor in renamed(state, RULES).items():
        if (
            name.startswith("blocks.")
            and name.endswith(".weight")
            and "norm" not in name
        ):
            tensor = tensor.T  # (in, out) -> (out, in)
        if "attn.c_attn" in name:
            for part, cut in zip(
                ("query", "key", "value"), tensor.chunk(3), strict=True
            ):
                ours[name.replace("attn.c_attn", f"attention.{part}")] = cut
        else:
            ours[name] = tensor
    return ours
