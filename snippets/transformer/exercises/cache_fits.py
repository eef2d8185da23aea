"""How many texts of `tokens` tokens fit into `memory` bytes of KV cache? Count with
the fields of a configuration of Transformers: `num_hidden_layers`,
`num_attention_heads`, `num_key_value_heads`, `head_dim`.

`memory` 个字节的 KV 缓存，装得下多少条 `tokens` 个词元的文本？用 Transformers
配置里的字段来算：`num_hidden_layers`、`num_attention_heads`、`num_key_value_heads`、
`head_dim`。
"""


def texts_that_fit(config, tokens: int, memory: float, number_bytes: float = 2) -> int:
    # TODO: keys and values; and which heads are kept?
    heads = config.num_attention_heads
    token = config.num_hidden_layers * heads * config.head_dim * number_bytes
    return int(memory // (token * tokens))
