# %% setup
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from llm_tutorial.lora import plan
from llm_tutorial.lora.attention import attention, peak_bytes
from llm_tutorial.lora.bench import FLEX_BLOCKS, Configuration, forward, training
from llm_tutorial.lora.sparse import masked_attention, sparse_attention
from llm_tutorial.plotting import GREY, label_lines, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.timing import ratio

use_style()
torch.set_num_threads(1)
# 4 heads of 64, blocks of 64, a window of one block to each side, 32 entities
configuration = Configuration()
manifest = results("lora", "efficiency")
lengths, runs = manifest["lengths"], manifest["metrics"]
one, two = ([runs[f"{count} threads, {n}"] for n in lengths] for count in (1, 2))

# %% speed_up
figure, (axes,) = panels(height=3.2)
pairs = [row["pairs"] for row in one]
axes.plot(lengths, pairs, color=GREY, marker="", ls="--", label="pairs")
axes.plot(lengths, [row["forward"] for row in one], label="forward")
axes.plot(lengths, [row["training"] for row in one], label="training")
axes.axhline(1, color=GREY, lw=0.8)
axes.set(xscale="log", yscale="log", xlabel="n", ylabel="time, dense / sparse")
axes.set_xticks(lengths, lengths)
axes.set_yticks([1, 4, 16, 64], [1, 4, 16, 64])
axes.minorticks_off()
label_lines(axes)
plt.show()

# %% figures_quoted values
at = dict(zip(lengths, one, strict=True))
for length in (256, 8192, 16384):
    print(f"pairs_{length} = {at[length]['pairs']:.1f}")
    print(f"forward_{length} = {at[length]['forward']:.2f}")
    print(f"training_{length} = {at[length]['training']:.2f}")
share = at[8192]["forward"] / at[8192]["pairs"]
print(f"share_of_the_pair_ratio_8192 = {100 * share:.0f}")
print(f"own_choice_256 = {at[256]['own choice']:.2f}")
for quantity in ("forward", "training"):
    ratios = [row[quantity] for row in one]
    after = next(index for index, value in enumerate(ratios) if value > 1)
    crossover = lengths[0]
    if after:
        low, high = ratios[after - 1 : after + 1]
        crossover = lengths[after - 1] * 2 ** ((1 - low) / (high - low))  # they double
    print(f"crossover_{quantity} = {crossover:.0f}")

# %% count
dense_pairs = 8192**2
kept = configuration.matrix(8192).count()
computed = plan.Plan(configuration.matrix(8192), 1).computed
by_hand = 8192 * (3 * 64 + 32)  # the window and the entities
by_hand += 32 * 8192  # what the entities read
assert computed == by_hand
# of a pair: two dot products of a multiplication and an addition
flops = 4 * configuration.heads * configuration.head_size

# %% count_values values
print(f"kept_pairs = {kept}")
print(f"computed_pairs = {computed}")
print(f"percent_of_the_computed_kept = {100 * kept / computed:.1f}")
print(f"gflop_dense = {flops * dense_pairs / 1e9:.1f}")
print(f"gflop_sparse = {flops * computed / 1e9:.2f}")

# %% intensity
size, wide = configuration.head_size, 3 * 64 + 32  # keys that a query reads
number = 4  # bytes of a float32
intensities = {
    # reads query, key and value, writes the output: once
    "dense, fused": 4 * 8192 * size / (4 * size * number),
    # writes and reads n² scores, then n² weights
    "dense, explicit": 4 * size / (4 * number),
    # key and value of each pair: read, written, read again
    "gathered": 4 * size / (3 * 2 * size * number),
    # the same, once for each block of 64
    "blocks, fused": 4 * wide * size / ((2 + 2 * 3 * wide / 64) * size * number),
}
for name, intensity in intensities.items():
    print(f"{name:16}{intensity:8.1f} floating-point operations a byte")
assert abs(intensities["gathered"] - 1 / 6) < 1e-9

# %% ridge timed differs="depends on the processor" tolerance="80%"
square, long = torch.randn(2, 1024, 1024), torch.randn(2, 2**24)
multiply, copy = lambda: square[0] @ square[1], lambda: long[0].copy_(long[1])
copies = ratio(multiply, copy, seconds=0.5)  # a product takes so many copies
ridge = (2 * 1024**3) / long.nbytes / copies  # operations while one byte moves
assert ridge > 3 * intensities["gathered"]

# %% ridge_values values differs="depends on the processor" tolerance="80%"
print(f"ridge = {ridge:.1f}")

# %% live timed differs="times depend on the machine" tolerance="60%"
print(f"{'n':>5}{'pairs':>8}{'forward':>10}{'training':>10}")
live = {}
for n in (256, 1024, 4096):
    pairs = 1 / configuration.matrix(n).share
    one_way = forward(configuration, n, seconds=0.7, least=3)
    both_ways = training(configuration, n, seconds=0.7, least=3)
    live[n] = one_way, both_ways
    print(f"{n:5}{pairs:7.1f}x{one_way:9.2f}x{both_ways:9.2f}x")
assert live[4096][0] > 3 and live[4096][1] > 3
assert live[256][0] < live[1024][0] < live[4096][0]

# %% live_values values differs="times depend on the machine" tolerance="60%"
print(f"forward_4096_live = {live[4096][0]:.1f}")
print(f"training_4096_live = {live[4096][1]:.1f}")

# %% table
rows = {}
for n, alone, both in zip(lengths, one, two, strict=True):
    times = [row[name] for row in (alone, both) for name in ("forward", "training")]
    rows[f"{n:,}"] = [alone["pairs"], *times, alone["forward"] / alone["pairs"]]
columns = ["n", "pairs, ×", "forward, ×", "training, ×"]
columns += ["two threads: forward, ×", "training, ×", "forward / pairs"]
table(rows, columns, [".1f", ".2f", ".2f", ".2f", ".2f", ".0%"]).show()

# %% own_choice timed differs="times depend on the machine" tolerance="50%"
raw = forward(configuration, 256, seconds=0.5, dense_below=0)
chosen = forward(configuration, 256, seconds=0.5, dense_below=None)
blocks_256 = plan.Plan(configuration.matrix(256), 1).computed
assert blocks_256 >= 256**2  # as many pairs as dense attention: nothing to gain
assert plan.Plan(configuration.matrix(512), 1).computed < 512**2

# %% own_choice_values values differs="times depend on the machine" tolerance="50%"
print(f"by_blocks_256 = {raw:.2f}")
print(f"by_its_own_choice_256 = {chosen:.2f}")

# %% memory
peaks = {"explicit": [], "masked": [], "SDPA": [], "sparse": []}
print(f"{'MiB beyond the inputs':>24}" + "".join(f"{name:>10}" for name in peaks))
for n in (512, 1024, 2048):
    qkv, matrix = configuration.inputs(n), configuration.matrix(n)
    calls = {
        "explicit": partial(attention, *qkv),
        "masked": partial(masked_attention, *qkv, matrix),
        "SDPA": partial(F.scaled_dot_product_attention, *qkv),
        "sparse": partial(sparse_attention, *qkv, matrix, dense_below=0),
    }
    with torch.inference_mode():
        for name, call in calls.items():
            if name == "masked":
                call()  # its mask is made once, and counted apart
            peaks[name].append(peak_bytes(call) / 2**20)
    print(f"{n:24}" + "".join(f"{peaks[name][-1]:10.1f}" for name in calls))
growth = {name: values[-1] / values[-2] for name, values in peaks.items()}
assert growth["explicit"] > 3.5  # n²
assert growth["SDPA"] < 2.2 and growth["sparse"] < 2.2  # n

# %% memory_values values
print(f"explicit_over_SDPA_2048 = {peaks['explicit'][-1] / peaks['SDPA'][-1]:.0f}")
print(f"sparse_over_SDPA_2048 = {peaks['sparse'][-1] / peaks['SDPA'][-1]:.1f}")
for name in ("explicit", "SDPA", "sparse"):
    print(f"{name}_growth = {growth[name]:.1f}")

# %% flex
names = "".join(f"{f'block {block}':>12}" for block in FLEX_BLOCKS)
print(f"{'n':>7}{names}   (FlexAttention / sparse)")
flex = {}
for n in manifest["flex_lengths"]:
    flex[n] = [runs[f"flex, {n}"][str(block)] for block in FLEX_BLOCKS]
    print(f"{n:7}" + "".join(f"{times:11.2f}x" for times in flex[n]))
best = {n: min(times) for n, times in flex.items() if n >= 4096}  # its best block

# %% flex_values values
print(f"flex_least = {min(best.values()):.1f}")
print(f"flex_most = {max(best.values()):.1f}")
place = FLEX_BLOCKS.index(64)
print(f"flex_64_least = {min(flex[n][place] for n in best):.1f}")

# %% larger
n, heads, size, bytes_each = 2**17, 32, 128, 2  # a large decoder's layer, 16-bit
GiB = 2**30
large = Configuration(heads=heads, head_size=size, entities=128)
assert abs(1 / large.matrix(n).share / (n / (3 * 64 + 2 * 128)) - 1) < 0.02

# %% larger_values values
print(f"qkv_and_output_GiB = {4 * n * heads * size * bytes_each / GiB:.0f}")
print(f"explicit_scores_GiB = {n * n * heads * bytes_each / GiB:.0f}")
print(f"block_scores_GiB = {n * (3 * 64 + 128) * heads * bytes_each / GiB:.1f}")
print(f"pairs_131072 = {n / (3 * 64 + 2 * 128):.0f}")
