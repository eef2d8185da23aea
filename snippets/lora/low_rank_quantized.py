# %% setup
import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.inject import add_lora, lora_layers
from llm_tutorial.lora.quantized import (
    Q4Linear,
    dequantize_q4_1,
    quantize_model_from_gguf,
    quantize_q4_1,
    weight_bytes,
)
from llm_tutorial.lora.task import batches
from llm_tutorial.models import gguf_path, load_model, load_tokenizer
from llm_tutorial.training import fit

tokenizer = load_tokenizer("smollm2-135m")

# %% one_block
weights = torch.tensor([[0.3, -0.1, 0.8, 0.2] * 8])  # 32 weights make a block
block = quantize_q4_1(weights)[0, 0]  # 20 bytes
scale, minimum = block[:4].view(torch.float16).float()
levels = torch.cat([block[4:] & 15, block[4:] >> 4])  # two numbers a byte, 0 to 15
restored = scale * levels + minimum
assert torch.equal(restored, dequantize_q4_1(block[None, None])[0])
print(f"bits_per_weight = {8 * len(block) / 32:.0f}")
print(f"largest_error_in_steps = {((restored - weights[0]).abs().max() / scale):.2f}")

# %% packed_model
plain = load_model("smollm2-135m")
packed = quantize_model_from_gguf(load_model("smollm2-135m"), gguf_path("smollm2-135m"))
layers = [module for module in packed.modules() if isinstance(module, Q4Linear)]
print(f"packed_layers = {len(layers)}")
print(f"plain_MiB = {weight_bytes(plain) / 2**20:.0f}")
print(f"packed_MiB = {weight_bytes(packed) / 2**20:.0f}")

# %% equal_logits
ids = tokenizer("The train left 9 minutes ago.", return_tensors="pt").input_ids
with torch.no_grad():
    difference = plain(input_ids=ids).logits - packed(input_ids=ids).logits
assert difference.abs().max() < 1e-3

# %% train_on_top
torch.manual_seed(0)
add_lora(packed, rank=8, alpha=32)
trained = [p for p in packed.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=2e-3)
data = batches(tokenizer, cldr_pairs(8), batch_size=8)
losses = fit(packed, data, optimizer, steps=3)
print(f"first_loss = {losses[0]:.2f}")  # tolerance 2%
print(f"last_loss = {losses[-1]:.2f}")  # tolerance 5%
assert losses[-1] < losses[0]

# %% no_merge
name, layer = next(lora_layers(packed))
try:
    layer.merge()
except ValueError as error:
    print(error)
