# %% settings
MODEL = "smollm2-135m"  # or a folder, or a hub id such as "Qwen/Qwen2.5-7B-Instruct"
RANK, ALPHA, RATE, BATCH, STEPS = 8, 32, 2e-3, 4, 5

# %% load
import torch
from accelerate import Accelerator

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.adapter import save_adapter
from llm_tutorial.lora.inject import add_lora, count_parameters
from llm_tutorial.lora.task import batches
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import fit, linear_decay

accelerator = Accelerator(cpu=not torch.accelerator.is_available())
model, tokenizer = load_model(MODEL), load_tokenizer(MODEL)

# %% train differs="training amplifies the rounding of a processor"
torch.manual_seed(0)
add_lora(model, rank=RANK, alpha=ALPHA, target_modules="all-linear")
print(count_parameters(model))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
losses = fit(
    model, batches(tokenizer, cldr_pairs(BATCH * STEPS), batch_size=BATCH), optimizer, STEPS,
    linear_decay(optimizer, STEPS), accelerator=accelerator,
)  # fmt: skip
print(" ".join(f"{loss:.2f}" for loss in losses))
assert losses[-1] < losses[0]

# %% save
if accelerator.is_main_process:
    save_adapter(accelerator.unwrap_model(model), "adapter")
