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
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    get_scheduler,
    logging,
    pipeline,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from llm_tutorial.data.documentation import LIBRARIES
from llm_tutorial.diagrams import Diagram
from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_encoder, load_tokenizer, model_folder
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
from llm_tutorial.transformer.finetune import library_summaries, losses

use_style()
logging.disable_progress_bar()
logging.set_verbosity_error()  # that the head is new is known here

# %% picture
diagram = Diagram(width=24, height=16.6)
data = diagram.box(5.5, 14.6, ["examples"], width=8)
sampler = diagram.box(5.5, 11.6, ["sampler", "order from the seed"], width=10)
collator = diagram.box(5.5, 7.6, ["collator", "pads to the longest"], width=10)
forward = diagram.box(18, 14.6, ["forward pass, loss"], 10.5, colour=COLOURS[0])
backward = diagram.box(18, 11.6, ["backward pass: gradient"], 10.5, colour=COLOURS[0])
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
training = library_summaries("train", each=100)  # pairs of text and label
validation = library_summaries("validation", each=60)
test = library_summaries("test", each=135)
assert not {text for text, _ in training} & {text for text, _ in validation + test}
for text, label in training[:6]:
    print(f"{LIBRARIES[label]:8}{text}")

# %% baseline
words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)


def chosen(regressions, sets):  # C, validation and test of the best on validation
    scores = {}
    for C, regression in regressions.items():
        fitted = regression.fit(*sets[0])
        scores[C] = [fitted.score(*each) for each in sets[1:]]
    best = max(scores, key=lambda C: scores[C][0])
    assert best not in (min(scores), max(scores))  # the ends do not win
    return best, *scores[best]


sets = [tuple(zip(*each, strict=True)) for each in (training, validation, test)]
tfidf = chosen(
    {
        C: make_pipeline(
            make_union(words, letters), LogisticRegression(C=C, max_iter=1000)
        )
        for C in (1e-4, 1e-3, 0.01, 0.1, 1, 10)
    },
    sets,
)
print("TF-IDF: C = {}, validation {:.3f}, test {:.3f}".format(*tfidf))

# %% frozen
encoder = load_encoder("minilm")


@torch.no_grad()
def vectors(texts):  # (texts, 384): the mean of the tokens' last states
    made = []
    for start in range(0, len(texts), 20):
        batch = tokenizer(
            list(texts[start : start + 20]),
            truncation=True,
            max_length=64,
            padding=True,
            return_tensors="pt",
        )
        states = encoder(**batch).last_hidden_state  # (20, tokens, 384)
        mask = batch["attention_mask"][..., None]
        made.append((states * mask).sum(1) / mask.sum(1))
    return torch.cat(made).numpy()


frozen = chosen(
    {C: LogisticRegression(C=C, max_iter=3000) for C in (0.01, 0.1, 1, 10, 100)},
    [(vectors(texts), labels) for texts, labels in sets],
)
print("MiniLM, frozen: C = {}, validation {:.3f}, test {:.3f}".format(*frozen))


# %% trainer
def encode(pairs):  # what Trainer takes: a list of dicts, not yet padded
    return [
        {**tokenizer(text, truncation=True, max_length=64), "labels": label}
        for text, label in pairs
    ]


def new_model(seed=0):
    torch.manual_seed(seed)  # of the new head
    return AutoModelForSequenceClassification.from_pretrained(
        model_folder("minilm"),  # or "sentence-transformers/all-MiniLM-L6-v2"
        num_labels=4,
        id2label=dict(enumerate(LIBRARIES)),  # names for the pipeline below
    )


def accuracy(prediction):  # logits (n, 4) and labels (n,), of the whole evaluation
    logits, labels = prediction
    return {"accuracy": np.mean(logits.argmax(-1) == labels)}


folder = tempfile.mkdtemp()
few = encode(training[:60])
trainer = Trainer(
    model=new_model(),
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
    eval_dataset=encode(validation[:48]),
    processing_class=tokenizer,  # pads, and is saved with the model
    compute_metrics=accuracy,
)
trainer.remove_callback(PrinterCallback)  # the losses are printed below
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
    logged = []
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
            logged.append(loss.item())
    return logged


# %% equal
ours = fine_tune(new_model(), few, rate=1e-4, epochs=2)
gap = np.abs(np.subtract(ours, losses(trainer))).max()
print(f"{len(ours)} losses, largest difference {gap:.0e}")
assert gap < 1e-5

# %% habits
changes = {
    "seed=1 (42)": {"seed": 1},
    "data_seed=1 (none)": {"data_seed": 1},
    "warmup_steps=0 (0.1)": {"warmup_steps": 0},
    'lr_scheduler_type="constant_with_warmup" ("linear")': {
        "lr_scheduler_type": "constant_with_warmup"
    },
    "label_smoothing_factor=0.1 (0)": {"label_smoothing_factor": 0.1},
    "dataloader_drop_last=True (False)": {"dataloader_drop_last": True},
    "weight_decay=0.1 (0)": {"weight_decay": 0.1},
    "max_grad_norm=0.1 (1)": {"max_grad_norm": 0.1},
    'eval_strategy="epoch" ("no")': {"eval_strategy": "epoch"},
}


def losses_with(**change):
    small = small_trainer(
        folder, max_steps=12, learning_rate=1e-2, save_strategy="no", **change
    )
    small.train()
    return np.array(losses(small))


usual = losses_with()
rows = {}
for name, change in changes.items():
    off = np.abs(losses_with(**change) - usual)
    rows[name] = [int(np.argmax(off > 1e-6)) + 1, off.max()]
table(rows, ["changed (from)", "first at step", "loss off by"], ["d", ".4f"]).show()
assert min(off for _, off in rows.values()) > 1e-5

torch.manual_seed(7)
small_trainer(folder)
after = float(torch.rand(1))
fresh = float(torch.rand(1, generator=torch.Generator().manual_seed(42)))
print(f"after Trainer is made: {after:.4f}; a generator with seed 42: {fresh:.4f}")
assert after == fresh

# %% batches
examples = encode(training)
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
    warm = math.ceil(75 * warmup)
    schedule = get_scheduler(kind, optimizer, warm, num_training_steps=75)
    shares = []
    for _ in range(75):
        shares.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    axes.plot(range(75), shares, label=name, marker="")
axes.set(xlabel="step", ylabel="share of the learning rate")
label_lines(axes)

# %% result
recorded = results("transformer", "finetune")
rates = recorded["rates"]
settings = {f"linear, rate {rate:g}": f"rate {rate:g}" for rate in rates}
for kind, name in (
    ("no warm-up", "no warm-up"),
    ("constant", "constant after warm-up"),
):
    for rate in rates[2:]:
        settings[f"{name}, rate {rate:g}"] = f"{kind}, rate {rate:g}"


def found(run, metric):  # one for each of three seeds
    return [100 * each[metric] for each in by_seed(recorded, run)]


rows = {
    name: [over_seeds(found(run, metric)) for metric in ("validation", "test")]
    for name, run in settings.items()
}
for name, (_, *both) in (("MiniLM, frozen", frozen), ("TF-IDF", tfidf)):
    rows[name] = [f"{100 * each:.1f}" for each in both]
table(rows, ["fine-tuned with", "validation, %", "test, %"]).show()
best_setting = max(settings.values(), key=lambda run: np.mean(found(run, "validation")))
assert best_setting == "no warm-up, rate 0.0003"
assert np.allclose(frozen[2], recorded["metrics"]["frozen"]["test"])

# %% result_values values
best_test = found(best_setting, "test")
shares = np.array([np.mean(best_test) / 100, frozen[2]])
print(f"best_test = {np.mean(best_test):.1f}")
print(f"best_low = {min(best_test):.1f}")
print(f"best_high = {max(best_test):.1f}")
print(f"frozen_test = {100 * frozen[2]:.1f}")
print(f"best_rate = {recorded['best_rate']:g}")
print(f"high_rate = {rates[-1]:g}")
print(f"constant_low = {min(found('constant, rate 0.001', 'test')):.0f}")
print(f"tfidf_test = {100 * tfidf[2]:.1f}")  # tolerance 2%
print(f"ahead = {np.mean(best_test) - 100 * frozen[2]:.1f}")
print(f"one_error = {100 * np.sqrt((shares * (1 - shares) / len(test)).sum()):.1f}")
for name, run in (
    ("linear", ""),
    ("no_warmup", "no warm-up, "),
    ("constant", "constant, "),
):
    print(f"{name}_at_high = {np.mean(found(f'{run}rate 0.001', 'test')):.0f}")
    print(f"{name}_at_best = {np.mean(found(f'{run}rate 0.0003', 'test')):.1f}")
print(f"high_low = {min(found('rate 0.001', 'test')):.0f}")
print(f"high_high = {max(found('rate 0.001', 'test')):.0f}")
best_seeds = found("rate 0.0003", "test")
print(f"best_spread = {max(best_seeds) - min(best_seeds):.1f}")
assert min(found("no warm-up, rate 0.0003", "test")) > max(best_seeds)
pairs = zip(
    found("rate 0.001", "test"), found("no warm-up, rate 0.001", "test"), strict=True
)
assert all(warm > cold for warm, cold in pairs)
curves = [np.array(each["curve"]) for each in by_seed(recorded, "rate 0.0003")]
disagree = sum(curve[:, 1].argmin() != curve[:, 2].argmax() for curve in curves)
print(f"disagree = {disagree}")

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
right.set(xscale="log", xlabel="learning rate", ylabel="accuracy on validation, %")
left.set(xlabel="step", ylabel="training loss")
label_lines(left)
