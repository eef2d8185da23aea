# %% setup
from collections.abc import Callable

import torch
from torch.nn import functional as F

from llm_tutorial.lora.bench import Configuration
from llm_tutorial.lora.sparse import sparse_attention
from llm_tutorial.timing import ratios

torch.set_num_threads(1)
length = 4096


def attend(setting: Configuration) -> Callable[[], torch.Tensor]:
    inputs, matrix = setting.inputs(length), setting.matrix(length)
    return lambda: sparse_attention(*inputs, matrix=matrix, dense_below=0)


# %% sweep timed differs="times depend on the machine"
settings = {
    "page": Configuration(),
    # the same 64 tokens to each side at least
    "block 16": Configuration(block_size=16, window=4),
    "block 32": Configuration(block_size=32, window=2),
    "block 128": Configuration(block_size=128, window=1),
    "block 256": Configuration(block_size=256, window=1),
    "window 0": Configuration(window=0),
    "window 4": Configuration(window=4),
    "window 16": Configuration(window=16),
    "no entity": Configuration(entities=0),
    "128 entities": Configuration(entities=128),
    "512 entities": Configuration(entities=512),
}
qkv = [each.contiguous() for each in Configuration().inputs(length)]
runs = {name: attend(setting) for name, setting in settings.items()}
with torch.inference_mode():
    speed = ratios(lambda: F.scaled_dot_product_attention(*qkv), runs, seconds=0)
print(f"{'':14}{'pairs':>8}{'forward':>10}{'share, %':>11}")
percent = {}
for name, setting in settings.items():
    pairs = 1 / setting.matrix(length).share
    percent[name] = 100 * speed[name] / pairs
    print(f"{name:14}{pairs:7.1f}x{speed[name]:9.1f}x{percent[name]:11.0f}")
assert speed["window 0"] > speed["window 4"] > speed["window 16"]
assert speed["no entity"] > speed["512 entities"]
assert percent["block 16"] < percent["block 128"]

# %% sweep_figures differs="times depend on the machine" tolerance="50%" values
for name in ("block 16", "page", "block 256", "window 16", "512 entities"):
    print(f"percent_{name.replace(' ', '_')} = {percent[name]:.0f}")
