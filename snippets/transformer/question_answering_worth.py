# %% setup
import matplotlib.pyplot as plt
from peft import PeftModel
from transformers import AutoModelForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.plotting import COLOURS, bars, legend, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.question_answering import (
    best_threshold,
    interval,
    predict,
    scores,
    threshold_curve,
    windows,
)
from llm_tutorial.transformer.question_data import (
    FACTS,
    answer_line,
    question_examples,
    written_examples,
)

use_style()
logging.set_verbosity_error()

# %% examples
test, written = question_examples("test", 260), written_examples()
training = question_examples("train", 4800)
assert not {each.group for each in training} & {each.group for each in test}
lines = {line for each in training for line in each.context.split("\n")}
assert not any(each.answer and answer_line(each) in lines for each in test)
for example in (test[18], test[27], test[23]):
    print(example.question, "|", example.answer or "(no answer)")
    print(example.context, "\n")

# %% methods
comparison = results("transformer", "question_answering")
reader_run = results("transformer", "question_reader")
lexical = [comparison["metrics"][f"BM25, {part}"] for part in ("line", "clause")]
methods = {
    "the reader": by_seed(reader_run, "LoRA"),
    "MiniLM": by_seed(comparison, "MiniLM"),
    "from scratch": by_seed(comparison, "from scratch"),
    "BM25": [max(lexical, key=lambda run: run["sets"]["validation"]["f1"])],
}


def refusing(examples):
    share = 100 * sum(not example.answer for example in examples) / len(examples)
    return {"em": share, "f1": share, "answerable": 0.0, "refused": 100.0}


seen, new = ([each for each in test if each.new_wording == is_new] for is_new in (0, 1))
sets = {"seen wordings": seen, "new wordings": new, "written": written}
columns = [f"{name}: {score}" for name in ("seen", "new", "written")
           for score in ("EM", "F1")]  # fmt: skip
rows = {
    method: [
        over_seeds([run["sets"][name][score] for run in found])
        for name in sets
        for score in ("em", "f1")
    ]
    for method, found in methods.items()
}
rows["refuse all"] = [
    f"{refusing(part)[score]:.1f}" for part in sets.values() for score in ("em", "f1")
]
table(rows, ["", *columns]).show()

# %% differences
each = {
    name: {
        method: [sum(values) / len(found) for values in
                 zip(*(run["each"][name] for run in found), strict=True)]
        for method, found in methods.items()
    } | {"refuse all": [float(not example.answer) for example in examples]}
    for name, examples in (("test", test), ("written", written))
}  # fmt: skip
groups = {
    name: [example.group for example in examples]
    for name, examples in (("test", test), ("written", written))
}
pairs = [
    ("the reader", "BM25"), ("the reader", "refuse all"),
    ("MiniLM", "from scratch"), ("MiniLM", "BM25"), ("MiniLM", "refuse all"),
    ("from scratch", "refuse all"), ("BM25", "refuse all"),
]  # fmt: skip
differences = {
    (one, other, name): interval(
        [100 * (a - b) for a, b in zip(part[one], part[other], strict=True)],
        groups[name],
    )
    for one, other in pairs
    for name, part in each.items()
}
rows = {
    f"{one} − {other}": [
        "{:+.1f} [{:+.1f}, {:+.1f}]".format(*differences[one, other, name])
        for name in each
    ]
    for one, other in pairs
}
table(rows, ["F1, points", "templates", "written"]).show()

# %% parts
columns = [f"{name}: {part}" for name in ("templates", "written")
           for part in ("F1 if answerable", "refused if not")]  # fmt: skip
rows = {
    method: [
        over_seeds([run["sets"][name][part] for run in found])
        for name in ("test", "written")
        for part in ("answerable", "refused")
    ]
    for method, found in methods.items()
}
table(rows, ["", *columns]).show()

# %% kinds
names = list(methods["MiniLM"][0]["kinds"])
shown = [*names[:10], "currency, Chinese", "language, Chinese", "week, Chinese"]
series = {
    method: [[run["kinds"][kind] for run in methods[method]] for kind in names]
    for method in ("the reader", "MiniLM", "BM25")
}
figure, (axes,) = panels(1)
bars(axes, shown, series)
axes.set(xlabel="F1 in %", xlim=(0, 100))
plt.show()

# %% live
tokenizer = load_tokenizer("minilm")
base = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm"))
trained = PeftModel.from_pretrained(base, weights("transformer", "question_reader"))
reader = trained.merge_and_unload().eval()

recorded = methods["the reader"][0]  # seed 0
validation = question_examples("validation", 260)
said = predict(reader, tokenizer, validation)
threshold = best_threshold(said, validation)
f1 = scores(said, validation, threshold)["f1"]
assert abs(f1 - recorded["sets"]["validation"]["f1"]) < 1  # as when it was trained

# %% threshold
curve = threshold_curve(said, validation)
parts = {"answerable": [], "unanswerable": []}
for prediction, example in zip(said, validation, strict=True):
    parts["answerable" if example.answer else "unanswerable"].append(
        prediction.no_answer
    )
figure, (left, right) = panels(2)
left.hist(list(parts.values()), bins=16, label=list(parts), color=COLOURS[:2])
left.set(xlabel="Δ", ylabel="questions")
legend(left)
right.plot(*zip(*curve, strict=True), marker="")
right.axvline(threshold, color=COLOURS[1], linestyle="--", marker="")
right.set(xlabel="threshold τ", ylabel="F1 in %")
plt.show()

# %% numbers values
print(f"written_questions = {len(written)}")
print(f"written_unanswerable = {sum(not each.answer for each in written)}")
print(f"written_windows = {len(windows(tokenizer, written)) / len(written):.1f}")
asked = {"train": training, "validation": validation, "test": test, "written": written}
for name, examples in asked.items():
    print(f"refuse_{name} = {refusing(examples)['f1']:.0f}")
none = [example for example in test if not example.answer]
facts = sum(example.kind in FACTS for example in none)
print(f"none_about_territories = {100 * facts / len(none):.0f}")
print(f"groups_test = {len({*groups['test']})}")
print(f"groups_written = {len({*groups['written']})}")
lengths = sorted(len(cut.input_ids) for cut in windows(tokenizer, training[:1000]))
print(f"median_input = {lengths[len(lengths) // 2]}")
print(f"steps = {comparison['steps']}")
print(f"batch = {comparison['batch']}")
print(f"examples_seen = {comparison['steps'] * comparison['batch']}")
print(f"reader_steps = {reader_run['steps']}")
print(f"reader_examples = {reader_run['steps'] * reader_run['batch']}")
for method, found in methods.items():
    name = method.lower().replace(" ", "_")
    for part in ("f1", "answerable", "refused"):
        for key in ("test", "written"):
            mean = sum(run["sets"][key][part] for run in found) / len(found)
            print(f"{name}_{key}_{part} = {mean:.1f}")
    if "rate" in found[0]:
        print(f"{name}_rate = {found[0]['rate']}")
        print(f"{name}_trained = {found[0]['trained'] / 1e6:.1f}")
for (one, other, name), values in differences.items():
    key = f"{one} less {other} {name}".lower().replace(" ", "_")
    for part, value in zip(("mean", "low", "high"), values, strict=True):
        print(f"{key}_{part} = {value:.1f}")
for part in ("seen wordings", "new wordings"):
    print(f"reader_{part.replace(' ', '_')} = {recorded['sets'][part]['f1']:.0f}")
tuned = {
    method: {
        run.rpartition(" ")[2]: found["validation_loss"]
        for run, found in comparison["metrics"].items()
        if run.startswith(f"{method}, rate")
    }
    for method in ("MiniLM", "from scratch")
}
for method, found in tuned.items():
    name, best = method.lower().replace(" ", "_"), min(found, key=found.get)
    assert best not in (min(found, key=float), max(found, key=float))  # the ends lose
    print(f"{name}_rates = {len(found)}")
print(f"validation_questions = {len(validation)}")
print(f"threshold = {threshold:.1f}")  # tolerance 20%
print(f"longer_threshold = {recorded['thresholds']['longer']:.1f}")
print(f"f1_at_threshold = {f1:.1f}")  # tolerance 5%
f1_at_zero = scores(said, validation, 0.0)["f1"]
print(f"f1_at_zero = {f1_at_zero:.1f}")  # tolerance 5%
rates = sum(len(found) for found in tuned.values())
print(f"all_steps = {(rates + 6) * comparison['steps'] + reader_run['steps']}")
