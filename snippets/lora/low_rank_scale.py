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
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=RATE)
schedule = linear_decay(optimizer, STEPS)
data = batches(tokenizer, cldr_pairs(BATCH * STEPS), batch_size=BATCH)
losses = fit(model, data, optimizer, STEPS, schedule, accelerator=accelerator)
print(" ".join(f"{loss:.2f}" for loss in losses))
assert losses[-1] < losses[0]

# %% save
if accelerator.is_main_process:
    save_adapter(accelerator.unwrap_model(model), "adapter")
