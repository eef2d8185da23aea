# %% setup
import copy

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.data.text import held_out_english
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import GREY, panels, spread, use_style

use_style()
torch.set_num_threads(1)


# %% lookup
def questions(generator, batch=32, pairs=32, asked=4):
    """Each row has 32 symbols with a value each; 16 queries name four symbols each."""
    symbols = torch.rand(batch, 64, generator=generator).argsort(-1)[:, :pairs]
    values = torch.randint(8, (batch, pairs), generator=generator)
    chosen = torch.randint(pairs, (batch, 16, asked), generator=generator)

    def pick(x):  # (batch, pair) -> (batch, query, asked)
        return x.gather(1, chosen.flatten(1)).view(chosen.shape)

    return symbols, values, pick(symbols), pick(values)


class Lookup(nn.Module):
    def __init__(self, heads, kv_heads, width=64):
        super().__init__()
        self.shape = (heads, kv_heads, kv_heads)
        self.symbol, self.value = nn.Embedding(64, width), nn.Embedding(8, width)
        self.asked = nn.Embedding(4 * 64, width)  # first symbol asked for, second, …
        size = width // heads
        self.qkv = nn.ModuleList(nn.Linear(width, count * size) for count in self.shape)
        self.o, self.out = nn.Linear(width, width), nn.Linear(width, 4 * 8)

    def forward(self, symbols, values, asked):
        x = self.symbol(symbols) + self.value(values)  # (batch, pair, width)
        y = self.asked(asked + 64 * torch.arange(4)).sum(-2)  # (batch, query, width)
        Q, K, V = (
            layer(each).unflatten(-1, (count, -1)).transpose(1, 2)
            for layer, each, count in zip(self.qkv, (y, x, x), self.shape, strict=True)
        )
        out = F.scaled_dot_product_attention(Q, K, V, enable_gqa=True)
        y = y + self.o(out.transpose(1, 2).flatten(2))
        return self.out(y).unflatten(-1, (4, 8))  # (batch, query, asked, value)


def accuracy(heads, kv_heads, rate, seed, steps=250):
    torch.manual_seed(seed)
    model, generator = Lookup(heads, kv_heads), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    options = {"total_steps": steps, "pct_start": 0.1}
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, **options)
    for _ in range(steps):
        *question, answer = questions(generator)
        F.cross_entropy(model(*question).flatten(0, 2), answer.flatten()).backward()
        optimizer.step(), schedule.step(), optimizer.zero_grad()
    *question, answer = questions(torch.Generator().manual_seed(999), batch=128)
    with torch.no_grad():
        return (model(*question).argmax(-1) == answer).float().mean().item()


# %% how_many_heads tolerance="25%"
layouts = [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (4, 1)]  # query, key-value
rates = (1e-2, 2e-2)
runs = {}
for layout in layouts:
    first = {rate: accuracy(*layout, rate, seed=0) for rate in rates}
    rate = max(first, key=first.get)  # each layout at its own better rate
    runs[layout] = [first[rate], *(accuracy(*layout, rate, seed) for seed in (1, 2))]
    low, *_, high = sorted(runs[layout])
    mean = sum(runs[layout]) / 3
    heads, kv_heads = layout
    shape = f"{heads:2} heads of {64 // heads:2}, {kv_heads:2} for keys and values"
    print(f"{shape}: {mean:.2f} [{low:.2f}, {high:.2f}]")

# %% heads_figure
counts = [1, 2, 4, 8, 16]
figure, (axes,) = panels(height=2.5)
spread(axes, counts, list(zip(*(runs[h, h] for h in counts), strict=True)))
axes.axhline(1 / 8, color=GREY, ls=":", lw=1.2)
axes.text(16, 0.15, "guessing", ha="right")
axes.set(xscale="log", ylim=(0, 1), ylabel="accuracy")
axes.set(xlabel="number of heads h (head size 64 / h)")
axes.set_xticks(counts, counts)
axes.minorticks_off()
plt.show()
best = max(counts, key=lambda h: sum(runs[h, h]))
assert 1 < best < 16

# %% heads_figure_values values
print(f"best_heads = {best}")
for heads, kv_heads in ((1, 1), (4, 4), (16, 16), (4, 1)):
    mean = sum(runs[heads, kv_heads]) / 3
    print(f"accuracy_{heads}_{kv_heads} = {mean:.2f}")  # tolerance 25%

# %% real_model
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
text = "<|im_start|>" + "\n\n".join(held_out_english())
ids = tokenizer(text, return_tensors="pt").input_ids[:, :256]
distance = torch.arange(256)[:, None] - torch.arange(256)  # (query, key)


@torch.no_grad()
def perplexity(model, mask=None) -> float:
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return F.cross_entropy(logits[0, :-1], ids[0, 1:]).exp().item()


usual = perplexity(model)

# %% real_model_values values
print(f"perplexity = {usual:.1f}")  # tolerance 2%

# %% rope_base
rotary = model.model.rotary_emb
trained = rotary.inv_freq.clone()
with_base = {}
for base in (10_000, 1_000_000):
    rotary.inv_freq = base ** (-torch.arange(0, 64, 2) / 64)
    with_base[base] = perplexity(model)
rotary.inv_freq = trained
assert perplexity(model) == usual

# %% rope_base_values values
for base, value in with_base.items():
    print(f"perplexity_base_{base} = {value:.1f}")  # tolerance 5%

# %% window
in_window = {}
for sinks in (0, 4):
    mask = (distance >= 0) & ((distance < 64) | (torch.arange(256) < sinks))
    in_window[sinks] = perplexity(model, mask[None, None])

# %% window_values values
for sinks, value in in_window.items():
    print(f"perplexity_window_64_sinks_{sinks} = {value:.1f}")  # tolerance 5%

# %% merged_heads
merged = copy.deepcopy(model)
with torch.no_grad():
    for layer in merged.model.layers:
        for linear in (layer.self_attn.k_proj, layer.self_attn.v_proj):
            mean = linear.weight.unflatten(0, (3, 64)).mean(0)  # one head for three
            linear.weight.copy_(mean.repeat(3, 1))
assert perplexity(merged) > 2 * usual

# %% merged_heads_values values
print(f"perplexity_merged_heads = {perplexity(merged):.0f}")  # tolerance 5%
