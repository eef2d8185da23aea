import torch

from llm_tutorial.transformer.cache import attend


class WindowCache:
    def __init__(self, layers: int, window: int):
        self.keys, self.values = [None] * layers, [None] * layers
        self.window, self.next_place = window, 0

    def update(self, layer, keys, values):  # (batch, head, 1, size): of one token
        if self.keys[layer] is not None:
            keys = torch.cat([self.keys[layer], keys], 2)[:, :, -self.window :]
            values = torch.cat([self.values[layer], values], 2)[:, :, -self.window :]
        self.keys[layer], self.values[layer] = keys, values
        if layer == len(self.keys) - 1:  # positions go on counting what was dropped
            self.next_place += 1
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
