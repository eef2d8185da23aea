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
torch.set_num_threads(1)  # processor time is then the time of the work

# %% flops
heads, d = 4, 64
for n in (256, 512, 1024):
    Q, K, V = torch.randn(3, 1, heads, n, d)
    with FlopCounterMode(display=False) as counter:
        (Q @ K.mT / d**0.5).softmax(-1) @ V
    flops = counter.get_total_flops()
    print(f"n = {n:4}: {n * n:9,} pairs, {flops:11,} FLOPs")
    assert flops == 4 * n * n * d * heads  # two products of 2 n² d a head

# %% projections
width, inner, kv = 576, 1536, 192  # SmolLM2
# a token, a layer: q, o, k, v, gate, up, down
linear = 2 * width * (2 * width + 2 * kv + 3 * inner)

# %% projections_values values
print(f"tokens_where_pairs_cost_as_much = {linear // (4 * width):,}")
for n in (512, 4096, 32_768):
    pairs = 4 * n * width  # for each token
    share = 100 * pairs / (linear + pairs)
    print(f"n = {n:6,}: attention is {share:.0f} % of a layer's FLOPs")


# %% explicit
def explicit(Q, K, V):
    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V


sizes = [256, 512, 1024, 2048]
tensors = {n: torch.randn(3, 1, heads, n, d) for n in sizes}
ways = {
    "explicit": explicit,
    "SDPA": F.scaled_dot_product_attention,
    "tiled": lambda *x: tiled_attention(*x)[0],
}
for way in ways.values():
    assert torch.allclose(way(*tensors[512]), explicit(*tensors[512]), atol=1e-5)

# %% memory tolerance="20%"
memory, growth = {}, {}
for name, way in ways.items():
    memory[name] = [peak_bytes(partial(way, *tensors[n])) for n in sizes]
    growth[name] = math.log2(memory[name][-1] / memory[name][-2])
    peaks = (f"{peak / 2**20:8.2f}" for peak in memory[name])
    print(f"{name:8}", *peaks, f"MiB; grows as n^{growth[name]:.1f} at the end")
assert growth["explicit"] > 1.9 and growth["SDPA"] < 1.1

# %% memory_values values tolerance="20%"
ratio = memory["explicit"][-1] / memory["SDPA"][-1]
print(f"explicit_over_sdpa_2048 = {ratio:.0f}")  # tolerance 20%


# %% time tolerance="80%"
def cost(call, repeats=3):
    def once():
        start = time.process_time()
        call()
        return time.process_time() - start

    return min(once() for _ in range(repeats))


seconds = {}
for name, way in ways.items():
    seconds[name] = [cost(partial(way, *tensors[n])) for n in sizes]
    doubled = ", ".join(f"{b / a:.1f}" for a, b in pairwise(seconds[name]))
    print(f"{name}: n doubled costs {doubled} times")  # tolerance 80%
slope = math.log2(seconds["SDPA"][-1] / seconds["SDPA"][1]) / 2
assert 1.4 < slope < 2.6

# %% time_values values tolerance="80%"
explicit_slope = math.log2(seconds["explicit"][-1] / seconds["explicit"][1]) / 2
ratio = seconds["explicit"][-1] / seconds["SDPA"][-1]
print(f"exponent_sdpa = {slope:.1f}")  # tolerance 30%
print(f"exponent_explicit = {explicit_slope:.1f}")  # tolerance 30%
print(f"explicit_over_sdpa_time = {ratio:.1f}")  # tolerance 60%

# %% growth tolerance="80%"
figure, axes = panels(2, height=2.7)
for name in ways:
    axes[0].plot(sizes, [b / 2**20 for b in memory[name]], label=name)
    axes[1].plot(sizes, [s / seconds["SDPA"][0] for s in seconds[name]], label=name)
for panel, title in zip(axes, ("peak MiB", "time, SDPA at 256 = 1"), strict=True):
    panel.set(xscale="log", yscale="log", xlabel="tokens n", title=title)
    panel.set_xticks(sizes, sizes)
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
    times, peak = cost(tiled) / seconds["SDPA"][2], peak_bytes(tiled) / 2**20
    print(f"block {size:3}: {times:4.1f} times SDPA's time, {peak:5.2f} MiB")

# %% cache_formula
shapes = {  # layers, query heads, key-value heads, head size, bytes a number
    "SmolLM2-135M": (30, 9, 3, 64, 2),
    "7B, all heads (Llama 2)": (32, 32, 32, 128, 2),
    "7B, grouped (Mistral)": (32, 32, 8, 128, 2),
}
for name, (layers, heads, kv_heads, size, width) in shapes.items():
    token = 2 * layers * kv_heads * size * width  # bytes: keys and values
    whole = f"{token / 1024:6.1f} KiB a token, {token * 32_768 / 2**30:6.2f} GiB"
    print(f"{name:24} {whole} for 32,768; shared by {heads // kv_heads}")

# %% cache
model = load_model("smollm2-135m")
ids = torch.randint(1000, 20_000, (1, 97))
whole = model(input_ids=ids).logits  # (1, token, vocabulary)
state = model(input_ids=ids[:, :64], use_cache=True)
for i in range(64, 97):
    past = state.past_key_values
    state = model(input_ids=ids[:, i : i + 1], past_key_values=past, use_cache=True)
    assert torch.allclose(state.logits[0, 0], whole[0, i], atol=1e-2)
layers = state.past_key_values.layers
cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
assert cache == 2 * 30 * 3 * 64 * 4 * 97  # float32 here
print(f"cache_MiB = {cache / 2**20:.2f}")

# %% cache_speed
prefix = model(input_ids=ids[:, :96], use_cache=True).past_key_values


def step():
    model(input_ids=ids[:, 96:], past_key_values=prefix, use_cache=True)
    prefix.crop(-1)


ratio = cost(lambda: model(input_ids=ids)) / cost(step)
print(f"recomputed_over_cached = {ratio:.0f}")  # tolerance 80%
assert prefix.get_seq_length() == 96
