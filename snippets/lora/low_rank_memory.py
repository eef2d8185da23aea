# %% setup
import tempfile
import time
from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora import add_lora, count_parameters, save_adapter
from llm_tutorial.lora.memory import (
    linear_shapes,
    lora_parameters,
    optimizer_bytes,
    saved_tensor_bytes,
    training_memory,
)
from llm_tutorial.lora.task import batches
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import answer_loss, answer_tokens

MiB = 2**20
torch.set_num_threads(1)  # the processor's time is then the time of the work, on a busy machine as well
tokenizer = load_tokenizer("smollm2-135m")
batch = batches(tokenizer, cldr_pairs(4))(0)
print(f"tokens_in_the_batch = {sum(len(example.input_ids) for example in batch)}")


# %% count
def measure(model: torch.nn.Module) -> dict:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    activations = saved_tensor_bytes(model, lambda: answer_loss(model, batch))
    times = []
    for _ in range(4):
        start = time.process_time()
        (answer_loss(model, batch) / answer_tokens(batch)).backward()
        optimizer.step()
        gradients = sum(p.grad.nbytes for p in trained)
        optimizer.zero_grad()
        times.append(time.process_time() - start)
    return {
        "trained": count_parameters(model).trained,
        "total": count_parameters(model).total,
        "gradients": gradients,
        "optimizer": optimizer_bytes(optimizer),
        "activations": activations,
        "step": min(times[1:]),
    }


counted = {"full": measure(load_model("smollm2-135m"))}
for rank in (2, 8, 64):
    torch.manual_seed(0)
    counted[f"rank {rank}"] = measure(add_lora(load_model("smollm2-135m"), rank=rank))

print(f"{'':9}{'trained':>12}{'gradients':>11}{'optimizer':>11}{'activations':>13}   (MiB)")
for name, row in counted.items():
    sizes = [row[key] / MiB for key in ("gradients", "optimizer", "activations")]
    print(f"{name:9}{row['trained']:>12,}{sizes[0]:>11.1f}{sizes[1]:>11.1f}{sizes[2]:>13.1f}")

# %% ratios
full, lora = counted["full"], counted["rank 8"]
print(f"optimizer_full_over_lora = {full['optimizer'] / lora['optimizer']:.0f}")
print(f"activations_lora_over_full = {lora['activations'] / full['activations']:.2f}")
print(f"step_full_over_lora = {full['step'] / lora['step']:.1f}")  # tolerance 60%

# %% formula
for name, row in counted.items():
    memory = training_memory(row["total"], row["trained"])
    assert memory.gradients == row["gradients"]
    assert memory.optimizer == row["optimizer"]
    print(f"{name:9}weights, gradients and optimizer: {memory.total / MiB:7.0f} MiB")

# %% file_size
adapted = add_lora(load_model("smollm2-135m"), rank=8)
with tempfile.TemporaryDirectory() as folder:
    files = {
        dtype: sum(f.stat().st_size for f in Path(save_adapter(adapted, folder, dtype)).iterdir())
        for dtype in (torch.float32, torch.float16)
    }
print(f"adapter_MiB = {files[torch.float32] / MiB:.1f}")
print(f"adapter_half_MiB = {files[torch.float16] / MiB:.1f}")
print(f"model_over_adapter = {4 * full['total'] / files[torch.float32]:.0f}")

# %% seven_billion
shapes = linear_shapes(hidden=3584, intermediate=18944, heads=28, key_value_heads=4, head_dim=128)  # Qwen2.5-7B
weights = 28 * sum(out * into for out, into in shapes.values()) + 2 * 152064 * 3584  # 28 blocks, embedding and head
added = lora_parameters(shapes, layers=28, rank=8)
settings = {
    "full, float32": training_memory(weights, weights),
    "full, bfloat16": training_memory(weights, weights, 2, 2),
    "LoRA, bfloat16": training_memory(weights + added, added, 2, 4),
    "LoRA, 4-bit": training_memory(weights + added, added, 0.625, 4),
}
print(f"billions_of_weights = {weights / 1e9:.2f}")
print(f"percent_trained = {100 * added / (weights + added):.2f}")
for name, memory in settings.items():
    print(
        f"{name:15} {memory.total / 2**30:6.1f} GiB  (weights {memory.weights / 2**30:5.1f}, gradients {memory.gradients / 2**30:5.2f}, optimizer {memory.optimizer / 2**30:5.2f})"
    )
