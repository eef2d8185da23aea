# %% setup
import copy
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.adapter import save_adapter
from llm_tutorial.lora.inject import add_lora, count_parameters
from llm_tutorial.lora.task import batches
from llm_tutorial.memory import (
    activation_memory,
    block_activations,
    linear_shapes,
    lora_parameters,
    optimizer_bytes,
    saved_tensor_bytes,
    training_memory,
)
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import answer_loss, answer_tokens
from llm_tutorial.tables import table

MiB, GiB = 2**20, 2**30
torch.set_num_threads(1)  # processor time is then the time of the work
tokenizer = load_tokenizer("smollm2-135m")
batch = batches(tokenizer, cldr_pairs(4))(0)
tokens, answers = sum(len(example.input_ids) for example in batch), answer_tokens(batch)

# %% setup_values values
print(f"tokens_in_the_batch = {tokens}")
print(f"answer_tokens = {answers}")


# %% methods
def adapted(rank: int) -> nn.Module:
    torch.manual_seed(0)
    return add_lora(load_model("smollm2-135m"), rank=rank)


def only(part: str, tied: bool = True) -> nn.Module:
    model = load_model("smollm2-135m").requires_grad_(False)
    if not tied:
        model.lm_head = copy.deepcopy(model.lm_head)  # the embedding stays frozen
    model.get_submodule(part).requires_grad_(True)
    return model


def checkpointed(rank: int) -> nn.Module:
    model = adapted(rank).train()  # there is no dropout in it
    model.activation_checkpointing_enable()
    return model


methods = {
    "full": lambda: load_model("smollm2-135m"),
    "rank 2": lambda: adapted(2),
    "rank 8": lambda: adapted(8),
    "rank 64": lambda: adapted(64),
    "rank 8, checkpointed": lambda: checkpointed(8),
    "tied embedding": lambda: only("model.embed_tokens"),
    "last block": lambda: only("model.layers.29"),
    "untied head": lambda: only("lm_head", tied=False),
    "last norm": lambda: only("model.norm"),
}


# %% count
def measure(model: nn.Module) -> dict:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    activations = saved_tensor_bytes(model, lambda: answer_loss(model, batch))
    times = []
    for _ in range(3):
        start = time.process_time()
        (answer_loss(model, batch) / answers).backward()
        optimizer.step()
        gradients = sum(p.grad.nbytes for p in trained)
        optimizer.zero_grad()
        times.append(time.process_time() - start)
    return {
        "trained": count_parameters(model).trained,
        "total": count_parameters(model).total,
        "weights": sum(p.nbytes for p in model.parameters()),
        "gradients": gradients,
        "optimizer": optimizer_bytes(optimizer),
        "activations": activations,
        "step": min(times[1:]),
    }


counted = {name: measure(make()) for name, make in methods.items()}
columns = {"gradients": 11, "optimizer": 11, "activations": 13}
head = "".join(f"{key:>{width}}" for key, width in columns.items())
print(f"{'':21}{'trained':>12}{head}   (MiB)")
for name, row in counted.items():
    sizes = "".join(f"{row[key] / MiB:>{width}.1f}" for key, width in columns.items())
    print(f"{name:21}{row['trained']:>12,}{sizes}")

# %% step_time tolerance="60%"
full, lora = counted["full"], counted["rank 8"]
for name, row in counted.items():
    share = row["step"] / full["step"]
    print(f"{name:21}a step takes {share:.2f} of the time of a full one")

# %% ratios values
last, checkpoints = counted["last block"], counted["rank 8, checkpointed"]
print(f"optimizer_full_over_lora = {full['optimizer'] / lora['optimizer']:.0f}")
share = lora["activations"] / full["activations"]
print(f"activations_lora_over_full = {share:.2f}")
share = last["activations"] / full["activations"]
print(f"activations_last_block_over_full = {share:.2f}")
ratio = full["step"] / lora["step"]
print(f"step_full_over_lora = {ratio:.1f}")  # tolerance 60%
ratio = full["step"] / last["step"]
print(f"step_full_over_last_block = {ratio:.1f}")  # tolerance 60%
ratio = checkpoints["step"] / lora["step"]
print(f"step_checkpointed_over_plain = {ratio:.1f}")  # tolerance 60%

# %% formula
for name, row in counted.items():
    memory = training_memory(row["total"], row["trained"])
    assert memory.weights == row["weights"]
    assert memory.gradients == row["gradients"]
    assert memory.optimizer == row["optimizer"]
    print(f"{name:21}weights, gradients and optimizer: {memory.total / MiB:7.0f} MiB")

# %% activation_formula
smollm2 = {
    "hidden": 576,
    "intermediate": 1536,
    "heads": 9,
    "key_value_heads": 3,
    "head_dim": 64,
}
sizes = (30, 49152, tokens, answers)  # blocks, vocabulary, tokens, answer tokens
ranks = {"full": None, "rank 2": 2, "rank 8": 8, "rank 64": 64}
ranks |= {"rank 8, checkpointed": 8, "tied embedding": 0}
for name, rank in ranks.items():
    # a batch in one row has a mask: keys and values are repeated to all heads
    options = {"repeated": True, "checkpointing": "checkpointed" in name}
    computed = activation_memory(smollm2, *sizes, rank, **options)
    share = computed / counted[name]["activations"]
    size = f"{computed / MiB:7.1f} MiB computed"
    print(f"{name:21}{size}, {100 * share:.1f} % of what was counted")
    assert abs(share - 1) < 0.01

# %% activation_parts
of_a_block = tokens * block_activations(**smollm2, repeated=True)

# %% activation_parts_values values
print(f"MiB_of_a_block = {of_a_block / MiB:.1f}")
print(f"MiB_of_the_loss = {answers * 49152 * 4 / MiB:.1f}")

# %% file_size
files = {}
with tempfile.TemporaryDirectory() as folder:
    for dtype in (torch.float32, torch.float16):
        saved = Path(save_adapter(adapted(8), folder, dtype))
        files[dtype] = sum(file.stat().st_size for file in saved.iterdir())
print(f"adapter_MiB = {files[torch.float32] / MiB:.1f}")
print(f"adapter_half_MiB = {files[torch.float16] / MiB:.1f}")
print(f"model_over_adapter = {4 * full['total'] / files[torch.float32]:.0f}")

# %% seven_billion
qwen = {  # Qwen2.5-7B
    "hidden": 3584,
    "intermediate": 18944,
    "heads": 28,
    "key_value_heads": 4,
    "head_dim": 128,
}
blocks, vocabulary = 28, 152064
linear = blocks * sum(out * into for out, into in linear_shapes(**qwen).values())
weights = linear + 2 * vocabulary * 3584  # with the embedding and the head
added = lora_parameters(linear_shapes(**qwen), layers=blocks, rank=8)
both = weights + added
# bytes of a weight: embedding and head stay at 16 bits
packed = (0.625 * linear + 2 * (weights - linear)) / weights
mixed = training_memory(weights, weights, 2, 2, states=3, state_bytes=4)
half = {"value_bytes": 2}  # of activations
settings = {
    "full, float32": (training_memory(weights, weights), {}),
    "full, bfloat16": (training_memory(weights, weights, 2, 2), half),
    "full, mixed": (mixed, half),
    "LoRA, bfloat16": (training_memory(both, added, 2, 4), half | {"rank": 8}),
    "QLoRA, 4-bit": (training_memory(both, added, packed, 4), half | {"rank": 8}),
}
parts = ("weights", "gradients", "optimizer", "activations", "total", "checkpointed")
sizes = (blocks, vocabulary, 4096, 4096)  # 4 × 1024 tokens, all of them predicted
totals, rows = {}, {}
for name, (memory, options) in settings.items():
    kept = activation_memory(qwen, *sizes, **options)
    inputs = activation_memory(qwen, *sizes, **options, checkpointing=True)
    totals[name] = (memory.total + kept, memory.total + inputs)
    row = (memory.weights, memory.gradients, memory.optimizer, kept, *totals[name])
    rows[name] = [size / GiB for size in row]
table(rows, ["GiB", *parts], ".1f").show()

# %% seven_billion_values values
print(f"billions_of_weights = {weights / 1e9:.2f}")
print(f"percent_trained = {100 * added / (weights + added):.2f}")

# %% seven_billion_figures values
names = {
    "full": "full, bfloat16",
    "mixed": "full, mixed",
    "lora": "LoRA, bfloat16",
    "qlora": "QLoRA, 4-bit",
}
for name, setting in names.items():
    plain, checkpointed_total = totals[setting]
    print(f"{name}_GiB = {plain / GiB:.1f}")
    print(f"{name}_checkpointed_GiB = {checkpointed_total / GiB:.1f}")
of_a_block = 4096 * block_activations(**qwen, rank=8, value_bytes=2)
of_the_loss = 4096 * vocabulary * 2
print(f"GiB_of_a_block = {of_a_block / GiB:.2f}")
print(f"GiB_of_the_loss = {of_the_loss / GiB:.2f}")
assert settings["full, mixed"][0].total == settings["full, float32"][0].total
of_full, of_lora, of_half = (
    activation_memory(qwen, *sizes, rank, value_bytes=2, adapter_bytes=adapter_bytes)
    for rank, adapter_bytes in ((None, 2), (8, 4), (8, 2))
)
print(f"activations_lora_over_full_at_16_bits = {of_lora / of_full:.2f}")
print(f"activations_16_bit_adapter_over_full = {of_half / of_full:.2f}")
