# %% setup
import statistics

import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F
from transformers import DynamicCache

from llm_tutorial import timing
from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, GREY, label_lines, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer import cache as library
from llm_tutorial.transformer.block import rotate
from llm_tutorial.transformer.names import own_copy

use_style()
torch.set_grad_enabled(False)
llama, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
model = own_copy(llama)  # the block of the page before, with SmolLM2's weights
layers = llama.config.num_hidden_layers

# %% picture
BLUE, ORANGE = COLOURS[:2]
diagram = Diagram(width=24, height=20)
stages = {  # rows (queries) that are computed, rows that are kept
    "without a cache": (range(7), range(0)),
    "prefill": (range(6), range(0)),
    "a step with a cache": (range(6, 7), range(6)),
    "a check of guesses": (range(6, 10), range(6)),
}
for place, (name, (computed, kept)) in enumerate(stages.items()):
    left, top = 0.6 + 12 * (place % 2), 17.4 - 8.9 * (place // 2)
    diagram.text(left, top + 1.6, name, ha="left", weight="bold")
    for query in (*kept, *computed):
        for key in range(query + 1):
            guess = place == 3 and query > 6
            colour = (GREY, 0.15) if query in kept else (ORANGE if guess else BLUE, 0.7)
            where = (left + 0.85 * key, top - 0.85 * query)
            diagram.axes.add_patch(Rectangle(where, 0.73, 0.73, facecolor=colour))


# %% by_hand
class Cache:
    def __init__(self, layers):
        self.keys, self.values = [None] * layers, [None] * layers

    def __len__(self):
        return 0 if self.keys[-1] is None else self.keys[-1].shape[2]

    def update(self, layer, keys, values):  # (batch, key-value head, new token, size)
        if self.keys[layer] is not None:
            keys = torch.cat([self.keys[layer], keys], 2)
            values = torch.cat([self.values[layer], values], 2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values  # of all tokens


def attend(attention, x, layer, cache, mask, places):
    q, k, v = (
        project(x).unflatten(-1, (-1, attention.size)).transpose(1, 2)
        for project in (attention.query, attention.key, attention.value)
    )  # (batch, head, new token, size)
    q, k = rotate(q, places, attention.base), rotate(k, places, attention.base)
    k, v = cache.update(layer, k, v)  # the one new line
    read = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    return attention.output(read.transpose(1, 2).flatten(2))


def advance(model, ids, cache):  # ids: the new tokens, (batch, new token)
    past, new = len(cache), ids.shape[1]
    places = torch.arange(past, past + new)[None]  # they go on counting
    mask = torch.ones(new, past + new, dtype=torch.bool).tril(past)
    x = model.tokens(ids)  # (batch, new token, width)
    for layer, block in enumerate(model.blocks):
        inner = block.attention_norm(x)
        x = x + attend(block.attention, inner, layer, cache, mask, places)
        x = x + block.feed_forward(block.feed_forward_norm(x))
    return model.logits(model.last_norm(x))  # (batch, new token, vocabulary)


# %% same_logits differs="rounding"
text = "A lighthouse keeper wrote down every ship that passed the rocks at night."
ids = tokenizer(text, return_tensors="pt").input_ids
whole = model.logits(model(ids))  # (1, token, vocabulary), no cache

cache = Cache(layers)
parts = [advance(model, ids[:, :6], cache)]  # prefill
for i in range(6, ids.shape[1]):  # one token a step
    parts.append(advance(model, ids[:, i : i + 1], cache))
stepwise = torch.cat(parts, 1)
difference = (stepwise - whole).abs().max().item()
assert torch.allclose(stepwise, whole, atol=1e-3)
print(f"{ids.shape[1]} tokens, largest difference of a logit: {difference:.0e}")

# %% same_logits_values differs="rounding" values
print(f"difference = {difference:.0e}")  # tolerance 90%
print(f"largest_logit = {whole.abs().max():.0f}")  # tolerance 10%

# %% dynamic_cache
theirs = DynamicCache(config=llama.config)
llama(ids[:, :6], past_key_values=theirs)
for i in range(6, ids.shape[1]):
    logits = llama(ids[:, i : i + 1], past_key_values=theirs).logits
    assert torch.allclose(logits, stepwise[:, i : i + 1], atol=1e-3)
for ours, layer in zip(cache.keys, theirs.layers, strict=True):
    assert torch.allclose(ours, layer.keys, atol=1e-3)
for ours, layer in zip(cache.values, theirs.layers, strict=True):
    assert torch.allclose(ours, layer.values, atol=1e-3)
print("layer 0, keys:", *theirs.layers[0].keys.shape, "of", theirs.get_seq_length())

# %% retired
retired = {
    "cache[0]": lambda: theirs[0],
    "cache.key_cache": lambda: theirs.key_cache,
    "cache.crop(4)": lambda: theirs.crop(4),
    "DynamicCache.from_legacy_cache(…)": lambda: DynamicCache.from_legacy_cache([]),
}
for name, call in retired.items():
    try:
        call()
    except (TypeError, AttributeError, ValueError) as error:
        message = str(error).replace(". ", ".\n   ")
        print(f"{name}\n   {type(error).__name__}: {message}")

# %% greedy differs="greedy text near a tie"
prompt = tokenizer("The capital of France is", return_tensors="pt")
cache, fed, written = Cache(layers), prompt.input_ids, []
for _ in range(12):
    fed = advance(model, fed, cache)[:, -1:].argmax(-1)  # (1, 1): the next token
    written.append(fed.item())
options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 2}
generated = llama.generate(**prompt, **options)
assert generated[0, -12:].tolist() == written
assert len(cache) == prompt.input_ids.shape[1] + 11  # the last token was never read
print(repr(tokenizer.decode(written)))

# %% same_as_library
mine = library.Cache(layers)
states = library.advance(model, ids[:, :6], mine)
states = library.advance(model, ids[:, 6:], mine)
assert torch.allclose(model.logits(states), whole[:, 6:], atol=1e-3)

# %% speed
runs = results("transformer", "cache")["metrics"]


def ratios(run, over, under):  # median, lowest and highest over the rounds
    values = [a / b for a, b in zip(runs[run][over], runs[run][under], strict=True)]
    return statistics.median(values), min(values), max(values)


LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
saved = {n: ratios(f"length {n}", "again", "step") for n in LENGTHS}
first = runs["length 16"]["step"]
slower = {n: statistics.median(runs[f"length {n}"]["step"]) for n in LENGTHS}
figure, (left, right) = panels(2)
for axes in (left, right):
    axes.set(xscale="log", xlabel="tokens before")
    axes.set_xticks(LENGTHS[::2], LENGTHS[::2])
    axes.minorticks_off()
right.plot(LENGTHS, [slower[n] / slower[16] for n in LENGTHS], color=COLOURS[1])
right.set(ylabel="step / step after 16", ylim=(0, None))
left.plot(LENGTHS, [saved[n][0] for n in LENGTHS])
left.fill_between(
    LENGTHS, *zip(*(saved[n][1:] for n in LENGTHS), strict=True), alpha=0.2, lw=0
)
left.set(ylabel="recomputing / cache", yscale="log")
left.set_yticks((2, 5, 10, 20, 50), (2, 5, 10, 20, 50))
left.minorticks_off()

# %% speed_values values
for n in LENGTHS:
    print(f"saved_{n} = {saved[n][0]:.1f}")
    print(f"saved_low_{n} = {saved[n][1]:.1f}")
    print(f"saved_high_{n} = {saved[n][2]:.1f}")
print(f"step_1024 = {slower[1024] / slower[16]:.1f}")

# %% memory
config = llama.config
size = config.hidden_size // config.num_attention_heads
formula = 2 * layers * config.num_key_value_heads * size * ids.shape[1] * 4  # float32
held = sum(layer.keys.nbytes + layer.values.nbytes for layer in theirs.layers)
assert formula == held == mine.nbytes
assert formula == library.cache_bytes(config, ids.shape[1], number_bytes=4)
print(f"{held:,} bytes for {ids.shape[1]} tokens, {held // ids.shape[1]:,} a token")

# %% larger
shapes = {  # layers, query heads, key-value heads, head size
    "SmolLM2 135M": (30, 9, 3, 64),
    "Llama 2 7B": (32, 32, 32, 128),
    "Llama 3 8B": (32, 32, 8, 128),
    "Llama 3 70B": (80, 64, 8, 128),
    "GPT-3 175B": (96, 96, 96, 128),
}
rows = {}
for name, (depth, heads, kv_heads, size) in shapes.items():
    token = 2 * depth * kv_heads * size * 2  # bytes; 16 bits a number
    shared, long = heads // kv_heads, 8192 * token / 2**30
    rows[name] = [shared, token / 1024, long, 40 * 2**30 // (8192 * token)]
columns = ["", "h / g", "KiB a token", "GiB for 8,192", "texts of 8,192 in 40 GiB"]
table(rows, columns, ["", ".1f", ".2f", ","]).show()

# %% larger_values values
for name, row in rows.items():
    key = name.lower().replace(" ", "_").replace("-", "")
    print(f"texts_{key} = {row[3]}")
    print(f"KiB_{key} = {row[1]:.1f}")

# %% at_once
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
cost = {
    kind: {k: ratios(f"{k} at once", kind, "one") for k in COUNTS}
    for kind in ("text", "batch")
}
figure, (left, right) = panels(2)
for kind, label in (("text", "one text"), ("batch", "a batch")):
    low, high = zip(*(cost[kind][k][1:] for k in COUNTS), strict=True)
    (line,) = left.plot(COUNTS, [cost[kind][k][0] for k in COUNTS], label=label)
    left.fill_between(COUNTS, low, high, color=line.get_color(), alpha=0.2, lw=0)
    right.plot(COUNTS, [k / cost[kind][k][0] for k in COUNTS], label=label)
for axes, label in ((left, "time of a pass"), (right, "tokens a second, relative")):
    axes.set(xlabel="tokens in a pass", ylabel=label, ylim=(0, None))
    label_lines(axes)

# %% one_product timed differs="time"
rows = {k: torch.randn(k, config.hidden_size) for k in (1, 2, 3, 4, 8)}
head = llama.lm_head.weight
calls = {str(k): (lambda x=x: F.linear(x, head)) for k, x in rows.items()}
shares = timing.ratios(calls["1"], calls, seconds=0)  # one row / k rows
for k, share in shares.items():
    print(f"{k} rows: {1 / share:.1f}")

# %% at_once_values values
for kind in ("text", "batch"):
    for k in COUNTS[1:]:
        print(f"cost_{kind}_{k} = {cost[kind][k][0]:.1f}")
        print(f"gain_{kind}_{k} = {k / cost[kind][k][0]:.1f}")
for k in (4, 16):
    long = ratios(f"{k} at once, long", "batch", "one")[0]
    print(f"gain_long_{k} = {k / long:.1f}")
weights, cached = llama.num_parameters(), 2 * layers * 3 * 64  # numbers; of a token
for n in (128, 1024):  # by bytes alone
    moved = (weights + 16 * n * cached) / (weights + n * cached)
    print(f"gain_bytes_{n} = {16 / moved:.1f}")
print(f"break_even = {weights / cached:.0f}")
print(f"break_even_llama_3_8b = {8e9 / (2 * 32 * 8 * 128):.0f}")
print(f"int8_alone = {1 / ratios('1 at once', 'int8', 'one')[0]:.1f}")
print(f"int8_step = {ratios('1 at once', 'int8', 'one')[0]:.2f}")
print(f"prefix_saved = {ratios('prefix', 'whole', 'rest')[0]:.1f}")
