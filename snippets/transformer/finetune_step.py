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
smollm_tokenizer = load_tokenizer("smollm2-135m")
objects = documented_objects("train")[:16]
texts = [o.body if place % 4 == 0 else o.summary for place, o in enumerate(objects)]
encodings = smollm_tokenizer(texts, truncation=True, max_length=64)
documents = [{"input_ids": ids} for ids in encodings.input_ids]
pad = DataCollatorForLanguageModeling(smollm_tokenizer, mlm=False)  # label -100


def decoder():  # from scratch: only the arithmetic is at stake
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary = len(smollm_tokenizer)
    config = LlamaConfig(vocab_size=vocabulary, intermediate_size=64, **sizes)
    return LlamaForCausalLM(config)


# %% two_averages
def token_loss(model, batch, reduction):
    logits = model(**batch).logits[:, :-1]  # (b, n - 1, vocabulary)
    labels = batch["labels"][:, 1:]  # -100, the padding, is left out
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)


def gradient(*terms):  # terms: functions of the model, added up
    model = decoder()
    for term in terms:
        term(model).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


whole = pad(documents[:4])
parts = [pad([document]) for document in documents[:4]]
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
    print(f"{name:20} gradient off by {value:.1%} of its length")
assert off["tokens counted once"] < 1e-5 < 0.1 < off["mean of means"]

# %% two_averages_values values
print(f"off_mean_of_means = {100 * off['mean of means']:.0f}")  # tolerance 5%


# %% accumulation
def decoder_losses(batch_size, accumulation, until_2024=False):
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
            decoder(), arguments, train_dataset=documents, data_collator=pad
        )
        if until_2024:  # the model averages each part; Trainer averages the averages
            trainer.model_accepts_loss_kwargs = False
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return losses(trainer)


rows = {
    "one batch of 4": decoder_losses(4, 1),
    "4 parts of 1": decoder_losses(1, 4),
    "4 parts of 1, as until 2024": decoder_losses(1, 4, until_2024=True),
}
columns = ["Llama, loss at step", "1", "2", "3", "4"]
table(rows, columns, ".4f").show()
at_once, counted, until_2024 = rows.values()
assert np.allclose(at_once, counted, atol=1e-3)
assert np.abs(np.subtract(at_once, until_2024)).max() > 0.03

# %% still
no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def logged(batch_size, accumulation, cured=False):
    trainer = small_trainer(
        tempfile.mkdtemp(),
        model=no_dropout,
        max_steps=4,
        save_strategy="no",
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
    )
    if cured:  # the same as model.accepts_loss_kwargs = False before Trainer is made
        trainer.model_accepts_loss_kwargs = False
    trainer.train()
    norms = [log["grad_norm"] for log in trainer.state.log_history if "loss" in log]
    return [losses(trainer)[0], losses(trainer)[3], norms[0], norms[3]]


rows = {
    "one batch of 16": logged(16, 1),
    "4 parts of 4": logged(4, 4),
    "4 parts of 4, cured": logged(4, 4, cured=True),
}
columns = ["BERT classifier", "loss, step 1", "step 4", "gradient, step 1", "step 4"]
table(rows, columns, ".3f").show()
at_once, parted, cured = rows.values()
assert np.allclose(at_once, cured, rtol=1e-4)
assert np.allclose(parted[::2], 4 * np.array(at_once[::2]), rtol=1e-4)  # step 1

# %% still_values values
print(f"gradient_ratio = {parted[3] / at_once[3]:.1f}")  # tolerance 5%

# %% sixteen_bits
tokenizer = load_tokenizer("minilm")
batch = tokenizer.pad(
    encoded(tokenizer, library_summaries(each=4)), return_tensors="pt"
)
model = minilm_classifier().eval()
model(**batch).loss.backward()
numbers = torch.cat([weight.grad.flatten() for weight in model.parameters()])
numbers = numbers[numbers != 0].abs()
rows = {}
for power in (0, 10, 30):
    half = (numbers * 2.0**power).half()
    rows[f"2^{power}"] = [
        100 * float((half == 0).float().mean()),
        100 * float((half < 2**-14).float().mean()),
        100 * float(half.isinf().float().mean()),
    ]
table(rows, ["loss times", "% zero", "% below 2^-14", "% infinite"], ".1f").show()
assert rows["2^10"][0] < rows["2^0"][0] and rows["2^30"][2] > 1

# %% sixteen_bits_values values
print(f"digits_lost = {rows['2^0'][1]:.0f}")  # tolerance 10%
print(f"digits_lost_scaled = {rows['2^10'][1]:.1f}")  # tolerance 50%
print(f"infinite = {rows['2^30'][2]:.0f}")  # tolerance 20%

# %% checkpointing
padding = {"padding": "max_length", "max_length": 64, "return_tensors": "pt"}
batch = tokenizer.pad(encoded(tokenizer, library_summaries(each=4)), **padding)


def loss_and_gradient(model):
    torch.manual_seed(0)  # the same dropout
    loss = model(**batch).loss
    loss.backward()
    return loss, model.classifier.weight.grad.clone()


model = minilm_classifier(use_cache=False).train()  # a cache is for decoders
kept = saved_tensor_bytes(model, lambda: model(**batch))
block, states = model.bert.encoder.layer[0], torch.randn(16, 64, 384)
one_block = saved_tensor_bytes(block, lambda: block(states))
loss, grad = loss_and_gradient(model)
model.zero_grad()
model.activation_checkpointing_enable()
kept_now = saved_tensor_bytes(model, lambda: model(**batch))
loss_now, grad_now = loss_and_gradient(model)
assert torch.allclose(loss, loss_now) and torch.allclose(grad, grad_now, atol=1e-6)
print(f"kept for the backward pass: {kept / 2**20:.0f} MiB, now {kept_now / 2**20:.0f}")
print(f"computed again at a time, one block: {one_block / 2**20:.0f} MiB")

# %% checkpointing_values values
print(f"MiB_kept = {kept / 2**20:.0f}")  # tolerance 5%
print(f"MiB_kept_checkpointing = {kept_now / 2**20:.0f}")  # tolerance 5%
print(f"MiB_block = {one_block / 2**20:.0f}")  # tolerance 5%

# %% times
machine = results("transformer", "finetune_machine")["metrics"]
padded, once = (machine[name]["processor_seconds"] for name in ("padding", "times"))
rows = {
    "padding to the longest, not to 64": [padded["fixed"] / padded["longest"]],
    "the same, grouped by length": [padded["fixed"] / padded["grouped"]],
    "products in bfloat16": [once["float32"] / once["bfloat16"]],
    "activation checkpointing": [once["float32"] / once["checkpointing"]],
}
table(rows, ["a training step of MiniLM", "times as fast"], ".2f").show()

# %% times_values values
tokens = machine["padding"]["tokens"]
for name in ("longest", "grouped"):
    print(f"{name} = {padded['fixed'] / padded[name]:.1f}")
    print(f"{name}_tokens = {tokens['fixed'] / tokens[name]:.1f}")
print(f"checkpointing_longer = {once['checkpointing'] / once['float32']:.1f}")
peaks = machine["activations"]["peak_MiB"]
print(f"peak = {peaks['plain']}")
print(f"peak_checkpointing = {peaks['checkpointing']}")
print(f"peak_ratio = {peaks['plain'] / peaks['checkpointing']:.0f}")
exact, short = (
    np.array(machine["sixteen bits"][name]) for name in ("float32", "bfloat16")
)
print(f"exact_start = {exact[0]:.2f}")
print(f"exact_end = {exact[-10:].mean():.3f}")
print(f"short_end = {short[-10:].mean():.3f}")
print(f"bfloat16_off = {np.abs(exact - short).max():.3f}")
print(f"checkpoint_MB = {machine['killed']['checkpoint_MB']}")
print(f"processes_off = {machine['processes']['difference']:.0e}")
assert machine["killed"]["difference"] == 0  # to the last bit

# %% memory
rows = {}
for name, size in {"MiniLM": model.num_parameters(), "8 billion": 8 * 10**9}.items():
    total = training_memory(size, size).total
    assert total == 16 * size
    rows[name] = [total / 1e9, total / 8 / 1e9]
table(rows, ["parameters", "one device, GB", "each of eight, GB"], ".3g").show()
