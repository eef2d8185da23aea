# %% setup
import tempfile

import numpy as np
import torch
from torch.nn import functional as F
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.memory import saved_tensor_bytes, training_memory
from llm_tutorial.models import load_tokenizer
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer.checkpoints import small_trainer
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    losses,
    minilm_classifier,
)

# %% decoder
tokenizer = load_tokenizer("smollm2-135m")
objects = documented_objects("train")[:16]
texts = [o.body if place % 4 == 0 else o.summary for place, o in enumerate(objects)]
ids = [tokenizer(text, truncation=True, max_length=64).input_ids for text in texts]
examples = [{"input_ids": row} for row in ids]
collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)  # padding: label -100


def decoder():  # from scratch: only the arithmetic is at stake
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), intermediate_size=64, **sizes)
    return LlamaForCausalLM(config)


# %% two_averages
def token_loss(model, batch, reduction):
    logits = model(**batch).logits[:, :-1]  # (b, n - 1, vocabulary)
    labels = batch["labels"][:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)


def gradient(*terms):  # terms: functions of the model, added up
    model = decoder()
    for term in terms:
        term(model).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


whole = collate(examples[:4])
parts = [collate([example]) for example in examples[:4]]
tokens = [int((part["labels"][:, 1:] != -100).sum()) for part in parts]
print("tokens to predict:", tokens)

large = gradient(lambda model: token_loss(model, whole, "mean"))
means = gradient(
    *(lambda model, part=part: token_loss(model, part, "mean") / 4 for part in parts)
)
sums = gradient(
    *(
        lambda model, part=part: token_loss(model, part, "sum") / sum(tokens)
        for part in parts
    )
)
off = {
    "mean of means": float((means - large).norm() / large.norm()),
    "tokens counted once": float((sums - large).norm() / large.norm()),
}
for name, value in off.items():
    print(f"{name:20} gradient off by {value:.0e} of its length")
assert off["tokens counted once"] < 1e-5 < 0.1 < off["mean of means"]

# %% two_averages_values values
print(f"off_mean_of_means = {100 * off['mean of means']:.0f}")  # tolerance 5%


# %% accumulation
def train(model, batch_size, accumulation, until_2024=False):
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=4,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(
            model, arguments, train_dataset=examples, data_collator=collate
        )
        if until_2024:  # the model averages each part; Trainer averages the averages
            trainer.model_accepts_loss_kwargs = False
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return losses(trainer)


history = {
    "one batch of 4": train(decoder(), 4, 1),
    "4 parts of 1": train(decoder(), 1, 4),
    "4 parts of 1, as until 2024": train(decoder(), 1, 4, until_2024=True),
}
columns = ["Llama, loss at step", "1", "2", "3", "4"]
table(history, columns, ".4f").show()
right, now, then = history.values()
assert np.allclose(right, now, atol=1e-3)
assert np.abs(np.subtract(right, then)).max() > 0.03

# %% still
no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def classify(batch_size, accumulation, cured=False):
    trainer = small_trainer(
        tempfile.mkdtemp(),
        model=no_dropout,
        max_steps=4,
        save_strategy="no",
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
    )
    if cured:  # or, before Trainer is made: model.accepts_loss_kwargs = False
        trainer.model_accepts_loss_kwargs = False
    trainer.train()
    norms = [log["grad_norm"] for log in trainer.state.log_history if "loss" in log]
    return [losses(trainer)[0], losses(trainer)[3], norms[0], norms[3]]


rows = {
    "one batch of 16": classify(16, 1),
    "4 parts of 4": classify(4, 4),
    "4 parts of 4, cured": classify(4, 4, cured=True),
}
columns = ["BERT classifier", "loss, step 1", "step 4", "gradient, step 1", "step 4"]
table(rows, columns, ".3f").show()
right, wrong, cured = rows.values()
assert np.allclose(right, cured, rtol=1e-4)
assert np.allclose(wrong[0], 4 * right[0], rtol=1e-4)

# %% sixteen_bits
words = load_tokenizer("minilm")
batch = words.pad(encoded(words, library_summaries(each=4)), return_tensors="pt")
model = minilm_classifier().eval()
exact = model(**batch).loss
exact.backward()
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    short = model(**batch).loss
print(f"loss {exact:.4f}, with products in bfloat16 {short:.4f}")
assert abs(exact - short) < 0.02

numbers = torch.cat([weight.grad.flatten() for weight in model.parameters()])
numbers = numbers[numbers != 0].abs()
rows = {}
for power in (0, 10, 24):
    half = (numbers * 2.0**power).half()
    rows[f"2^{power}"] = [
        100 * float((half == 0).float().mean()),
        100 * float((half < 2**-14).float().mean()),
        100 * float(half.isinf().float().mean()),
    ]
table(rows, ["loss times", "% zero", "% below 2^-14", "% infinite"], ".1f").show()
assert rows["2^10"][0] < rows["2^0"][0] and rows["2^24"][2] > 0

# %% sixteen_bits_values values
print(f"digits_lost = {rows['2^0'][1]:.0f}")  # tolerance 10%
print(f"digits_lost_scaled = {rows['2^10'][1]:.1f}")  # tolerance 50%

# %% checkpointing
padding = {"padding": "max_length", "max_length": 64, "return_tensors": "pt"}
batch = words.pad(encoded(words, library_summaries(each=4)), **padding)


def step(model):
    torch.manual_seed(0)  # the same dropout
    loss = model(**batch).loss
    loss.backward()
    return loss, model.classifier.weight.grad.clone()


model = minilm_classifier(use_cache=False).train()
kept = saved_tensor_bytes(model, lambda: model(**batch))
loss, grad = step(model)
model.zero_grad()
model.activation_checkpointing_enable()
kept_now = saved_tensor_bytes(model, lambda: model(**batch))
loss_now, grad_now = step(model)
assert torch.allclose(loss, loss_now) and torch.allclose(grad, grad_now, atol=1e-6)
print(f"kept for the backward pass: {kept / 2**20:.0f} MiB, now {kept_now / 2**20:.0f}")

# %% checkpointing_values values
print(f"MiB_kept = {kept / 2**20:.0f}")  # tolerance 5%
print(f"MiB_kept_checkpointing = {kept_now / 2**20:.0f}")  # tolerance 5%
print(f"kept_ratio = {kept / kept_now:.0f}")  # tolerance 10%

# %% times
machine = results("transformer", "finetune_machine")["metrics"]
float32, bfloat16 = (machine["times"][name] for name in ("float32", "bfloat16"))
rows = {
    "padding to the longest, not to 64": [machine["padding"]["longest"]],
    "the same, grouped by length": [machine["padding"]["grouped"]],
    "products in bfloat16": [bfloat16 / float32],
    "activation checkpointing": [1 / float32],
}
table(rows, ["a training step of MiniLM", "times as fast"], ".2f").show()

# %% times_values values
print(f"longest = {machine['padding']['longest']:.1f}")
print(f"grouped = {machine['padding']['grouped']:.1f}")
print(f"bfloat16 = {bfloat16 / float32:.2f}")
print(f"checkpointing_longer = {float32:.2f}")
print(f"bfloat16_off = {machine['sixteen bits']['largest_difference']:.0e}")
print(f"checkpoint_MB = {machine['killed']['checkpoint_MB']}")
print(f"killed_off = {machine['killed']['difference']:.0e}")
print(f"processes_off = {machine['processes']['difference']:.0e}")

# %% memory
rows = {}
for name, size in {"MiniLM": model.num_parameters(), "8 billion": 8 * 10**9}.items():
    total = training_memory(size, size).total
    assert total == 16 * size
    rows[name] = [total / 1e9, total / 8 / 1e9]
table(rows, ["parameters", "one device, GB", "each of eight, GB"], ".1f").show()

# %% memory_values values
print(f"minilm_GB = {rows['MiniLM'][0]:.2f}")
