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
ids = tokenizer("The river bank was steep, so the bank closed early.", return_tensors="pt").input_ids
states = bert(input_ids=ids, output_hidden_states=True).hidden_states  # seven of (1, token, 384)


# %% bert_layer
def bert_layer(x, w):  # (token, 384), weights by name
    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (384,), w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-12)

    Q, K, V = (heads(linear(x, f"attention.self.{name}"), 32) for name in ("query", "key", "value"))
    P = (Q @ K.mT / 32**0.5).softmax(-1)  # (12 heads, token, token)
    out = (P @ V).transpose(0, 1).flatten(1)  # (token, 384)
    x = norm(x + linear(out, "attention.output.dense"), "attention.output.LayerNorm")
    return norm(x + linear(F.gelu(linear(x, "intermediate.dense")), "output.dense"), "output.LayerNorm")


def of_layer(weights, prefix):
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


first = bert_layer(states[0][0], of_layer(weights, "encoder.layer.0."))
assert torch.allclose(first, states[1][0], atol=1e-5)

# %% bert_layer_values values
print(f"minilm_layer_difference = {(first - states[1][0]).abs().max():.0e}")  # tolerance 90%

# %% all_layers
x = states[0][0]
for layer in range(6):
    x = bert_layer(x, of_layer(weights, f"encoder.layer.{layer}."))
whole = bert(input_ids=ids).last_hidden_state[0]
assert torch.allclose(x, whole, atol=1e-5)

# %% smollm
llama, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
ids = tokenizer("<|im_start|>The river bank was steep, so the bank closed early.", return_tensors="pt").input_ids
states = llama.model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
config = llama.config
print(config.num_attention_heads, "query heads,", config.num_key_value_heads, "key-value heads of", config.head_dim)


# %% llama_layer
def rms_norm(x, weight):
    return weight * x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def rotate(x, base=100_000.0):  # (head, token, 64)
    angle = torch.arange(x.shape[1])[:, None] * base ** (-torch.arange(0, 64, 2) / 64)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def llama_layer(x, w):  # (token, 576)
    h = rms_norm(x, w["input_layernorm.weight"])
    Q, K, V = (heads(h @ w[f"self_attn.{name}_proj.weight"].T, 64) for name in "qkv")  # 9, 3 and 3 heads
    Q, K = rotate(Q), rotate(K)
    K, V = K.repeat_interleave(3, 0), V.repeat_interleave(3, 0)  # three neighbouring query heads share one
    scores = Q @ K.mT / 64**0.5
    future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    out = scores.masked_fill(future, -torch.inf).softmax(-1) @ V
    x = x + out.transpose(0, 1).flatten(1) @ w["self_attn.o_proj.weight"].T
    h = rms_norm(x, w["post_attention_layernorm.weight"])
    h = F.silu(h @ w["mlp.gate_proj.weight"].T) * (h @ w["mlp.up_proj.weight"].T)  # SwiGLU
    return x + h @ w["mlp.down_proj.weight"].T


weights = llama.model.state_dict()
first = llama_layer(states[0][0], of_layer(weights, "layers.0."))
print(f"smollm_layer_difference = {(first - states[1][0]).abs().max():.0e}")  # tolerance 90%
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
print(f"logits_relative_difference = {(logits - theirs).norm() / theirs.norm():.0e}")  # tolerance 90%
