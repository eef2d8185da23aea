def texts_that_fit(config, tokens: int, memory: float, number_bytes: float = 2) -> int:
    heads = config.num_key_value_heads
    token = 2 * config.num_hidden_layers * heads * config.head_dim * number_bytes
    return int(memory // (token * tokens))
