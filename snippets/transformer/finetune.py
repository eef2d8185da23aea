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
validation = library_summaries("validation", each=62)
test = library_summaries("test", each=147)
assert not {text for text, _ in train} & {text for text, _ in validation + test}
for text, label in train[:6]:
    print(f"{LIBRARIES[label]:8}{text}")

# %% baseline
words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)


def logistic(strength, train):
    regression = LogisticRegression(C=strength, max_iter=1000)
    return make_pipeline(make_union(words, letters), regression).fit(*zip(*train))


strengths = (0.1, 1, 10, 100, 1000)
tuned = {C: logistic(C, train).score(*zip(*validation)) for C in strengths}
baseline = logistic(max(tuned, key=tuned.get), train).score(*zip(*test))
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
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    ),
    train_dataset=few,
    eval_dataset=encoded(tokenizer, validation[:48]),
    processing_class=tokenizer,  # pads, and is saved with the model
    compute_metrics=accuracy,
)
trainer.remove_callback(PrinterCallback)  # the log is drawn instead of printed
trainer.train()
print([f"{loss:.3f}" for loss in losses(trainer)])
trainer.save_model(f"{folder}/model")
classify = pipeline("text-classification", f"{folder}/model")
print(classify("Fit the model to the training data."))


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
print(f"{len(ours)} losses, largest difference: {gap:.0e}")
assert gap < 1e-5
