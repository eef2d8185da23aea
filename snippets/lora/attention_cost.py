# %% setup
import math
import time
from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from llm_tutorial.lora.attention import attention, merge, peak_bytes, tiled_attention
from llm_tutorial.models import load_model
from llm_tutorial.plotting import legend, panels, use_style

use_style()
torch.manual_seed(0)
torch.set_grad_enabled(False)
torch.set_num_threads(1)  # the processor's time is then the time of the work, on a busy machine as well

# %% flops
heads, d = 4, 64
for n in (256, 512, 1024):
    Q, K, V = torch.randn(3, 1, heads, n, d)
    with FlopCounterMode(display=False) as counter:
        (Q @ K.mT / d**0.5).softmax(-1) @ V
    print(f"n = {n:4}: {n * n:9,} pairs, {counter.get_total_flops():11,} FLOPs")
    assert counter.get_total_flops() == 4 * n * n * d * heads  # two products of 2 n² d a head

# %% projections
width, inner, kv = 576, 1536, 192  # SmolLM2
linear = 2 * width * (2 * width + 2 * kv + 3 * inner)  # a token, a layer: q, o, k, v, gate, up, down

# %% projections_values values
print(f"tokens_where_pairs_cost_as_much = {linear // (4 * width):,}")  # 4 n d heads for each token
for n in (512, 4096, 32_768):
    print(f"n = {n:6,}: attention is {100 * 4 * n * width / (linear + 4 * n * width):.0f} % of a layer's FLOPs")


# %% explicit
def explicit(Q, K, V):
    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V


lengths = [256, 512, 1024, 2048]
tensors = {n: torch.randn(3, 1, heads, n, d) for n in lengths}
ways = {"explicit": explicit, "SDPA": F.scaled_dot_product_attention, "tiled": lambda *x: tiled_attention(*x)[0]}
for way in ways.values():
    assert torch.allclose(way(*tensors[512]), explicit(*tensors[512]), atol=1e-5)

# %% memory tolerance="20%"
memory = {name: [peak_bytes(partial(way, *tensors[n])) for n in lengths] for name, way in ways.items()}
for name, bytes_ in memory.items():
    growth = math.log2(bytes_[-1] / bytes_[-2])
    print(f"{name:8}", *(f"{b / 2**20:8.2f}" for b in bytes_), f"MiB; grows as n^{growth:.1f} at the end")
assert math.log2(memory["explicit"][-1] / memory["explicit"][-2]) > 1.9
assert math.log2(memory["SDPA"][-1] / memory["SDPA"][-2]) < 1.1

# %% memory_values values tolerance="20%"
print(f"explicit_over_sdpa_2048 = {memory['explicit'][-1] / memory['SDPA'][-1]:.0f}")  # tolerance 20%


# %% time tolerance="80%"
def cost(call, repeats=3):
    def once():
        start = time.process_time()
        call()
        return time.process_time() - start

    return min(once() for _ in range(repeats))


seconds = {name: [cost(partial(way, *tensors[n])) for n in lengths] for name, way in ways.items()}
for name, measured in seconds.items():
    doubled = [after / before for before, after in pairwise(measured)]
    print(f"{name}: n doubled costs", ", ".join(f"{ratio:.1f}" for ratio in doubled), "times")  # tolerance 80%
slope = math.log2(seconds["SDPA"][-1] / seconds["SDPA"][1]) / 2
assert 1.4 < slope < 2.6

# %% time_values values tolerance="80%"
print(f"exponent_sdpa = {slope:.1f}")  # tolerance 30%
print(f"exponent_explicit = {math.log2(seconds['explicit'][-1] / seconds['explicit'][1]) / 2:.1f}")  # tolerance 30%
print(f"explicit_over_sdpa_time = {seconds['explicit'][-1] / seconds['SDPA'][-1]:.1f}")  # tolerance 60%

# %% growth tolerance="80%"
figure, axes = panels(2, height=2.7)
for name in ways:
    axes[0].plot(lengths, [b / 2**20 for b in memory[name]], label=name)
    axes[1].plot(lengths, [s / seconds["SDPA"][0] for s in seconds[name]], label=name)
for panel, title in zip(axes, ("peak MiB", "time, SDPA at 256 = 1"), strict=True):
    panel.set(xscale="log", yscale="log", xlabel="tokens n", title=title)
    panel.set_xticks(lengths, lengths)
    panel.minorticks_off()
legend(figure)
plt.show()

# %% merging
Q, K, V = tensors[512]
near = attention(Q, K[:, :, :200], V[:, :, :200])  # (output, log-sum-exp)
far = attention(Q, K[:, :, 200:], V[:, :, 200:])
assert torch.allclose(merge(*near, *far)[0], explicit(Q, K, V), atol=1e-5)

# %% blocks tolerance="80%"
for size in (32, 64, 128, 256, 512):
    tiled = partial(tiled_attention, *tensors[1024], block_size=size)
    time_, bytes_ = cost(tiled) / seconds["SDPA"][2], peak_bytes(tiled) / 2**20
    print(f"block {size:3}: {time_:4.1f} times SDPA's time, {bytes_:5.2f} MiB")  # tolerance 80%

# %% cache_formula
shapes = {  # layers, query heads, key-value heads, head size, bytes a number
    "SmolLM2-135M": (30, 9, 3, 64, 2),
    "7B, all heads (Llama 2)": (32, 32, 32, 128, 2),
    "7B, grouped (Mistral)": (32, 32, 8, 128, 2),
}
for name, (layers, query_heads, kv_heads, size, width) in shapes.items():
    per_token = 2 * layers * kv_heads * size * width  # keys and values
    shared = query_heads // kv_heads  # query heads a set
    print(
        f"{name:24} {per_token / 1024:6.1f} KiB a token, {per_token * 32_768 / 2**30:6.2f} GiB for 32,768; shared by {shared}"
    )

# %% cache
model = load_model("smollm2-135m")
ids = torch.randint(1000, 20_000, (1, 97))
whole = model(input_ids=ids).logits  # (1, token, vocabulary)
state = model(input_ids=ids[:, :64], use_cache=True)
for place in range(64, 97):
    state = model(input_ids=ids[:, place : place + 1], past_key_values=state.past_key_values, use_cache=True)
    assert torch.allclose(state.logits[0, 0], whole[0, place], atol=1e-2)
cache = sum(x.nbytes for layer in state.past_key_values.layers for x in (layer.keys, layer.values))
assert cache == 2 * 30 * 3 * 64 * 4 * 97  # float32 here
print(f"cache_MiB = {cache / 2**20:.2f}")

# %% cache_speed
prefix = model(input_ids=ids[:, :96], use_cache=True).past_key_values


def step():
    model(input_ids=ids[:, 96:], past_key_values=prefix, use_cache=True)
    prefix.crop(-1)


print(f"recomputed_over_cached = {cost(lambda: model(input_ids=ids)) / cost(step):.0f}")  # tolerance 80%
assert prefix.get_seq_length() == 96
