# %% setup
import tempfile

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.memory import saved_tensor_bytes
from llm_tutorial.models import load_tokenizer
from llm_tutorial.tables import table
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    losses,
    minilm_classifier,
)

# %% decoder
tokenizer = load_tokenizer("smollm2-135m")
objects = documented_objects("train")[:64]
texts = [o.summary if place % 2 else o.body for place, o in enumerate(objects)]
ids = [tokenizer(text, truncation=True, max_length=128).input_ids for text in texts]
examples = [{"input_ids": row} for row in ids]
collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)  # labels; padding: -100


def decoder():
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), intermediate_size=128, **sizes)
    return LlamaForCausalLM(config)


# %% two_averages
def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def token_loss(model, batch, reduction):
    logits = model(**batch).logits[:, :-1]  # (b, n - 1, vocabulary)
    labels = batch["labels"][:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)


whole = collate(examples[:8])
parts = [collate(examples[start : start + 2]) for start in range(0, 8, 2)]
predicted = [int((part["labels"][:, 1:] != -100).sum()) for part in parts]
print("tokens predicted in each part:", predicted)

gradients = {}
model = decoder()
token_loss(model, whole, "mean").backward()
gradients["one batch of eight"] = gradient(model)

model = decoder()
for part in parts:  # until October 2024
    (token_loss(model, part, "mean") / len(parts)).backward()
gradients["mean of means"] = gradient(model)

model = decoder()
for part in parts:
    (token_loss(model, part, "sum") / sum(predicted)).backward()
gradients["tokens counted once"] = gradient(model)

reference = gradients["one batch of eight"]
error = {
    name: float((g - reference).norm() / reference.norm())
    for name, g in gradients.items()
}
for name, value in error.items():
    print(f"{name:22}{value:.1e}")
assert error["tokens counted once"] < 1e-5 < 1e-2 < error["mean of means"]


# %% accumulation
def train(**arguments):
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            decoder(),
            TrainingArguments(
                folder,
                max_steps=6,
                learning_rate=1e-3,
                logging_steps=1,
                save_strategy="no",
                disable_tqdm=True,
                **{k: v for k, v in arguments.items() if k != "loss"},
            ),
            train_dataset=examples,
            data_collator=collate,
        )
        if "loss" in arguments:  # what `Trainer` did until October 2024
            trainer.model_accepts_loss_kwargs = False
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return losses(trainer)


large = train(per_device_train_batch_size=8)
small = train(per_device_train_batch_size=2, gradient_accumulation_steps=4)
old = train(per_device_train_batch_size=2, gradient_accumulation_steps=4, loss="old")
for name, history in (("8", large), ("2 × 4", small), ("2 × 4, mean of means", old)):
    print(f"{name:22}", *(f"{loss:.4f}" for loss in history))
assert np.allclose(large, small, atol=1e-4)
assert not np.allclose(large, old, atol=1e-2)

# %% sixteen_bits
tokens = load_tokenizer("minilm")
collate_text = lambda rows: tokens.pad(rows, return_tensors="pt")
batch = collate_text(encoded(tokens, library_summaries(each=4)))
model = minilm_classifier(seed=0).eval()
exact = model(**batch).loss
exact.backward()
with torch.autocast("cpu", torch.bfloat16):
    short = model(**batch).loss
print(f"loss {exact:.4f}, in bfloat16 {short:.4f}")
assert abs(exact - short) < 0.02

numbers = gradient(model)
numbers = numbers[numbers != 0]
for scale in (1, 2**8, 2**16):
    lost = float(((numbers * scale).half() == 0).float().mean())
    infinite = float((numbers * scale).half().isinf().float().mean())
    print(
        f"scale {scale:6}: {lost:.1%} of the gradient's numbers become 0, {infinite:.1%} ∞"
    )

# %% checkpointing
padded = tokens.pad(
    encoded(tokens, library_summaries(each=4)),
    padding="max_length",
    max_length=64,
    return_tensors="pt",
)
kept = {}
for checkpointing in (False, True):
    model = minilm_classifier(seed=0).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    torch.manual_seed(0)  # the same dropout
    kept[checkpointing] = saved_tensor_bytes(model, lambda: model(**padded).loss)
print({k: f"{v / 2**20:.1f} MiB" for k, v in kept.items()})
