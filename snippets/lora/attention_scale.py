# %% settings
import torch
from accelerate import Accelerator
from transformers import AutoConfig

from llm_tutorial.models import load_model, load_tokenizer, model_folder

MODEL = "smollm2-135m"  # or a local folder, or the id of a model on a hub
CONTEXT, BATCH, BYTES = 8192, 8, 2

# %% plan
folder = model_folder(MODEL) if MODEL == "smollm2-135m" else MODEL
config = AutoConfig.from_pretrained(folder)  # the shape alone, no weights yet
layers = config.num_hidden_layers
heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
size = getattr(config, "head_dim", None) or config.hidden_size // heads
cache = 2 * layers * kv_heads * size * CONTEXT * BATCH * BYTES
explicit = heads * CONTEXT**2 * BATCH * BYTES  # one layer's weights, all at once
flops = 4 * CONTEXT**2 * heads * size * layers * BATCH / 2  # causal: half the pairs

# %% plan_values values
print(f"cache_GiB = {cache / 2**30:.2f}")
print(f"explicit_weights_of_one_layer_GiB = {explicit / 2**30:.2f}")
print(f"attention_TFLOPs_of_a_prefill = {flops / 1e12:.1f}")

# %% run
accelerator = Accelerator()
model = load_model(MODEL, attn_implementation="sdpa").to(accelerator.device)
tokenizer = load_tokenizer(MODEL)
prompts = ["<|im_start|>Attention is", "<|im_start|>A cache holds"]
options = {"do_sample": False, "pad_token_id": tokenizer.eos_token_id}
with accelerator.split_between_processes(prompts) as mine, torch.inference_mode():
    for prompt in mine:  # each process answers its share
        ids = tokenizer(prompt, return_tensors="pt").to(accelerator.device)
        out = model.generate(**ids, max_new_tokens=8, **options)
        assert out.shape[1] <= ids.input_ids.shape[1] + 8
print(f"processes = {accelerator.num_processes}")
