# %% setup
import random
import statistics

import matplotlib.pyplot as plt
from sacrebleu import corpus_chrf

from llm_tutorial.data.messages import messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.lora.translation import Reader, TranslationMemory, load_translator, score
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results, weights

use_style()
training, test = messages("train"), messages("test")
assert not {key_of(message.english) for message in training} & {key_of(message.english) for message in test}
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
for message, near in zip(test, nearest, strict=True):
    if message.english in ("Left-aligned", "Save file", "invalid numfig_format: %s (%r)"):
        print(f"{message.english} | {near.english} | {remembered[message]}")
assert all(key_of(near.english) != key_of(message.english) for message, near in zip(test, nearest, strict=True))

# %% memory_values values
for name, value in score(remembered).items():
    print(f"memory_{name} = {value if name in ('chrf', 'bleu') else 100 * value:.1f}")

# %% row
reader = Reader(training)  # its subwords come from the training split, too
reader.nearest = dict(zip(test, nearest, strict=True))  # known already
rows = reader.held_out(test)
row, asked = next((row, a) for row in rows for a in row.asked if a.message.english == "Left-aligned")
print(reader.tokenizer.decode(row.input_ids[asked.near - 31 : asked.end + 24], skip_special_tokens=False))
print(f"tokens_in_a_row = {statistics.mean(len(row.input_ids) for row in rows):.0f}")
print(f"asked_in_a_row = {statistics.mean(len(row.asked) for row in rows):.0f}")

# %% compared
kinds = ("dense", "sparse", "window", "alone")
tests = {kind: [run for name, run in runs.items() if name.startswith(f"{kind}, seed")] for kind in kinds}
tests["memory"] = [runs["memory"]]
sample = test[::8]  # whose translations the manifest keeps


def copied(run: dict) -> float:
    """How much of the sample is the memory's, to the letter."""
    pairs = zip(run["sample"], runs["memory"]["sample"], strict=True)
    return statistics.mean(text.strip() == near.strip() for text, near in pairs)


def last_loss(run: dict) -> float:
    """Mean of the last 50 steps; the memory has none."""
    return statistics.mean(loss for _, _, loss in run["curve"][-5:]) if "curve" in run else float("nan")


print(f"{'':8}{'chrF':>6}{'BLEU':>6}{'exact':>7}{'placeholders':>14}{'copied':>8}{'loss':>6}   chrF of the seeds")
for kind, same in tests.items():
    chrf, bleu, exact, kept = (
        statistics.mean(run[metric] for run in same) for metric in ("chrf", "bleu", "exact", "placeholders")
    )
    rest = f"{statistics.mean(map(copied, same)):8.0%}{statistics.mean(map(last_loss, same)):6.2f}  "
    seeds = sorted(run["chrf"] for run in same)
    print(
        f"{kind:8}{chrf:6.1f}{bleu:6.1f}{exact:7.1%}{kept:14.0%}{rest}".replace("nan", "  –"),
        *(f"{value:.1f}" for value in seeds),
    )
place = next(i for i, message in enumerate(sample) if message.english.startswith("The configuration for all raw"))
for kind in ("memory", "sparse"):
    print(f"{kind:8}{tests[kind][0]['sample'][place]}")
encoders = [run for kind in ("dense", "sparse", "window") for run in tests[kind]]
assert max(run["chrf"] for run in encoders) < runs["memory"]["chrf"]

# %% loss
figure, (by_step, by_time) = panels(2)
for kind in kinds:
    step, seconds, loss = zip(*runs[f"{kind}, seed 0"]["curve"], strict=True)
    by_step.plot(step, loss, label=kind, markevery=3)
    by_time.plot([second / runs["sparse, seed 0"]["curve"][-1][1] for second in seconds], loss, markevery=3)
by_step.set(xlabel="step", ylabel="loss")
by_time.set(xlabel="time / sparse", ylabel="loss")
legend(figure)
plt.show()

# %% context
print(f"{'':14}{'loss':>6}{'chrF':>6}{'source order':>14}")
for name in ("sparse", "no catalogue", "no memory", "alone", "512 tokens", "128 entities"):
    run = runs[f"{name}, seed 0"]
    print(f"{name:14}{last_loss(run):6.2f}{run['chrf']:6.1f}{run['source order']['chrf']:14.1f}")
swept = {name: last_loss(runs[f"{name}, seed 0"]) for name in ("sparse", "no catalogue", "no memory", "alone")}
assert swept["sparse"] < swept["no catalogue"] < swept["no memory"] < swept["alone"]

# %% quoted values
seeds = {kind: [run["chrf"] for run in tests[kind]] for kind in ("dense", "sparse", "window")}
means = [statistics.mean(each) for each in seeds.values()]
gap_of_kinds, gap_of_seeds = max(means) - min(means), max(max(each) - min(each) for each in seeds.values())
assert gap_of_kinds < gap_of_seeds  # nobody wins among the encoders
print(f"lowest_chrf = {min(run['chrf'] for run in encoders):.1f}")
print(f"highest_chrf = {max(run['chrf'] for run in encoders):.1f}")
print(f"lowest_copied = {100 * min(map(copied, encoders)):.0f}")
length = {True: [], False: []}  # of what was to be copied, by whether it was
for run in encoders:
    for text, near in zip(run["sample"], runs["memory"]["sample"], strict=True):
        length[text.strip() == near.strip()].append(len(near))
print(f"miscopied_length = {statistics.mean(length[False]) / statistics.mean(length[True]):.1f}")
print(f"gap_of_kinds = {gap_of_kinds:.1f}")
print(f"gap_of_seeds = {gap_of_seeds:.1f}")
time = {kind: statistics.mean(run["curve"][-1][1] for run in tests[kind]) for kind in kinds}
print(f"dense_time = {time['dense'] / time['sparse']:.1f}")  # tolerance 50%
print(f"window_time = {time['window'] / time['sparse']:.1f}")  # tolerance 50%
print(f"memory_worth = {swept['no memory'] - swept['sparse']:.2f}")
print(f"catalogue_worth = {swept['no catalogue'] - swept['sparse']:.2f}")
print(f"catalogue_alone_worth = {swept['alone'] - swept['no memory']:.2f}")
again = [last_loss(run) for run in tests["sparse"]]
print(f"loss_gap_of_seeds = {max(again) - min(again):.3f}")
for name in ("512 tokens", "128 entities"):
    assert abs(last_loss(runs[f"{name}, seed 0"]) - swept["sparse"]) < max(again) - min(again)
parameters = {kind: runs[f"{kind}, seed 0"]["parameters"] for kind in kinds}
print(f"parameters = {parameters['dense']}")
print(f"relation_parameters = {parameters['sparse'] - parameters['dense']}")

# %% language_model
answered = {"memory": runs["memory"], "sparse": runs["sparse, seed 0"], **lora["metrics"]}
found = {name: score(dict(zip(sample, run["sample"], strict=True))) for name, run in answered.items()}
print(f"{'':18}{'chrF':>6}{'BLEU':>6}{'exact':>7}{'placeholders':>14}{'copied':>8}")
for name, result in found.items():
    shares = f"{result['exact']:7.1%}{result['placeholders']:14.0%}{copied(answered[name]):8.0%}"
    print(f"{name:18}{result['chrf']:6.1f}{result['bleu']:6.1f}{shares}")


# %% resampled
def resampled_chrf(name: str, places: list[int]) -> float:
    return corpus_chrf([answered[name]["sample"][i] for i in places], [[sample[i].chinese for i in places]]).score


draw = random.Random(0)
drawn = [draw.choices(range(len(sample)), k=len(sample)) for _ in range(200)]
resampled = {name: [resampled_chrf(name, places) for places in drawn] for name in ("LoRA, memory", "memory", "sparse")}

# %% resampled_values values
for other in ("memory", "sparse"):  # what the adapter that sees the memory's pair gains over another system
    gains = sorted(a - b for a, b in zip(resampled["LoRA, memory"], resampled[other], strict=True))
    low, *_, high = gains[5:-5]
    print(f"over_{other}_low = {low:.1f}")
    print(f"over_{other}_high = {high:.1f}")
print(f"sampled_messages = {len(sample)}")
print(f"tokens_per_character = {lora['tokens_per_character']:.1f}")
for kind in ("alone", "memory"):
    print(f"lora_{kind}_messages = {16 * lora['metrics'][f'LoRA, {kind}']['steps']}")
    print(f"lora_{kind}_placeholders = {100 * found[f'LoRA, {kind}']['placeholders']:.0f}")
    print(f"lora_{kind}_chrf = {found[f'LoRA, {kind}']['chrf']:.1f}")
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
    return len(words) == len(others) > 2 and sum(a != b for a, b in zip(words, others, strict=True)) == 1


close = {m for m, near in zip(test, nearest, strict=True) if one_word_apart(m.english, near.english)}
wanted = [row._replace(asked=[a for a in row.asked if a.message in close]) for row in rows]
translations = model.translate([row for row in wanted if row.asked], tokenizer)
written = {name: dict(zip(sample, run["sample"], strict=True)) for name, run in (answered | {"long": long}).items()}
for message in [message for message in sample if message in close][8:14]:
    print(f"{message.english}\n  {'people':14}{message.chinese}")
    for name in ("memory", "LoRA, memory"):
        print(f"  {name:14}{written[name][message]}")
    print(f"  {'long':14}{translations[message]}")
same = [written["long"][message] == text for message, text in translations.items() if message in written["long"]]
assert statistics.mean(same) >= 0.8  # the manifest's, from weights of full precision

# %% long_quoted values
print(f"long_steps = {results('lora', 'translation_long')['steps']}")
print(f"long_chrf = {long['chrf']:.1f}")
print(f"long_placeholders = {100 * long['placeholders']:.0f}")
print(f"long_sampled_chrf = {long['sampled']['chrf']:.1f}")
print(f"long_copied = {100 * copied(long):.0f}")
print(f"close_messages = {len(translations)}")
as_before = [text.strip() == remembered[message].strip() for message, text in translations.items()]
print(f"close_copied = {100 * statistics.mean(as_before):.0f}")  # tolerance 10%
exact = [text.strip() == message.chinese.strip() for message, text in translations.items()]
exact_copies = [remembered[message].strip() == message.chinese.strip() for message in translations]
print(f"memory_exact_on_close = {100 * statistics.mean(exact_copies):.0f}")
print(f"close_exact = {100 * statistics.mean(exact):.0f}")  # tolerance 20%
