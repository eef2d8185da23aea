# %% setup
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from llm_tutorial.lora import plan
from llm_tutorial.lora.attention import attention, merge
from llm_tutorial.lora.bench import Configuration, forward
from llm_tutorial.lora.sparse import masked_attention, sparse_attention
from llm_tutorial.plotting import GREY, bars, panels, use_style
from llm_tutorial.timing import ratio

use_style()
torch.set_num_threads(1)
configuration = Configuration()

# %% inputs
length = 2048
matrix = configuration.matrix(length)
qkv = [x.contiguous() for x in configuration.inputs(length)]
query, key, value = qkv  # (1, heads, length, size)
entities, blocks = matrix.entities[0], length // 64
scale = configuration.head_size**-0.5
reference = masked_attention(*qkv, matrix)
dense = partial(F.scaled_dot_product_attention, *qkv)
steps: dict[str, float] = {}


def measure(name: str, attend) -> None:
    with torch.inference_mode():
        assert torch.allclose(attend(*qkv), reference, atol=1e-5), name
        steps[name] = ratio(dense, partial(attend, *qkv), seconds=0.5, least=3)
    pairs = 1 / matrix.share
    print(f"{name}: {steps[name]:.2f} times as fast as dense; pairs: {pairs:.1f}")


# %% masked timed differs="times depend on the machine" tolerance="60%"
measure("masked", lambda *qkv: masked_attention(*qkv, matrix))
assert steps["masked"] < 1.5

# %% masked_values values differs="times depend on the machine" tolerance="60%"
print(f"masked_2048 = {steps['masked']:.2f}")

# %% gathered timed differs="times depend on the machine" tolerance="60%"
places = torch.arange(length)
window = places[:, None] // 64 * 64 - 64 + torch.arange(192)  # (query, key)
index = torch.cat([window, entities.expand(length, -1)], 1)  # (length, 224)
there = (index >= 0) & (index < length)
index = index.clamp(0, length - 1)
there[:, :192] &= ~matrix.is_entity[0][index[:, :192]]  # an entity counts once


def with_entity_rows(out: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    rows = F.scaled_dot_product_attention(query[:, :, entities], key, value)
    return out.index_copy(2, entities, rows)


def gathered(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhqkd->bhqk", query, key[:, :, index]) * scale
    weights = scores.masked_fill(~there, -torch.inf).softmax(-1)
    out = torch.einsum("bhqk,bhqkd->bhqd", weights, value[:, :, index])
    return with_entity_rows(out, query, key, value)


measure("gathered", gathered)

# %% gathered_values values differs="times depend on the machine" tolerance="60%"
print(f"gathered_2048 = {steps['gathered']:.2f}")

# %% concatenated timed differs="times depend on the machine" tolerance="60%"
of_block = there.view(blocks, 64, 224)[:, :1]  # alike within a block
bias = torch.where(of_block, 0.0, -torch.inf)


def windows(x: Tensor) -> Tensor:  # -> (1, heads, blocks, 192, size), a view
    return F.pad(x, (0, 0, 64, 64)).unfold(2, 192, 64).mT


def columns(x: Tensor) -> Tensor:  # -> (1, heads, 1, 32, size)
    return x[:, :, None, entities]


def concatenated(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    queries = query.unflatten(2, (blocks, 64))
    scores = torch.cat([queries @ windows(key).mT, queries @ columns(key).mT], -1)
    weights = (scores * scale + bias).softmax(-1)
    out = weights[..., :192] @ windows(value) + weights[..., 192:] @ columns(value)
    return with_entity_rows(out.flatten(2, 3), query, key, value)


measure("concatenated", concatenated)
assert steps["concatenated"] > steps["gathered"]

# %% concatenated_values values differs="times depend on the machine" tolerance="60%"
print(f"concatenated_2048 = {steps['concatenated']:.2f}")

# %% merged timed differs="times depend on the machine" tolerance="60%"
# the kernel behind SDPA gives the log-sum-exp too
fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
in_window = bias[:, None, :, :192].expand(-1, -1, 64, -1)


def merged(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    by_block = (query.unflatten(2, (blocks, 64)), windows(key), windows(value))
    by_block = [x.transpose(1, 2).flatten(0, 1) for x in by_block]
    near, near_lse = fused(*by_block, attn_mask=in_window)
    near = near.transpose(0, 1).reshape(query.shape)
    near_lse = near_lse.transpose(0, 1).reshape(query.shape[:3])
    far, far_lse = attention(query, key[:, :, entities], value[:, :, entities])
    out, _ = merge(near, near_lse, far, far_lse)
    return with_entity_rows(out, query, key, value)


measure("merged", merged)

# %% merged_values values differs="times depend on the machine" tolerance="60%"
print(f"merged_2048 = {steps['merged']:.2f}")

# %% side_by_side timed differs="times depend on the machine" tolerance="60%"
measure("side by side", lambda *qkv: sparse_attention(*qkv, matrix))
slower = (steps["masked"], steps["gathered"], steps["concatenated"])
assert steps["side by side"] > max(slower)

# %% side_by_side_values values differs="times depend on the machine" tolerance="60%"
print(f"side_by_side_2048 = {steps['side by side']:.2f}")
print(f"gained_over_concatenated = {steps['side by side'] / steps['concatenated']:.1f}")

# %% steps differs="times depend on the machine" tolerance="60%"
figure, (axes,) = panels()
bars(axes, list(steps), {"": list(steps.values())}, form=".1f")
axes.axvline(1, color=GREY, lw=1)
axes.axvline(1 / matrix.share, color=GREY, ls="--", lw=1)
axes.set(xlabel="time, dense / sparse, forward, n = 2048")
plt.show()

# %% chunks timed differs="times depend on the processor's caches"
chosen, by_chunk = plan.CHUNK, {}
for plan.CHUNK in (64, 256, 512, 1024, 4096):
    by_chunk[plan.CHUNK] = forward(configuration, 4096, seconds=0.3, least=3)
plan.CHUNK = chosen
for chunk, speed in by_chunk.items():
    numbers = 2 * chunk / 64 * 224 * configuration.heads * configuration.head_size
    size = f"{numbers * 4 / 2**20:5.1f} MiB of keys and values"
    print(f"{chunk:5} queries at a time, {size}: {speed:.1f} times as fast as dense")
assert by_chunk[512] > 0.7 * max(by_chunk.values())


# %% profile timed differs="times depend on the machine" tolerance="60%"
GROUPS = {
    "attention kernel": "flash",
    "products": "bmm",
    "softmax": "softmax",
    "copies": "copy_",
    "gathering": "index",
}


def percent_of_time(attend) -> dict[str, float]:
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(2):
            attend(*qkv)
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    percent = {}
    for group, word in GROUPS.items():
        of_group = sum(time for name, time in times.items() if word in name)
        percent[group] = 100 * of_group / sum(times.values())
    return percent | {"rest": 100 - sum(percent.values())}


profiles = {
    "gathered": percent_of_time(gathered),
    "concatenated": percent_of_time(concatenated),
    "side by side": percent_of_time(lambda *qkv: sparse_attention(*qkv, matrix)),
}
print(f"{'% of the time':18}" + "".join(f"{name:>14}" for name in profiles))
for group in [*GROUPS, "rest"]:
    row = "".join(f"{percent[group]:14.0f}" for percent in profiles.values())
    print(f"{group:18}{row}")
in_kernels = {
    name: percent["attention kernel"] + percent["products"]
    for name, percent in profiles.items()
}
assert in_kernels["side by side"] > in_kernels["gathered"]

# %% profile_values values differs="times depend on the machine" tolerance="60%"
print(f"percent_in_kernels_gathered = {in_kernels['gathered']:.0f}")
print(f"percent_in_kernels_side_by_side = {in_kernels['side by side']:.0f}")

# %% small_tiles timed differs="times depend on the machine" tolerance="60%"
# laid out before, so that nothing but the kernel takes time
tiles = [torch.randn(4096 // 64, 4, rows, 64) for rows in (64, 224, 224)]
whole = [torch.randn(1, 4, 4096, 64) for _ in range(3)]
with torch.inference_mode():
    kernel_alone = ratio(lambda: fused(*whole), lambda: fused(*tiles), seconds=0.5)
of_the_pairs = kernel_alone / (4096**2 / (4096 * 224))
assert 0.2 < of_the_pairs < 1.3

# %% small_tiles_values values differs="times depend on the machine" tolerance="60%"
print(f"percent_of_dense_speed_in_small_tiles = {100 * of_the_pairs:.0f}")
