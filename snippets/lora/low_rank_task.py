# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.data.cldr import SPLITS, cldr_pairs
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora.adapter import load_adapter
from llm_tutorial.lora.inject import lora_layers, remove_lora
from llm_tutorial.lora.task import exact_match, prompt, validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import GREY, bars, label_lines, legend, panels, use_style
from llm_tutorial.results import results, weights

use_style()
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")

# %% pairs
for split in SPLITS:
    for pair in cldr_pairs(2, split, seed=7):
        print(f"{split:15}{pair.kind:10}{pair.english} → {pair.chinese}")

# %% held_out
trained, held_out = cldr_pairs(1600), cldr_pairs(200, "held_out")
assert not {pair.english for pair in trained} & {pair.english for pair in held_out}
print(f"held_out_pairs = {len(held_out)}")

# %% before differs="greedy text of a language model near a tie"
asked = [prompt(pair.english) for pair in cldr_pairs(6, "held_out", seed=2)]
answers = greedy_answers(model, tokenizer, asked, max_new_tokens=16)
for question, answer in zip(asked, answers, strict=True):
    print(question, answer)
assert exact_match(model, tokenizer, held_out[:20]) == 0

# %% after differs="greedy text of a language model near a tie"
load_adapter(model, weights("lora", "low_rank") / "rank-8")
answers = greedy_answers(model, tokenizer, asked)
for question, answer in zip(asked, answers, strict=True):
    print(question, answer)

# %% live
live_held_out = exact_match(model, tokenizer, held_out)
print(f"live_held_out = {live_held_out:.1f}")
layers = [layer for _, layer in lora_layers(model)]
adapter = sum(layer.lora_A.numel() + layer.lora_B.numel() for layer in layers)
print(f"adapter_parameters = {adapter:,}")
assert live_held_out >= 99

# %% tuned
lora, full = results("lora", "low_rank"), results("lora", "low_rank_full")
for manifest, method in ((lora, "LoRA, "), (full, "full fine-tuning, ")):
    for name, run in manifest["metrics"].items():
        if "validation_loss" in run:
            print(f"{method + name:38}validation loss {run['validation_loss']:.4f}")

# %% results
untrained = lora["metrics"]["untrained"]


def of_seeds(manifest: dict, name: str) -> list[dict]:
    runs = manifest["metrics"]
    return [runs[f"{name}, seed {seed}"] for seed in manifest["seeds"]]


seeds = {
    "LoRA, rank 8": of_seeds(lora, "rank 8"),
    "LoRA, rank 2": of_seeds(lora, "rank 2"),
    "full fine-tuning": of_seeds(full, "full"),
}


def mean_and_spread(method: str, metric: str) -> str:
    values = [run[metric] for run in seeds[method]]
    return f"{sum(values) / len(values):.1f} [{min(values):.1f}, {max(values):.1f}]"


print(f"{'untrained':18}{untrained['held_out']:.1f}")
for method in seeds:
    print(f"{method:18}{mean_and_spread(method, 'held_out')}")

# %% figures_quoted values
names = {"rank8": "LoRA, rank 8", "rank2": "LoRA, rank 2", "full": "full fine-tuning"}
for name, method in names.items():
    values = [run["held_out"] for run in seeds[method]]
    print(f"{name}_mean = {sum(values) / len(values):.1f}")
    print(f"{name}_worst = {min(values):.1f}")
    print(f"{name}_rate = {seeds[method][0]['rate']:g}")
for name in ("rank8", "rank2"):
    print(f"{name}_percent = {seeds[names[name]][0]['percent']:.2f}")
    print(f"{name}_alpha = {seeds[names[name]][0]['alpha']}")
print(f"lora_steps = {lora['steps']}")
print(f"full_steps = {full['steps']}")
rank_8, rank_2, of_full = seeds.values()
assert all(run["held_out"] >= 99 and run["percent"] <= 2 for run in rank_8)
assert all(run["held_out"] >= 95 and run["percent"] <= 0.5 for run in rank_2)
assert of_full[0]["held_out"] - rank_8[0]["held_out"] < 1

# %% transfer
places = ["held_out", "new_years", "new_units", "new_currencies", "sentences"]
scores = {}
for method, runs in seeds.items():
    scores[method] = [[run[place] for run in runs] for place in places]
figure, (axes,) = panels()
bars(axes, [place.replace("_", " ") for place in places], scores, form=".1f")
axes.set(xlabel="exact match (%)", xlim=(0, 100))
plt.show()

# %% transfer_figures values
for place in places[1:]:
    for name, method in (("rank8", "LoRA, rank 8"), ("full", "full fine-tuning")):
        values = [run[place] for run in seeds[method]]
        print(f"{place}_{name} = {sum(values) / len(values):.1f}")

# %% transfer_examples differs="greedy text of a language model near a tie"
splits = SPLITS[2:]
unseen = [(split, pair) for split in splits for pair in cldr_pairs(2, split, seed=3)]
said = greedy_answers(model, tokenizer, [prompt(pair.english) for _, pair in unseen])
for (split, pair), answer in zip(unseen, said, strict=True):
    print(f"{split:15}{pair.english} → {answer}   (CLDR: {pair.chinese})")

# %% examples_needed
data = results("lora", "low_rank_data")["metrics"]
counts = [10, 30, 100, 300, 1000]
figure, (axes,) = panels(height=2.8)
runs = [data[f"{count} pairs"] for count in counts]
axes.plot(counts, [run["train"] for run in runs], label="trained")
axes.plot(counts, [run["held_out"] for run in runs], label="held out")
axes.set_xscale("log")
axes.set_xticks(counts, counts)
axes.minorticks_off()
axes.set_xlabel("training pairs")
axes.set_ylabel("exact match (%)")
label_lines(axes)
plt.show()

# %% examples_needed_figures values
for count in counts:
    print(f"held_out_with_{count} = {data[f'{count} pairs']['held_out']:.1f}")
    assert data[f"{count} pairs"]["train"] == 100  # of those that were asked again
print(f"steps_with_10 = {data['10 pairs']['steps']}")
print(f"steps_with_1000 = {data['1000 pairs']['steps']}")

# %% spectrum
update = full["metrics"]["full, seed 0"]
ranks = update["ranks"]
figure, (left, right) = panels(2, height=2.9)
left.plot(ranks, [100 * share for share in update["update_energy"]], label="ΔW")
left.plot(ranks, [100 * share for share in update["weight_energy"]], label="W")
left.set_ylabel("energy in the top r (%)")
right.plot(ranks, update["truncated"], label="best rank-r part of ΔW")
right.plot(ranks, update["random"], label="random subspace")
right.set_ylabel("exact match (%)")
for axes in (left, right):
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, ranks)
    axes.set_xlabel("rank r")
    axes.set_ylim(-4, 108)
    legend(axes, ncols=1)
plt.show()

# %% spectrum_figures values
at_8 = ranks.index(8)
print(f"update_energy_8 = {100 * update['update_energy'][at_8]:.1f}")
print(f"weight_energy_8 = {100 * update['weight_energy'][at_8]:.1f}")
print(f"truncated_8 = {update['truncated'][at_8]:.1f}")
print(f"random_8 = {update['random'][at_8]:.1f}")
print(f"truncated_32 = {update['truncated'][ranks.index(32)]:.1f}")
print(f"truncated_1 = {update['truncated'][0]:.1f}")
print(f"random_128 = {update['random'][-1]:.1f}")
print(f"without_linear = {update['without_linear']:.1f}")

# %% forgetting
print(f"{'':18}questions  perplexity")
print(f"{'untrained':18}{untrained['questions']:9.1f}  {untrained['perplexity']:.2f}")
for method, runs in seeds.items():
    values = [run["perplexity"] for run in runs]
    questions = sum(run["questions"] for run in runs) / len(runs)
    mean, low, high = sum(values) / len(values), min(values), max(values)
    print(f"{method:18}{questions:9.1f}  {mean:.2f}  [{low:.2f}, {high:.2f}]")
*adapted, of_full = ([run["perplexity"] for run in runs] for runs in seeds.values())
# with each seed of LoRA it rose more than with any of full fine-tuning
assert all(min(values) > max(of_full) for values in adapted)

# %% forgetting_figures values
print(f"perplexity_before = {untrained['perplexity']:.2f}")
print(f"questions_before = {untrained['questions']:.1f}")
for name, runs in zip(("rank8", "rank2", "full"), seeds.values(), strict=True):
    perplexity = sum(run["perplexity"] for run in runs) / len(runs)
    questions = sum(run["questions"] for run in runs) / len(runs)
    print(f"perplexity_{name} = {perplexity:.2f}")
    print(f"questions_{name} = {questions:.1f}")

# %% forgetting_by_rank
sweeps = results("lora", "low_rank_sweeps")["metrics"]
by_rank = {1: "rank 1", 2: "rank 2", 8: "base", 16: "rank 16", 64: "rank 64"}
by_rate = {2.5e-4: "rate 0.00025", 5e-4: "base", 1e-3: "rate 0.001", 2e-3: "rate 0.002"}
swept = {"rank": by_rank, "learning rate": by_rate}
figure, axes = panels(2, sharey=True)
for panel, (title, points) in zip(axes, swept.items(), strict=True):
    panel.plot(points.keys(), [sweeps[run]["perplexity"] for run in points.values()])
    panel.axhline(untrained["perplexity"], color=GREY, ls="--", lw=1.2)
    panel.set(xscale="log", yscale="log", xlabel=title, ylabel="perplexity of English")
    panel.set_yticks([50, 100, 200], [50, 100, 200])
    panel.set_xticks(list(points), [f"{point:g}" for point in points])
    panel.minorticks_off()
plt.show()

# %% variants
compared = ["base", "LoRA+, ratio 4", "PiSSA, rate 0.0005", "PiSSA, rate 0.001", "DoRA"]
# under rsLoRA, alpha 128 at rank 64 is 1024 here: one run for both
compared += ["rank 64, alpha 128", "rank 64"]
assert 128 / 64**0.5 == 1024 / 64 == 128 / 8
print(f"{'':20}validation loss  exact match  perplexity of English")
labels = {
    "base": "LoRA",
    "rank 64, alpha 128": "LoRA, rank 64",
    "rank 64": "rsLoRA, rank 64",
}
for name in compared:
    run, label = sweeps[name], labels.get(name, name)
    scores = f"{run['validation_loss']:15.3f}{run['validation']:13.1f}"
    print(f"{label:20}{scores}{run['perplexity']:23.1f}")
lowest_loss = min(compared, key=lambda name: sweeps[name]["validation_loss"])
highest_perplexity = max(compared, key=lambda name: sweeps[name]["perplexity"])
assert lowest_loss == highest_perplexity  # here, one row has both

# %% no_begin_token
without = sweeps["no begin token"]
tokenizer.bos_token = None
exact = exact_match(model, tokenizer, validation_pairs())
print(f"adapter_asked_without = {exact:.1f}")
tokenizer = load_tokenizer("smollm2-135m")

# %% no_begin_token_values values
print(f"with_begin_token = {sweeps['base']['validation']:.1f}")
print(f"without_begin_token = {without['validation']:.1f}")

# %% sweeps
base = sweeps["base"]["validation_loss"]
loss = {name: run["validation_loss"] for name, run in sweeps.items()}
swept = {
    "rank (alpha = 16 rank)": {rank: loss[run] for rank, run in by_rank.items()},
    "learning rate": {rate: loss[run] for rate, run in by_rate.items()},
    "alpha (rank 8)": {32: loss["alpha 32"], 128: base, 512: loss["alpha 512"]},
}  # fmt: skip
figure, axes = panels(3, height=2.7, sharey=True)
for panel, (title, points) in zip(axes, swept.items(), strict=True):
    panel.plot(points.keys(), points.values())
    panel.set(xscale="log", yscale="log", xlabel=title, ylabel="validation loss (nats)")
    panel.set_yticks([0.1, 0.2, 0.5, 1], [0.1, 0.2, 0.5, 1])
    panel.set_xticks(list(points), [f"{point:g}" for point in points])
    panel.minorticks_off()
plt.show()

# %% rate_and_alpha
for name in ("base", "alpha 32", "alpha 32, rate 0.002"):
    print(f"{name:22}validation loss {sweeps[name]['validation_loss']:.3f}")

# %% target_modules
highest = sweeps["query and value, rank 42"]["validation_loss"]
for name in ("query and value, rank 42", "attention, rank 21", "mlp, rank 13", "base"):
    percent, loss = sweeps[name]["percent"], sweeps[name]["validation_loss"]
    label = "all linear, rank 8" if name == "base" else name
    print(f"{label:26}{percent:.2f} % trained   validation loss {loss:.3f}")
    assert loss <= highest

# %% time_spent values
others = results("lora", "low_rank_data"), results("lora", "low_rank_sweeps")
hours = sum(manifest["seconds"] for manifest in (lora, full, *others)) / 3600
print(f"hours_of_training = {hours:.1f}")

# %% the_base_is_untouched
remove_lora(model)
fresh = load_model("smollm2-135m")
both = zip(model.parameters(), fresh.parameters(), strict=True)
assert all(torch.equal(one, other) for one, other in both)
