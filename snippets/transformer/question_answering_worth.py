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
    predict,
    scores,
    threshold_curve,
)
from llm_tutorial.transformer.question_data import question_examples, written_examples

use_style()
logging.set_verbosity_error()

# %% examples
examples = question_examples("test", 260)
trained_on = {example.group for example in question_examples("train", 4800)}
assert not trained_on & {example.group for example in examples}
for example in (examples[18], examples[27], examples[23]):
    print(example.question, "|", example.answer or "(no answer)")
    print(example.context, "\n")

# %% methods
comparison = results("transformer", "question_answering")
runs = comparison["metrics"]
lexical = [runs["BM25, line"], runs["BM25, clause"]]
methods = {
    "MiniLM": by_seed(comparison, "MiniLM"),
    "from scratch": by_seed(comparison, "from scratch"),
    "BM25": [max(lexical, key=lambda run: run["sets"]["validation"]["f1"])],
}
sets = {"seen wordings": "seen", "new wordings": "new", "written": "written"}
columns = [f"{name}: {score}" for name in sets.values() for score in ("EM", "F1")]
rows = {
    method: [
        over_seeds([run["sets"][name][score] for run in found])
        for name in sets
        for score in ("em", "f1")
    ]
    for method, found in methods.items()
}
table(rows, ["", *columns]).show()

# %% parts
columns = [f"{name}: {part}" for name in ("templates", "written")
           for part in ("F1 if answerable", "refused if not")]  # fmt: skip
rows = {
    method: [
        over_seeds([where(run)[part] for run in found])
        for where in (lambda run: run["test"], lambda run: run["sets"]["written"])
        for part in ("answerable", "refused")
    ]
    for method, found in methods.items()
}
table(rows, ["", *columns]).show()

# %% kinds
names = list(methods["MiniLM"][0]["kinds"])
shown = [*names[:10], "currency, Chinese", "language, Chinese", "week, Chinese"]
series = {
    method: [[run["kinds"][kind] for run in found] for kind in names]
    for method, found in methods.items()
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

recorded = results("transformer", "question_reader")["metrics"]["LoRA, seed 0"]
validation = question_examples("validation", 130)
said = predict(reader, tokenizer, validation)
threshold = best_threshold(said, validation)
f1 = scores(said, validation, threshold)["f1"]
assert abs(f1 - recorded["sets"]["validation"]["f1"]) < 2  # as when it was trained

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
written = written_examples()
print(f"written_questions = {len(written)}")
print(f"written_unanswerable = {sum(not each.answer for each in written)}")
print(f"steps = {comparison['steps']}")
print(f"batch = {comparison['batch']}")
print(f"examples_seen = {comparison['steps'] * comparison['batch']}")
no_answer = sum(not each.answer for each in examples)
print(f"refuse_all = {100 * no_answer / len(examples):.0f}")
print(f"refuse_all_written = {100 * sum(not each.answer for each in written) / 77:.0f}")
reader_run = results("transformer", "question_reader")
print(f"reader_steps = {reader_run['steps']}")
print(f"reader_examples = {reader_run['steps'] * reader_run['batch']}")
for who, run in (
    ("reader", recorded),
    ("long_scratch", reader_run["metrics"]["from scratch, seed 0"]),
):
    for name in ("test", "written"):
        for part in ("f1", "answerable", "refused"):
            print(f"{who}_{name}_{part} = {run['sets'][name][part]:.1f}")
for method, found in methods.items():
    name = method.lower().replace(" ", "_")
    for part in ("f1", "answerable", "refused"):
        mean = sum(run["test"][part] for run in found) / len(found)
        print(f"{name}_test_{part} = {mean:.1f}")
    for part in ("f1", "answerable", "refused"):
        mean = sum(run["sets"]["written"][part] for run in found) / len(found)
        print(f"{name}_written_{part} = {mean:.1f}")
    if "rate" in found[0]:
        print(f"{name}_rate = {found[0]['rate']}")
        print(f"{name}_trained = {found[0]['trained'] / 1e6:.1f}")
print(f"validation_questions = {len(validation)}")
print(f"threshold = {threshold:.1f}")  # tolerance 20%
print(f"f1_at_threshold = {f1:.1f}")  # tolerance 5%
f1_at_zero = scores(said, validation, 0.0)["f1"]
print(f"f1_at_zero = {f1_at_zero:.1f}")  # tolerance 5%
tuned = sum(", rate " in run for run in runs) * 60
steps = tuned + 6 * comparison["steps"] + 2 * reader_run["steps"]
print(f"all_steps = {steps}")
