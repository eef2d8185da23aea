# %% gpt3
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llm_tutorial.models import load_model, load_tokenizer

config = GPT2Config(
    vocab_size=50257, n_positions=2048, n_embd=12288, n_layer=96, n_head=96
)
with torch.device("meta"):  # shapes without memory
    gpt3 = GPT2LMHeadModel(config)
d, layers = config.n_embd, config.n_layer
blocks = layers * (12 * d**2 + 13 * d)  # matrices; biases and norms
rest = (config.vocab_size + config.n_positions) * d + 2 * d
assert blocks + rest == gpt3.num_parameters()
print(f"{gpt3.num_parameters():,}")

# %% gpt3_values values
print(f"gpt3_parameters = {gpt3.num_parameters()}")
print(f"gpt3_GB_16_bits = {2 * gpt3.num_parameters() / 1e9:.0f}")

# %% lower_precision
MODEL = "smollm2-135m"  # or "Qwen/Qwen3-8B", or a folder
tokenizer = load_tokenizer(MODEL)
text = "The norm of a vector is its length, and a unit vector has length one."
batch = tokenizer(text, return_tensors="pt")
found = {}
for dtype in (torch.float32, torch.bfloat16):
    model = load_model(MODEL, dtype=dtype)
    with torch.no_grad():
        found[dtype] = model(**batch).logits[0].float()
    print(dtype, f"{model.get_memory_footprint() / 1e6:.0f} MB")
exact, rough = found.values()
print(f"largest difference of a logit: {(exact - rough).abs().max():.2f}")
same = (exact.argmax(-1) == rough.argmax(-1)).float().mean()
print(f"same next token: {same:.0%}")
