# %% setup
import math
import tempfile

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, RandomSampler
from transformers import (
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    get_scheduler,
    pipeline,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from llm_tutorial.data.documentation import LIBRARIES
from llm_tutorial.diagrams import Diagram
from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_tokenizer
from llm_tutorial.plotting import (
    COLOURS,
    heatmap,
    label_lines,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.checkpoints import small_trainer
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    losses,
    minilm_classifier,
)

use_style()

# %% picture
diagram = Diagram(width=24, height=16.6)
data = diagram.box(5.5, 14.6, ["examples"], width=8)
sampler = diagram.box(5.5, 11.6, ["sampler", "order from the seed"], width=10)
collator = diagram.box(5.5, 7.6, ["collator", "pads to the longest"], width=10)
forward = diagram.box(18, 14.6, ["forward pass, loss"], 10.5, colour=COLOURS[0])
backward = diagram.box(
    18, 11.6, ["backward pass", "gradients add up"], 10.5, colour=COLOURS[0]
)
clip = diagram.box(18, 8.4, ["clip the norm to 1"], 10.5, colour=COLOURS[1])
step = diagram.box(18, 5.8, ["AdamW step"], 10.5, colour=COLOURS[1])
rate = diagram.box(18, 3.2, ["schedule: next rate"], 10.5, colour=COLOURS[1])
now = diagram.box(
    5.5, 2.4, ["now and then:", "log, evaluate, save"], 10, colour=COLOURS[2]
)
diagram.arrow(data, sampler)
diagram.arrow(sampler, collator)
diagram.arrow(
    collator.side("right"), forward.side("left"), via=[(11.6, 7.6), (11.6, 14.6)]
)
diagram.arrow(forward, backward)
diagram.arrow(backward, clip)
diagram.arrow(clip, step)
diagram.arrow(step, rate)
diagram.arrow(rate.side("left"), now.side("right"), via=[(11.6, 3.2), (11.6, 2.4)])
diagram.arrow(now, collator, "next batch")

# %% task
tokenizer = load_tokenizer("minilm")
train = library_summaries("train", each=100)
validation = library_summaries("validation", each=60)
test = library_summaries("test", each=135)
assert not {text for text, _ in train} & {text for text, _ in validation + test}
for text, label in train[:6]:
    print(f"{LIBRARIES[label]:8}{text}")

# %% baseline
words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)


def logistic(strength, train):
    regression = LogisticRegression(C=strength, max_iter=1000)
    classifier = make_pipeline(make_union(words, letters), regression)
    return classifier.fit(*zip(*train, strict=True))


strengths = (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100)
pairs = list(zip(*validation, strict=True))  # texts, labels
tuned = {C: logistic(C, train).score(*pairs) for C in strengths}
best_strength = max(tuned, key=tuned.get)
baseline = logistic(best_strength, train).score(*zip(*test, strict=True))
print({C: f"{accuracy:.3f}" for C, accuracy in tuned.items()})
print(f"TF-IDF and logistic regression, test: {baseline:.3f}; guessing: 0.250")


# %% trainer
def accuracy(prediction):  # logits (n, 4) and labels (n,), of the whole evaluation
    logits, labels = prediction
    return {"accuracy": np.mean(logits.argmax(-1) == labels)}


folder = tempfile.mkdtemp()
few = encoded(tokenizer, train[:60])  # dicts of input_ids, attention_mask, labels
trainer = Trainer(
    model=minilm_classifier(seed=0),
    args=TrainingArguments(
        output_dir=folder,
        num_train_epochs=2,
        per_device_train_batch_size=16,
        learning_rate=1e-4,
        warmup_steps=0.1,  # below 1: a share of all steps
        weight_decay=0.01,
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,  # of use with a GPU
    ),
    train_dataset=few,
    eval_dataset=encoded(tokenizer, validation[:48]),
    processing_class=tokenizer,  # pads, and is saved with the model
    compute_metrics=accuracy,
)
trainer.remove_callback(PrinterCallback)  # the log is drawn instead of printed
trainer.train()
print("losses:", *(f"{loss:.3f}" for loss in losses(trainer)))
print(f"right on validation: {trainer.evaluate()['eval_accuracy']:.3f}")
trainer.save_model(f"{folder}/model")
classify = pipeline("text-classification", f"{folder}/model")
print(classify("Fit the model to the training data."))


# %% trainer_values values
print(f"parameters = {trainer.model.num_parameters() / 1e6:.1f}")


# %% loop
def fine_tune(model, examples, rate, epochs, batch_size=16, warmup=0.1, seed=42):
    set_seed(seed)
    collate = DataCollatorWithPadding(tokenizer)
    order = torch.Generator()
    sampler = RandomSampler(examples, generator=order)
    batches = DataLoader(examples, batch_size, sampler=sampler, collate_fn=collate)
    steps = epochs * len(batches)
    warm = math.ceil(warmup * steps)

    groups = [{"params": [], "weight_decay": decay} for decay in (0.01, 0.0)]
    for name, parameter in model.named_parameters():
        spared = "bias" in name or "LayerNorm" in name
        groups[spared]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
    schedule = LambdaLR(
        optimizer,
        lambda step: step / warm if step < warm else (steps - step) / (steps - warm),
    )
    history = []
    model.train()
    for epoch in range(epochs):
        order.manual_seed(seed + epoch)
        for batch in batches:
            loss = model(**batch.to(model.device)).loss  # mean over the batch
            loss.backward()
            clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            history.append(loss.item())
    return history


# %% equal
ours = fine_tune(minilm_classifier(seed=0), few, rate=1e-4, epochs=2)
gap = np.abs(np.subtract(ours, losses(trainer))).max()
print(f"{len(ours)} losses, largest difference {gap:.0e}")
assert gap < 1e-5

# %% habits
changes = {
    "seed=1 (42)": {"seed": 1},
    "data_seed=1 (none)": {"data_seed": 1},
    'lr_scheduler_type="constant" ("linear")': {"lr_scheduler_type": "constant"},
    "warmup_steps=0 (0.1)": {"warmup_steps": 0},
    "label_smoothing_factor=0.1 (0)": {"label_smoothing_factor": 0.1},
    "dataloader_drop_last=True (False)": {"dataloader_drop_last": True},
    "weight_decay=0.1 (0)": {"weight_decay": 0.1},
    "max_grad_norm=0.1 (1)": {"max_grad_norm": 0.1},
    'eval_strategy="epoch" ("no")': {"eval_strategy": "epoch"},
}


def history(**change):
    trainer = small_trainer(
        folder, max_steps=12, learning_rate=1e-2, save_strategy="no", **change
    )
    trainer.train()
    return np.array(losses(trainer))


usual = history()
rows = {}
for name, change in changes.items():
    off = np.abs(history(**change) - usual)
    rows[name] = [int(np.argmax(off > 1e-6)) + 1, off.max()]
table(rows, ["changed (from)", "first at step", "loss off by"], ["d", ".4f"]).show()
assert min(off for _, off in rows.values()) > 1e-5

torch.manual_seed(7)
small_trainer(folder)
assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(42))

# %% habits_values values
norms = [log["grad_norm"] for log in trainer.state.log_history if "loss" in log]
print(f"norm_low = {min(norms):.1f}")  # tolerance 5%
print(f"norm_high = {max(norms):.1f}")  # tolerance 5%

# %% batches
examples = encoded(tokenizer, train)
lengths = np.array([len(example["input_ids"]) for example in examples])
torch.manual_seed(0)
shuffled = torch.randperm(len(lengths)).tolist()
grouped = list(LengthGroupedSampler(16, lengths=lengths.tolist()))


def computed(order, longest=None):  # tokens, padding included
    parts = [lengths[order[start : start + 16]] for start in range(0, 400, 16)]
    return int(sum(len(part) * (longest or part.max()) for part in parts))


padded = {
    "fixed": computed(shuffled, 64),
    "longest": computed(shuffled),
    "grouped": computed(grouped),
}
print("tokens:", lengths.sum(), padded)

# %% batches_drawn
figure, axes = panels(3, height=2.2)
orders = {"fixed": shuffled, "longest": shuffled, "grouped": grouped}
for panel, (name, order) in zip(axes, orders.items(), strict=True):
    part = lengths[order[16:32]]
    width = 64 if name == "fixed" else part.max()
    place = np.arange(64)
    kinds = np.where(place < part[:, None], 2, np.where(place < width, 1, 0))
    heatmap(panel, kinds, colours=(COLOURS[1], COLOURS[0]))
    panel.set(xlabel="token", ylabel="text", title=name, aspect="auto")

# %% schedules_drawn
figure, (axes,) = panels()
for name, kind, warmup in (
    ("linear", "linear", 0.1),
    ("no warm-up", "linear", 0.0),
    ("cosine", "cosine", 0.1),
    ("constant", "constant_with_warmup", 0.1),
):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    arguments = {"num_warmup_steps": int(75 * warmup), "num_training_steps": 75}
    schedule = get_scheduler(kind, optimizer, **arguments)
    rates = []
    for _ in range(75):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    axes.plot(range(75), rates, label=name, marker="")
axes.set(xlabel="step", ylabel="share of the learning rate")
label_lines(axes)

# %% too_long
recorded = results("transformer", "finetune")
curve = np.array(recorded["metrics"]["six epochs, seed 0"]["curve"])
figure, (left, right) = panels(2)
left.plot(curve[:, 0], curve[:, 1])
right.plot(curve[:, 0], 100 * curve[:, 2])
left.set(xlabel="step", ylabel="validation loss")
_ = right.set(xlabel="step", ylabel="right on validation, %")

# %% too_long_values values
print(f"lowest_loss_epoch = {curve[:, 1].argmin() + 1}")
print(f"best_accuracy_epoch = {curve[:, 2].argmax() + 1}")
print(f"loss_low = {curve[:, 1].min():.2f}")
print(f"loss_end = {curve[-1, 1]:.2f}")
print(f"accuracy_then = {100 * curve[curve[:, 1].argmin(), 2]:.1f}")
print(f"accuracy_best = {100 * curve[:, 2].max():.1f}")

# %% result
rates, best = recorded["rates"], f"{recorded['best_rate']:g}"


def found(variant, metric):
    return [100 * each[metric] for each in by_seed(recorded, variant)]


rows = {
    f"MiniLM, rate {rate:g}": [
        over_seeds(found(f"rate {rate:g}", metric)) for metric in ("validation", "test")
    ]
    for rate in rates
}
frozen = recorded["metrics"]["frozen"]
rows["MiniLM frozen, logistic regression"] = [
    f"{100 * frozen[metric]:.1f}" for metric in ("validation", "test")
]
rows["TF-IDF, logistic regression"] = [
    f"{100 * tuned[best_strength]:.1f}",
    f"{100 * baseline:.1f}",
]
rows["guessing"] = ["25.0", "25.0"]
table(rows, ["", "validation, %", "test, %"]).show()

# %% result_values values
mean = {rate: np.mean(found(f"rate {rate:g}", "test")) for rate in rates}
print(f"best_rate = {recorded['best_rate']:g}")
print(f"high_rate = {rates[-1]:g}")
print(f"tuned_test = {mean[recorded['best_rate']]:.1f}")
print(f"tuned_low = {min(found(f'rate {best}', 'test')):.1f}")
print(f"tuned_high = {max(found(f'rate {best}', 'test')):.1f}")
print(f"frozen_test = {100 * frozen['test']:.1f}")
print(f"tfidf_test = {100 * baseline:.1f}")  # tolerance 2%
print(f"one_error = {100 * np.sqrt(0.25 / len(test)):.1f}")
print(f"high_low = {min(found('rate 0.001', 'test')):.0f}")
print(f"high_high = {max(found('rate 0.001', 'test')):.0f}")

# %% curves
figure, (left, right) = panels(2)
for rate in rates:
    runs = [
        np.convolve(each["loss_by_step"], np.ones(5) / 5, "valid")
        for each in by_seed(recorded, f"rate {rate:g}")
    ]
    name = np.format_float_positional(rate)
    spread(left, range(5, 76), runs, name, marker="")
spread(
    right,
    rates,
    list(zip(*[found(f"rate {rate:g}", "validation") for rate in rates], strict=True)),
)
right.set(xscale="log", xlabel="learning rate", ylabel="right on validation, %")
left.set(xlabel="step", ylabel="training loss")
label_lines(left)

# %% schedules_tried
kinds = {"linear, warm-up": "", "no warm-up": "no warm-up, ", "constant": "constant, "}
rows = {
    name: [over_seeds(found(f"{run}rate {rate}", "test")) for rate in (best, "0.001")]
    for name, run in kinds.items()
}
table(rows, ["schedule", f"test %, rate {best}", "test %, rate 0.001"]).show()

# %% schedules_values values
for name, run in (
    ("linear", ""),
    ("no_warmup", "no warm-up, "),
    ("constant", "constant, "),
):
    print(f"{name}_at_high = {np.mean(found(f'{run}rate 0.001', 'test')):.0f}")
    print(f"{name}_at_best = {np.mean(found(f'{run}rate {best}', 'test')):.1f}")
