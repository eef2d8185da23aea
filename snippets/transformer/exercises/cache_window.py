"""A window: each token attends to itself and the `window - 1` tokens before it, so no
more than `window` need to be kept. Complete the cache; `step` feeds one token at a
time.

滑动窗口：每个词元只关注自己和前面的 `window - 1` 个词元，缓存里留 `window` 个就够了。
请补全这个缓存；`step` 每次喂一个词元。
"""

import torch

from llm_tutorial.transformer.cache import attend


class WindowCache:
    def __init__(self, layers: int, window: int):
        self.keys, self.values = [None] * layers, [None] * layers
        self.window = window

    @property
    def next_place(self) -> int:
        # TODO: the position of the next token; what if older ones were dropped?
        return 0 if self.keys[0] is None else self.keys[0].shape[2]

    def update(self, layer, keys, values):  # (batch, head, 1, size): of one token
        if self.keys[layer] is not None:
            keys = torch.cat([self.keys[layer], keys], 2)
            values = torch.cat([self.values[layer], values], 2)
        # TODO: keep no more than the window
        self.keys[layer], self.values[layer] = keys, values
        return keys, values


def step(model, token, cache):  # token: (batch, 1)
    places = torch.full_like(token, cache.next_place)
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # all that is kept may be read
    x = model.tokens(token)
    for layer, block in enumerate(model.blocks):
        inner = block.attention_norm(x)
        x = x + attend(block.attention, inner, layer, cache, mask, places)
        x = x + block.feed_forward(block.feed_forward_norm(x))
    return model.last_norm(x)
