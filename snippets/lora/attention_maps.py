# %% setup
import math

import matplotlib.pyplot as plt
import torch

from llm_tutorial.data.text import held_out_english
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, heatmap, legend, panels, use_style, verbatim

use_style()
torch.set_grad_enabled(False)
# eager: SDPA never has the weights in hand
model = load_model("smollm2-135m", attn_implementation="eager")
tokenizer = load_tokenizer("smollm2-135m")


def weights_of(ids):  # (batch, token) -> (layer, batch, head, query, key)
    out = model(input_ids=ids, output_attentions=True, use_cache=False)
    return torch.stack(out.attentions)


# %% collect
begin = tokenizer.convert_tokens_to_ids("<|im_start|>")
texts = [tokenizer(text).input_ids[:63] for text in held_out_english()]
texts = torch.tensor([text for text in texts if len(text) == 63][:4])  # (4, 63)
with_begin = torch.cat([torch.full((len(texts), 1), begin), texts], 1)  # (4, 64)
P = weights_of(with_begin)
assert torch.allclose(P.sum(-1), torch.ones(P.shape[:-1]), atol=1e-5)
assert (P.triu(1) == 0).all()

# %% kinds tolerance="5%"
first = P[..., 1:, 0].mean((1, 3))  # (layer, head): weight on the first token
previous = P.diagonal(-1, -2, -1).mean((1, 3))

# random tokens, then the same again: weight on what followed the last time
generator = torch.Generator().manual_seed(0)
half = torch.randint(1000, 20_000, (2, 32), generator=generator)
repeated = weights_of(torch.cat([torch.full((2, 1), begin), half, half], 1))
induction = repeated.diagonal(-31, -2, -1)[..., 1:].mean((1, 3))

scores = {"first": first, "previous": previous, "induction": induction}
chosen = {}
for name, score in scores.items():
    layer, head = divmod(score.argmax().item(), 9)
    chosen[name] = (layer, head)
    print(f"{name}: layer {layer}, head {head}, weight {score[layer, head]:.2f}")

# %% maps
text = "<|im_start|>The old red door opened. The old red door closed."
ids = tokenizer(text).input_ids
pieces = tokenizer.convert_ids_to_tokens(ids)
pieces = [piece.replace("Ġ", "").replace("<|im_start|>", "▷") for piece in pieces]
maps = weights_of(torch.tensor([ids]))[:, 0]  # (layer, head, query, key)
figure, axes = panels(3, height=3.1)
for panel, (name, (layer, head)) in zip(axes, chosen.items(), strict=True):
    heatmap(panel, maps[layer, head], pieces, pieces, limits=(0, 1))
    panel.set(title=f"{name}: layer {layer}, head {head}", xlabel="key", ylabel="query")
    panel.tick_params(axis="x", rotation=90)
    panel.tick_params(labelsize=8)
    verbatim([*panel.get_xticklabels(), *panel.get_yticklabels()])
plt.show()

# %% sink
without_begin = weights_of(texts)
uniform = (1 / torch.arange(2, 65)).mean()
assert without_begin[..., 1:, 0].mean() > 3 * uniform

# %% sink_values values
print(f"sink_percent = {100 * P[..., 1:, 0].mean():.0f}")
print(f"sink_percent_without_begin = {100 * without_begin[..., 1:, 0].mean():.0f}")
print(f"uniform_percent = {100 * uniform:.0f}")

# %% entropy
entropy = torch.special.entr(P).sum(-1)[..., 1:]  # (layer, batch, head, query)
entropy = entropy / torch.arange(2, 65).log()  # 1: uniform over all it may read
entropy = entropy.mean((1, 2, 3))
figure, (axes,) = panels()
axes.plot(range(30), entropy, label="entropy / log i")
second = {"color": COLOURS[1], "marker": "s", "label": "weight on first token"}
axes.plot(range(30), first.mean(1), **second)
axes.set(xlabel="layer", ylim=(0, 1))
legend(axes, ncols=2)
plt.show()

# %% entropy_values values
print(f"entropy_first_layer = {entropy[0]:.2f}")
print(f"entropy_lowest = {entropy.min():.2f}")
print(f"layer_of_lowest = {entropy.argmin()}")
print(f"sink_percent_there = {100 * first[entropy.argmin()].mean():.0f}")
effective = math.exp(torch.special.entr(P[0]).sum(-1)[..., -1].mean())
print(f"effective_tokens_first_layer = {effective:.0f}")
