# %% setup
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import llm_tutorial.lora
from llm_tutorial.data.messages import Message, messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.lora.translation import Reader, TranslationMemory, load_translator, score
from llm_tutorial.plotting import panels, use_style
from llm_tutorial.training import read_manifest

use_style()
training, test = messages("train"), messages("test")
assert not {key_of(message.english) for message in training} & {key_of(message.english) for message in test}
print(f"training_messages = {len(training)}")
print(f"test_messages = {len(test)}")

# %% memory
memory = TranslationMemory(training)
for english in ("Save the notebook as…", "Delete %(count)d files?", "Choose another color"):
    asked = [Message(english, "", "", 0)]
    print(english, "|", memory.nearest(asked)[0].english, "|", memory.translate(asked)[0])
remembered = score(dict(zip(test, memory.translate(test), strict=True)))
for name, value in remembered.items():
    print(f"memory_{name} = {value:.4g}")
assert all(key_of(near.english) != key_of(m.english) for near, m in zip(memory.nearest(test), test, strict=True))

# %% context
reader = Reader(training)
rows = reader.held_out(test)
row = next(row for row in rows if len(row.asked) > 1)
asked = row.asked[1]
print(reader.tokenizer.decode(row.input_ids[asked.near - 60 : asked.end + 30], skip_special_tokens=False))
print(f"row_tokens = {statistics.mean(len(row.input_ids) for row in rows):.0f}")

# %% compared
metrics = read_manifest("lora", "translation")["metrics"]
VARIANTS = ("dense", "sparse", "window", "alone")
assert abs(metrics["memory"]["chrf"] - remembered["chrf"]) < 1e-3


def over_seeds(variant: str, name: str) -> tuple[float, float]:
    values = [metrics[f"{variant}, seed {seed}"][name] for seed in range(3) if f"{variant}, seed {seed}" in metrics]
    return statistics.mean(values), statistics.stdev(values)


print(f"{'':8}{'chrF':>14}{'BLEU':>14}{'placeholders':>14}")
for variant in VARIANTS:
    cells = [over_seeds(variant, name) for name in ("chrf", "bleu", "placeholders")]
    print(f"{variant:8}" + "".join(f"{mean:8.2f} ± {deviation:.2f}" for mean, deviation in cells))
print(f"{'memory':8}" + "".join(f"{metrics['memory'][name]:8.2f}{'':6}" for name in ("chrf", "bleu", "placeholders")))

# %% figures
for variant in VARIANTS:
    for name in ("chrf", "bleu", "placeholders"):
        print(f"{variant}_{name} = {over_seeds(variant, name)[0]:.4g}")
    print(f"{variant}_chrf_deviation = {over_seeds(variant, 'chrf')[1]:.2g}")
    in_order = [run["source order"]["chrf"] for label, run in metrics.items() if label.startswith(f"{variant}, seed")]
    print(f"{variant}_in_order = {statistics.mean(in_order):.4g}")
print(f"memory_in_order = {metrics['memory']['source order']['chrf']:.4g}")
for variant in VARIANTS:
    print(f"{variant}_parameters = {metrics[f'{variant}, seed 0']['parameters']}")

# %% curves
figure, (by_step, by_time) = panels(2)
for variant in VARIANTS:
    step, seconds, loss = zip(*metrics[f"{variant}, seed 0"]["curve"], strict=True)
    by_step.plot(step, loss, label=variant)
    by_time.plot(seconds, loss, label=variant)
by_step.set(xlabel="step", ylabel="loss")
by_time.set(xlabel="seconds", ylabel="loss")
by_step.legend()
plt.show()

# %% sweep
SWEPT = {
    "no memory": "no_memory",
    "no catalogue": "no_catalogue",
    "512 tokens": "half",
    "128 entities": "many_entities",
}
for run, name in SWEPT.items():
    print(f"{name}_chrf = {metrics[f'{run}, seed 0']['chrf']:.4g}")
    print(f"{name}_in_order = {metrics[f'{run}, seed 0']['source order']['chrf']:.4g}")
print(f"all_context_chrf = {metrics['sparse, seed 0']['chrf']:.4g}")

# %% language_model
lora = read_manifest("lora", "translation_lora")
sampled = test[::8]
print(f"sampled_messages = {len(sampled)}")
print(f"tokens_per_character = {lora['tokens_per_character']:.2f}")
for kind in ("alone", "memory"):
    for label in ("untrained", "LoRA"):
        run = lora["metrics"][f"{label}, {kind}"]
        print(f"{label}_{kind}_chrf = {run['chrf']:.4g}")
        print(f"{label}_{kind}_placeholders = {run['placeholders']:.3g}")
for label in ("memory", "sparse, seed 0", "alone, seed 0"):
    found = score(dict(zip(sampled, metrics[label]["sample"], strict=True)))
    print(f"sampled_{label.split(',')[0]}_chrf = {found['chrf']:.4g}")

# %% long
long = read_manifest("lora", "translation_long")["metrics"]["long"]
for name in ("chrf", "bleu", "exact", "placeholders"):
    print(f"long_{name} = {long[name]:.4g}")
print(f"long_in_order = {long['source order']['chrf']:.4g}")
print(f"long_sampled_chrf = {long['sampled']['chrf']:.4g}")

# %% live differs="the likeliest token near a tie"
torch.manual_seed(0)
model, tokenizer = load_translator(Path(llm_tutorial.lora.__file__).parent / "weights" / "translation_long")
assert tokenizer.to_str() == reader.tokenizer.to_str()  # both from the training split
translations = model.translate(rows[::12], tokenizer)
for message, text in list(translations.items())[::6]:
    print(message.english, "|", message.chinese, "|", text)
written = dict(zip(sampled, long["sample"], strict=True))
common = [message for message in translations if message in written]
assert sum(translations[message] == written[message] for message in common) >= 0.8 * len(common)  # half precision

# %% samples
systems = {
    "memory": metrics["memory"]["sample"],
    "alone": metrics["alone, seed 0"]["sample"],
    "dense": metrics["dense, seed 0"]["sample"],
    "sparse": metrics["sparse, seed 0"]["sample"],
    "long": long["sample"],
    "LoRA": lora["metrics"]["LoRA, memory"]["sample"],
}
for place in range(4, len(sampled), 14):
    print(f"{sampled[place].english}\n  {'people':8}{sampled[place].chinese}")
    for name, texts in systems.items():
        print(f"  {name:8}{texts[place]}")
