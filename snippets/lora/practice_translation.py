# %% setup
import random
import statistics

import matplotlib.pyplot as plt
from sacrebleu import corpus_chrf

from llm_tutorial.data.messages import messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.lora.translation import (
    Reader,
    TranslationMemory,
    load_translator,
    score,
)
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results, weights

use_style()
training, test = messages("train"), messages("test")
seen = {key_of(message.english) for message in training}
assert not any(key_of(message.english) in seen for message in test)
runs = results("lora", "translation")["metrics"]
lora = results("lora", "translation_lora")
long = results("lora", "translation_long")["metrics"]["long"]
for english in ("undo", "live"):
    print([(m.chinese, m.catalogue) for m in test if m.english.lower() == english])

# %% setup_values values
print(f"training_messages = {len(training)}")
print(f"test_messages = {len(test)}")

# %% memory
memory = TranslationMemory(training)
nearest = memory.nearest(test)
remembered = dict(zip(test, memory.translate(test), strict=True))
shown = ("Left-aligned", "Save file", "invalid numfig_format: %s (%r)")
for message, near in zip(test, nearest, strict=True):
    assert key_of(near.english) != key_of(message.english)
    if message.english in shown:
        print(f"{message.english} | {near.english} | {remembered[message]}")

# %% memory_values values
for name, value in score(remembered).items():
    print(f"memory_{name} = {value if name in ('chrf', 'bleu') else 100 * value:.1f}")

# %% row
reader = Reader(training)  # its subwords come from the training split, too
reader.nearest = dict(zip(test, nearest, strict=True))  # known already
rows = reader.held_out(test)
asked = [(row, a) for row in rows for a in row.asked]
row, a = next(each for each in asked if each[1].message.english == "Left-aligned")
part = row.input_ids[a.near - 31 : a.end + 24]
print(reader.tokenizer.decode(part, skip_special_tokens=False))
print(f"tokens_in_a_row = {statistics.mean(len(row.input_ids) for row in rows):.0f}")
print(f"asked_in_a_row = {statistics.mean(len(row.asked) for row in rows):.0f}")

# %% compared
kinds = ("dense", "sparse", "window", "alone")
tests = {}
for kind in kinds:
    names = [name for name in runs if name.startswith(f"{kind}, seed")]
    tests[kind] = [runs[name] for name in names]
tests["memory"] = [runs["memory"]]
sample = test[::8]  # whose translations the manifest keeps


def copied(run: dict) -> float:
    """How much of the sample is the memory's, to the letter."""
    pairs = zip(run["sample"], runs["memory"]["sample"], strict=True)
    return statistics.mean(text.strip() == near.strip() for text, near in pairs)


def last_loss(run: dict) -> float:
    """Mean of the last 50 steps; the memory has none."""
    if "curve" not in run:
        return float("nan")
    return statistics.mean(loss for _, _, loss in run["curve"][-5:])


head = f"{'':8}{'chrF':>6}{'BLEU':>6}{'exact':>7}{'placeholders':>14}{'copied':>8}"
print(f"{head}{'loss':>6}   chrF of the seeds")
metrics = ("chrf", "bleu", "exact", "placeholders")
for kind, same in tests.items():
    means = [statistics.mean(run[metric] for run in same) for metric in metrics]
    row = "{:6.1f}{:6.1f}{:7.1%}{:14.0%}".format(*means)
    row += f"{statistics.mean(map(copied, same)):8.0%}"
    row += f"{statistics.mean(map(last_loss, same)):6.2f}  ".replace("nan", "  –")
    seeds = sorted(run["chrf"] for run in same)
    print(f"{kind:8}{row}", *(f"{value:.1f}" for value in seeds))
start = "The configuration for all raw"
place = [message.english.startswith(start) for message in sample].index(True)
for kind in ("memory", "sparse"):
    print(f"{kind:8}{tests[kind][0]['sample'][place]}")
encoders = [run for kind in ("dense", "sparse", "window") for run in tests[kind]]
assert max(run["chrf"] for run in encoders) < runs["memory"]["chrf"]

# %% loss
figure, (by_step, by_time) = panels(2)
for kind in kinds:
    step, seconds, loss = zip(*runs[f"{kind}, seed 0"]["curve"], strict=True)
    by_step.plot(step, loss, label=kind, markevery=3)
    whole = runs["sparse, seed 0"]["curve"][-1][1]
    by_time.plot([second / whole for second in seconds], loss, markevery=3)
by_step.set(xlabel="step", ylabel="loss")
by_time.set(xlabel="time / sparse", ylabel="loss")
legend(figure)
plt.show()

# %% context
print(f"{'':14}{'loss':>6}{'chrF':>6}{'source order':>14}")
swept = {}
names = ("sparse", "no catalogue", "no memory", "alone", "512 tokens", "128 entities")
for name in names:
    run = runs[f"{name}, seed 0"]
    chrf, in_order = run["chrf"], run["source order"]["chrf"]
    swept[name] = last_loss(run)
    print(f"{name:14}{swept[name]:6.2f}{chrf:6.1f}{in_order:14.1f}")
assert swept["sparse"] < swept["no catalogue"] < swept["no memory"] < swept["alone"]

# %% quoted values
seeds = [[run["chrf"] for run in tests[kind]] for kind in ("dense", "sparse", "window")]
means = [statistics.mean(each) for each in seeds]
gap_of_kinds = max(means) - min(means)
gap_of_seeds = max(max(each) - min(each) for each in seeds)
assert gap_of_kinds < gap_of_seeds  # nobody wins among the encoders
print(f"lowest_chrf = {min(run['chrf'] for run in encoders):.1f}")
print(f"highest_chrf = {max(run['chrf'] for run in encoders):.1f}")
print(f"lowest_copied = {100 * min(map(copied, encoders)):.0f}")
length = {True: [], False: []}  # of what was to be copied, by whether it was
for run in encoders:
    for text, near in zip(run["sample"], runs["memory"]["sample"], strict=True):
        length[text.strip() == near.strip()].append(len(near))
ratio = statistics.mean(length[False]) / statistics.mean(length[True])
print(f"miscopied_length = {ratio:.1f}")
print(f"gap_of_kinds = {gap_of_kinds:.1f}")
print(f"gap_of_seeds = {gap_of_seeds:.1f}")
time = {}
for kind in kinds:
    time[kind] = statistics.mean(run["curve"][-1][1] for run in tests[kind])
print(f"dense_time = {time['dense'] / time['sparse']:.1f}")  # tolerance 50%
print(f"window_time = {time['window'] / time['sparse']:.1f}")  # tolerance 50%
print(f"memory_worth = {swept['no memory'] - swept['sparse']:.2f}")
print(f"catalogue_worth = {swept['no catalogue'] - swept['sparse']:.2f}")
print(f"catalogue_alone_worth = {swept['alone'] - swept['no memory']:.2f}")
again = [last_loss(run) for run in tests["sparse"]]
gap = max(again) - min(again)
print(f"loss_gap_of_seeds = {gap:.3f}")
for name in ("512 tokens", "128 entities"):
    assert abs(swept[name] - swept["sparse"]) < gap
parameters = {kind: runs[f"{kind}, seed 0"]["parameters"] for kind in kinds}
print(f"parameters = {parameters['dense']}")
print(f"relation_parameters = {parameters['sparse'] - parameters['dense']}")

# %% language_model
answered = {"memory": runs["memory"], "sparse": runs["sparse, seed 0"]}
answered |= lora["metrics"]
found = {}
print(f"{'':18}{'chrF':>6}{'BLEU':>6}{'exact':>7}{'placeholders':>14}{'copied':>8}")
for name, run in answered.items():
    found[name] = score(dict(zip(sample, run["sample"], strict=True)))
    values = [found[name][metric] for metric in metrics]
    row = "{:6.1f}{:6.1f}{:7.1%}{:14.0%}".format(*values)
    print(f"{name:18}{row}{copied(run):8.0%}")


# %% resampled
def resampled_chrf(name: str, places: list[int]) -> float:
    translations = [answered[name]["sample"][i] for i in places]
    references = [[sample[i].chinese for i in places]]
    return corpus_chrf(translations, references).score


draw = random.Random(0)
drawn = [draw.choices(range(len(sample)), k=len(sample)) for _ in range(200)]
names = ("LoRA, memory", "memory", "sparse")
resampled = {name: [resampled_chrf(name, each) for each in drawn] for name in names}

# %% resampled_values values
# what the adapter that sees the memory's pair gains over another system
for other in ("memory", "sparse"):
    both = zip(resampled["LoRA, memory"], resampled[other], strict=True)
    low, *_, high = sorted(a - b for a, b in both)[5:-5]
    print(f"over_{other}_low = {low:.1f}")
    print(f"over_{other}_high = {high:.1f}")
print(f"sampled_messages = {len(sample)}")
print(f"tokens_per_character = {lora['tokens_per_character']:.1f}")
for kind in ("alone", "memory"):
    print(f"lora_{kind}_messages = {16 * lora['metrics'][f'LoRA, {kind}']['steps']}")
    result = found[f"LoRA, {kind}"]
    print(f"lora_{kind}_placeholders = {100 * result['placeholders']:.0f}")
    print(f"lora_{kind}_chrf = {result['chrf']:.1f}")
    print(f"untrained_{kind}_chrf = {found[f'untrained, {kind}']['chrf']:.1f}")
print(f"sampled_memory_placeholders = {100 * found['memory']['placeholders']:.0f}")
print(f"sampled_memory_chrf = {found['memory']['chrf']:.1f}")
print(f"lora_copied = {100 * copied(answered['LoRA, memory']):.0f}")

# %% live differs="the likeliest token near a tie"
model, tokenizer = load_translator(weights("lora", "translation_long"))
assert tokenizer.to_str() == reader.tokenizer.to_str()


def one_word_apart(english: str, other: str) -> bool:
    """Whether two messages of three words or more differ in one."""
    words, others = english.lower().split(), other.lower().split()
    if not len(words) == len(others) > 2:
        return False
    return sum(a != b for a, b in zip(words, others, strict=True)) == 1


both = zip(test, nearest, strict=True)
close = {m for m, near in both if one_word_apart(m.english, near.english)}
wanted = []
for row in rows:
    if asked := [a for a in row.asked if a.message in close]:
        wanted.append(row._replace(asked=asked))
translations = model.translate(wanted, tokenizer)
written = {}
for name in ("memory", "LoRA, memory"):
    written[name] = dict(zip(sample, answered[name]["sample"], strict=True))
for message in [message for message in sample if message in close][8:14]:
    print(f"{message.english}\n  {'people':14}{message.chinese}")
    for name in ("memory", "LoRA, memory"):
        print(f"  {name:14}{written[name][message]}")
    print(f"  {'long':14}{translations[message]}")
kept = dict(zip(sample, long["sample"], strict=True))
same = [text == kept[m] for m, text in translations.items() if m in kept]
assert statistics.mean(same) >= 0.8  # the manifest's, from weights of full precision

# %% long_quoted values
print(f"long_steps = {results('lora', 'translation_long')['steps']}")
print(f"long_chrf = {long['chrf']:.1f}")
print(f"long_placeholders = {100 * long['placeholders']:.0f}")
print(f"long_sampled_chrf = {long['sampled']['chrf']:.1f}")
print(f"long_copied = {100 * copied(long):.0f}")
print(f"close_messages = {len(translations)}")
ours = [text.strip() for text in translations.values()]
copies = [remembered[message].strip() for message in translations]
people = [message.chinese.strip() for message in translations]


def equal(texts: list[str], others: list[str]) -> float:
    return 100 * statistics.mean(a == b for a, b in zip(texts, others, strict=True))


print(f"close_copied = {equal(ours, copies):.0f}")  # tolerance 10%
print(f"memory_exact_on_close = {equal(copies, people):.0f}")
print(f"close_exact = {equal(ours, people):.0f}")  # tolerance 20%
