# %% setup
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn import functional as F

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
query, key, value = (x.contiguous() for x in configuration.inputs(length))  # (1, heads, length, size)
entities, blocks, scale = matrix.entities[0], length // 64, configuration.head_size**-0.5
reference = masked_attention(query, key, value, matrix)
steps: dict[str, float] = {}


def measure(name: str, attend, tolerance: float = 1e-5) -> None:
    with torch.inference_mode():
        assert torch.allclose(attend(query, key, value), reference, atol=tolerance), name
        dense = partial(F.scaled_dot_product_attention, query, key, value)
        steps[name] = ratio(dense, partial(attend, query, key, value), seconds=0.5, least=3)
    print(f"{name}: {steps[name]:.2f} times as fast as dense; pairs: {1 / matrix.share:.1f}")


# %% masked timed differs="times depend on the processor and on its load" tolerance="60%"
measure("masked", lambda *qkv: masked_attention(*qkv, matrix))
assert steps["masked"] < 1.5

# %% masked_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"masked_2048 = {steps['masked']:.2f}")

# %% gathered timed differs="times depend on the processor and on its load" tolerance="60%"
places = torch.arange(length)
window = places[:, None] // 64 * 64 - 64 + torch.arange(192)  # (query, key)
index = torch.cat([window, entities.expand(length, -1)], 1)  # (length, 224)
there = (index >= 0) & (index < length)
index = index.clamp(0, length - 1)
there[:, :192] &= ~matrix.is_entity[0][index[:, :192]]  # an entity counts once


def with_entity_rows(out: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return out.index_copy(2, entities, F.scaled_dot_product_attention(query[:, :, entities], key, value))


def gathered(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhqkd->bhqk", query, key[:, :, index]) * scale
    weights = scores.masked_fill(~there, -torch.inf).softmax(-1)
    out = torch.einsum("bhqk,bhqkd->bhqd", weights, value[:, :, index])
    return with_entity_rows(out, query, key, value)


measure("gathered", gathered)

# %% gathered_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"gathered_2048 = {steps['gathered']:.2f}")

# %% concatenated timed differs="times depend on the processor and on its load" tolerance="60%"
bias = torch.where(there.view(blocks, 64, 224)[:, :1], 0.0, -torch.inf)  # (blocks, 1, 224): alike within a block


def windows(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 64, 64)).unfold(2, 192, 64).mT  # (1, heads, blocks, 192, size), a view


def concatenated(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    queries = query.unflatten(2, (blocks, 64))
    columns, column_values = key[:, :, None, entities], value[:, :, None, entities]  # (1, heads, 1, 32, size)
    scores = torch.cat([queries @ windows(key).mT, queries @ columns.mT], -1) * scale + bias
    weights = scores.softmax(-1)
    out = weights[..., :192] @ windows(value) + weights[..., 192:] @ column_values
    return with_entity_rows(out.flatten(2, 3), query, key, value)


measure("concatenated", concatenated)
assert steps["concatenated"] > steps["gathered"]

# %% concatenated_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"concatenated_2048 = {steps['concatenated']:.2f}")

# %% merged timed differs="times depend on the processor and on its load" tolerance="60%"
fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # gives the log-sum-exp too


def merged(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    by_block = [
        x.transpose(1, 2).flatten(0, 1) for x in (query.unflatten(2, (blocks, 64)), windows(key), windows(value))
    ]
    near, near_lse = fused(*by_block, attn_mask=bias[:, None, :, :192].expand(-1, -1, 64, -1))
    near = near.transpose(0, 1).reshape(query.shape)
    near_lse = near_lse.transpose(0, 1).reshape(query.shape[:3])
    far, far_lse = attention(query, key[:, :, entities], value[:, :, entities])
    return with_entity_rows(merge(near, near_lse, far, far_lse)[0], query, key, value)


measure("merged", merged)

# %% merged_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"merged_2048 = {steps['merged']:.2f}")

# %% side_by_side timed differs="times depend on the processor and on its load" tolerance="60%"
measure("side by side", lambda *qkv: sparse_attention(*qkv, matrix))
assert steps["side by side"] > max(steps["masked"], steps["gathered"], steps["concatenated"])

# %% side_by_side_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"side_by_side_2048 = {steps['side by side']:.2f}")
print(f"gained_over_concatenated = {steps['side by side'] / steps['concatenated']:.1f}")

# %% steps differs="times depend on the processor and on its load" tolerance="60%"
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
    mebibytes = 2 * chunk / 64 * 224 * configuration.heads * configuration.head_size * 4 / 2**20
    print(f"{chunk:5} queries at a time, {mebibytes:5.1f} MiB of keys and values: {speed:.1f} times as fast as dense")
assert by_chunk[512] > 0.7 * max(by_chunk.values())


# %% profile timed differs="times depend on the processor and on its load" tolerance="60%"
GROUPS = {"attention kernel": "flash", "products": "bmm", "softmax": "softmax", "copies": "copy_", "gathering": "index"}


def profile(attend) -> dict[str, float]:
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(2):
            attend(query, key, value)
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(times.values())
    groups = {
        group: 100 * sum(time for name, time in times.items() if word in name) / total for group, word in GROUPS.items()
    }
    return groups | {"rest": 100 - sum(groups.values())}


profiles = {
    "gathered": profile(gathered),
    "concatenated": profile(concatenated),
    "side by side": profile(lambda *qkv: sparse_attention(*qkv, matrix)),
}
print(f"{'% of the time':18}" + "".join(f"{name:>14}" for name in profiles))
for group in [*GROUPS, "rest"]:
    print(f"{group:18}" + "".join(f"{shares[group]:14.0f}" for shares in profiles.values()))
kernel_before, kernel_after = (
    shares["attention kernel"] + shares["products"] for shares in (profiles["gathered"], profiles["side by side"])
)
assert kernel_after > kernel_before

# %% profile_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"percent_in_kernels_gathered = {kernel_before:.0f}")
print(f"percent_in_kernels_side_by_side = {kernel_after:.0f}")

# %% small_tiles timed differs="times depend on the processor and on its load" tolerance="60%"
tiles = [torch.randn(4096 // 64, 4, rows, 64) for rows in (64, 224, 224)]  # laid out before: nothing but the kernel
whole = [torch.randn(1, 4, 4096, 64) for _ in range(3)]
with torch.inference_mode():
    kernel_alone = ratio(lambda: fused(*whole), lambda: fused(*tiles), seconds=0.5)
of_the_pairs = kernel_alone / (4096**2 / (4096 * 224))
assert 0.2 < of_the_pairs < 1.3

# %% small_tiles_values values differs="times depend on the processor and on its load" tolerance="60%"
print(f"percent_of_dense_speed_in_small_tiles = {100 * of_the_pairs:.0f}")
