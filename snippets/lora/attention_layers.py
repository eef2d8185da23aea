# %% setup
import torch
from torch.nn import functional as F

from llm_tutorial.models import load_encoder, load_model, load_tokenizer

torch.set_grad_enabled(False)


def heads(x, size):  # (token, heads * size) -> (head, token, size)
    return x.unflatten(-1, (-1, size)).transpose(0, 1)


# %% minilm
bert, tokenizer = load_encoder("minilm"), load_tokenizer("minilm")
weights = bert.state_dict()
sentence = "The river bank was steep, so the bank closed early."
ids = tokenizer(sentence, return_tensors="pt").input_ids
out = bert(input_ids=ids, output_hidden_states=True)
states = out.hidden_states  # seven of (1, token, 384)


# %% bert_layer
def bert_layer(x, w):  # (token, 384), weights by name
    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (384,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    names = ("query", "key", "value")
    Q, K, V = (heads(linear(x, f"attention.self.{name}"), 32) for name in names)
    P = (Q @ K.mT / 32**0.5).softmax(-1)  # (12 heads, token, token)
    out = (P @ V).transpose(0, 1).flatten(1)  # (token, 384)
    x = norm(x + linear(out, "attention.output.dense"), "attention.output.LayerNorm")
    h = F.gelu(linear(x, "intermediate.dense"))
    return norm(x + linear(h, "output.dense"), "output.LayerNorm")


def of_layer(weights, prefix):
    names = [name for name in weights if name.startswith(prefix)]
    return {name.removeprefix(prefix): weights[name] for name in names}


first = bert_layer(states[0][0], of_layer(weights, "encoder.layer.0."))
assert torch.allclose(first, states[1][0], atol=1e-5)

# %% bert_layer_values values
difference = (first - states[1][0]).abs().max()
print(f"minilm_layer_difference = {difference:.0e}")  # tolerance 90%

# %% all_layers
x = states[0][0]
for layer in range(6):
    x = bert_layer(x, of_layer(weights, f"encoder.layer.{layer}."))
whole = bert(input_ids=ids).last_hidden_state[0]
assert torch.allclose(x, whole, atol=1e-5)

# %% smollm
llama, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
ids = tokenizer("<|im_start|>" + sentence, return_tensors="pt").input_ids
out = llama.model(input_ids=ids, output_hidden_states=True, use_cache=False)
states = out.hidden_states
config = llama.config
count, kv_count = config.num_attention_heads, config.num_key_value_heads
print(f"{count} query heads, {kv_count} key-value heads of {config.head_dim}")


# %% llama_layer
def rms_norm(x, weight):
    return weight * x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def rotate(x, base=100_000.0):  # (head, token, 64)
    angle = torch.arange(x.shape[1])[:, None] * base ** (-torch.arange(0, 64, 2) / 64)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def llama_layer(x, w):  # (token, 576)
    h = rms_norm(x, w["input_layernorm.weight"])
    # 9 query heads and 3 for keys and values, each shared by three neighbours
    Q, K, V = (heads(h @ w[f"self_attn.{name}_proj.weight"].T, 64) for name in "qkv")
    Q, K = rotate(Q), rotate(K)
    K, V = K.repeat_interleave(3, 0), V.repeat_interleave(3, 0)
    scores = Q @ K.mT / 64**0.5
    future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    out = scores.masked_fill(future, -torch.inf).softmax(-1) @ V
    x = x + out.transpose(0, 1).flatten(1) @ w["self_attn.o_proj.weight"].T
    h = rms_norm(x, w["post_attention_layernorm.weight"])
    gate, up = h @ w["mlp.gate_proj.weight"].T, h @ w["mlp.up_proj.weight"].T
    return x + (F.silu(gate) * up) @ w["mlp.down_proj.weight"].T  # SwiGLU


weights = llama.model.state_dict()
first = llama_layer(states[0][0], of_layer(weights, "layers.0."))
difference = (first - states[1][0]).abs().max()
print(f"smollm_layer_difference = {difference:.0e}")  # tolerance 90%
assert torch.allclose(first, states[1][0], atol=1e-5)

# %% all_of_smollm
x = weights["embed_tokens.weight"][ids[0]]
for layer in range(30):
    x = llama_layer(x, of_layer(weights, f"layers.{layer}."))
logits = rms_norm(x, weights["norm.weight"]) @ weights["embed_tokens.weight"].T
theirs = llama(input_ids=ids).logits[0]
assert torch.allclose(logits, theirs, atol=1e-2)
assert torch.equal(logits.argmax(-1), theirs.argmax(-1))

# %% all_of_smollm_values values
difference = (logits - theirs).norm() / theirs.norm()
print(f"logits_relative_difference = {difference:.0e}")  # tolerance 90%
