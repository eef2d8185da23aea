# %% setup
import tempfile
from dataclasses import asdict

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    logging,
)
from transformers.modeling_outputs import CausalLMOutput

from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.plotting import GREY, label_lines, panels, use_style
from llm_tutorial.state_dicts import renamed
from llm_tutorial.tables import table
from llm_tutorial.transformer import block as library
from llm_tutorial.transformer.block import BlockConfig
from llm_tutorial.transformer.names import BERT, LLAMA, block_config, own_copy

use_style()
logging.disable_progress_bar()
torch.set_grad_enabled(False)
generator = torch.manual_seed(0)

# %% norms
x = 3 * torch.randn(4, 384) + 2  # (token, width)
mean = x.mean(-1, keepdim=True)
variance = (x - mean).square().mean(-1, keepdim=True)
layer_norm = (x - mean) / (variance + 1e-5).sqrt()
rms_norm = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
assert layer_norm.allclose(nn.LayerNorm(384, 1e-5)(x), atol=1e-5)
assert rms_norm.allclose(nn.RMSNorm(384, 1e-5)(x), atol=1e-5)

centred = x - mean
assert layer_norm.allclose(nn.RMSNorm(384, 1e-5)(centred), atol=1e-5)
assert rms_norm.allclose(nn.RMSNorm(384, 1e-5)(7 * x), atol=1e-5)  # scale is lost
assert layer_norm.allclose(nn.LayerNorm(384, 1e-5)(7 * x + 5), atol=1e-5)  # shift, too
assert not rms_norm.allclose(nn.RMSNorm(384, 1e-5)(x + 5), atol=0.1)


# %% rotate
def rotate(x, places, base):  # (batch, head, token, d), (batch, token)
    d = x.shape[-1]
    angles = places[:, None, :, None] * base ** (-torch.arange(0, d, 2) / d)
    a, b = x.chunk(2, -1)  # coordinate t and t + d/2 are a plane
    turned = a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()
    return torch.cat(turned, -1)


q, k = torch.randn(2, 1, 1, 5, 64)
near, far = torch.arange(5)[None], torch.arange(100, 105)[None]
scores = [rotate(q, p, 1e5) @ rotate(k, p, 1e5).mT for p in (near, far)]
assert scores[0].allclose(scores[1], atol=1e-4)  # distances count, places do not


# %% block
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.size, keys = config.width // config.heads, config.key_value_heads
        self.base = config.base if config.rotary else None
        self.query = nn.Linear(config.width, config.width, config.bias)
        self.key = nn.Linear(config.width, keys * self.size, config.bias)
        self.value = nn.Linear(config.width, keys * self.size, config.bias)
        self.output = nn.Linear(config.width, config.width, config.bias)

    def forward(self, x, mask, places):  # (batch, token, width)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )  # (batch, head, token, size); k and v may have fewer heads
        if self.base:
            q, k = rotate(q, places, self.base), rotate(k, places, self.base)
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        scores = q @ k.mT / self.size**0.5  # (batch, head, query, key)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, inner, bias = config.width, config.feed_forward, config.bias
        self.up = nn.Linear(width, inner, bias)
        self.gate = nn.Linear(width, inner, bias) if config.gated else None
        self.down = nn.Linear(inner, width, bias)

    def forward(self, x):  # (batch, token, width)
        if self.gate:
            return self.down(F.silu(self.gate(x)) * self.up(x))  # SwiGLU
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        norm = nn.RMSNorm if config.rms else nn.LayerNorm
        self.norm_first = config.norm_first
        self.attention, self.feed_forward = Attention(config), FeedForward(config)
        self.attention_norm = norm(config.width, config.epsilon)
        self.feed_forward_norm = norm(config.width, config.epsilon)

    def forward(self, x, mask, places):
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), mask, places)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask, places))
        return self.feed_forward_norm(x + self.feed_forward(x))


# %% same_as_library
bert, llama = load_encoder("minilm"), load_model("smollm2-135m")
configs = {"MiniLM": block_config(bert.config), "SmolLM2": block_config(llama.config)}
for config in configs.values():
    x, places = torch.randn(2, 7, config.width), torch.arange(7).expand(2, 7)
    mask = library.readable(places, None, config.causal)
    theirs, ours = library.Block(config), Block(config)
    ours.load_state_dict(theirs.state_dict())
    assert ours(x, mask, places).allclose(theirs(x, mask, places), atol=1e-5)

# %% two_configs
both = {
    field: [str(asdict(config)[field]) for config in configs.values()]
    for field in asdict(configs["MiniLM"])
}
table({k: v for k, v in both.items() if v[0] != v[1]}, ["", *configs]).show()


# %% count
def count(c):  # weights of matrices, without biases and norms
    attention = 2 * c.width**2 * (1 + c.key_value_heads / c.heads)
    feed_forward = (3 if c.gated else 2) * c.width * c.feed_forward
    return attention + feed_forward


for name, config in configs.items():
    matrices = [p for p in Block(config).parameters() if p.dim() == 2]
    assert count(config) == sum(p.numel() for p in matrices)
    print(f"{name}: {count(config):,.0f} weights in a block, {config.layers} blocks")

# %% rules
for old, new in BERT:
    print(f"{old:37} {new or '(left out)'}")

# %% names
for rules, name in (
    (BERT, "encoder.layer.0.attention.self.query.weight"),
    (BERT, "encoder.layer.0.attention.output.LayerNorm.weight"),
    (BERT, "encoder.layer.0.output.dense.weight"),
    (LLAMA, "model.layers.0.self_attn.q_proj.weight"),
    (LLAMA, "model.layers.0.input_layernorm.weight"),
    (LLAMA, "model.layers.0.mlp.down_proj.weight"),
):
    print(f"{name:51} {next(iter(renamed({name: x}, rules)))}")


# %% bert_equal
def with_our_blocks(config):  # embeddings and last norm are the package's
    whole = library.Transformer(config)
    whole.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
    return whole.eval()


tokenizer = load_tokenizer("minilm")
sentences = ["The river bank was steep, so the bank closed early.", "Short."]
batch = tokenizer(sentences, return_tensors="pt", padding=True)
real = batch.attention_mask.bool()  # (text, token); the second text is padded

own_bert = with_our_blocks(block_config(bert.config))
own_bert.load_state_dict(renamed(bert.state_dict(), BERT))  # strict: none left over
ours = own_bert(batch.input_ids, batch.attention_mask)
theirs = bert(**batch).last_hidden_state
assert (ours - theirs)[real].abs().max() < 1e-4

# %% bert_difference values
print(f"bert_difference = {(ours - theirs)[real].abs().max():.0e}")  # tolerance 90%

# %% llama_equal
tokenizer = load_tokenizer("smollm2-135m")
tokenizer.padding_side = "left"
batch = tokenizer(sentences, return_tensors="pt", padding=True)
real = batch.attention_mask.bool()
places = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)  # from the first real token

own_llama = with_our_blocks(block_config(llama.config))
own_llama.load_state_dict(renamed(llama.state_dict(), LLAMA))
ours = own_llama.logits(own_llama(batch.input_ids, batch.attention_mask, places))
theirs = llama(**batch, position_ids=places).logits
assert (ours - theirs)[real].abs().max() < 1e-4
assert ours[real].argmax(-1).equal(theirs[real].argmax(-1))

# %% llama_difference values
print(f"llama_difference = {(ours - theirs)[real].abs().max():.0e}")  # tolerance 90%
print(f"largest_logit = {theirs[real].abs().max():.0f}")

# %% tied
embedding, head = llama.model.embed_tokens.weight, llama.lm_head.weight
assert embedding.data_ptr() == head.data_ptr()  # one matrix under two names
print(f"tied: {embedding.numel():,} numbers serve twice")


# %% residual_stream
def parts_of(model, ids):  # what each attention and feed-forward part gives
    parts = []
    for block in model.blocks:
        for module in (block.attention, block.feed_forward):
            module.register_forward_hook(lambda module, x, out: parts.append(out))
    states = []
    model.blocks[-1].register_forward_hook(lambda module, x, out: states.append(out))
    model(ids)
    return parts, states[0]


own = own_copy(llama)
ids = batch.input_ids[:1]
parts, last = parts_of(own, ids)
assert last.allclose(own.tokens(ids) + sum(parts), rtol=1e-3, atol=1e-2)

hidden = {
    "MiniLM": bert(
        **load_tokenizer("minilm")(sentences[0], return_tensors="pt"),
        output_hidden_states=True,
    ).hidden_states,
    # the library gives its last state after the last norm: here it is before
    "SmolLM2": [
        *llama.model(ids, output_hidden_states=True).hidden_states[:-1],
        last,
    ],
}
figure, (axes,) = panels()
lengths = {}
for name, states in hidden.items():
    lengths[name] = [state[0].norm(dim=-1) for state in states]  # (token,) after each
    axes.plot([each[1:].median() for each in lengths[name]], label=name)
first = [each[0] for each in lengths["SmolLM2"]]
axes.plot(first, ":", color=GREY, label="SmolLM2, first token")
axes.set(xlabel="blocks passed", ylabel="vector length", yscale="log")
label_lines(axes)

# %% residual_stream_values values tolerance="10%"
growing = [float(each[1:].median()) for each in lengths["SmolLM2"]]
for place in (0, 1, 2, len(growing) - 1):
    print(f"length_{place} = {growing[place]:.0f}")
print(f"first_token_longest = {max(first):.0f}")
held = [float(each[1:].median()) for each in lengths["MiniLM"]]
print(f"minilm_shortest = {min(held):.0f}")
print(f"minilm_longest = {max(held):.0f}")

# %% shifted
shift = 50
moved = own_llama.logits(
    own_llama(batch.input_ids, batch.attention_mask, places + shift)
)
assert moved[real].allclose(ours[real], atol=1e-2)

bert_batch = load_tokenizer("minilm")(sentences[:1], return_tensors="pt")
there = torch.arange(bert_batch.input_ids.shape[1])[None] + shift
here = own_bert(bert_batch.input_ids)
moved = own_bert(bert_batch.input_ids, None, there)
cosine = F.cosine_similarity(here, moved, -1).mean()
print(f"MiniLM, mean cosine of a state and its shifted one: {cosine:.2f}")


# %% registered
class OneBlockConfig(PreTrainedConfig):
    model_type = "one-block"  # what config.json will say
    block: dict | None = None  # the fields of a BlockConfig


class OneBlockForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = OneBlockConfig
    base_model_prefix = "transformer"

    def __init__(self, config):
        super().__init__(config)
        self.transformer = library.Transformer(BlockConfig(**config.block))
        self.post_init()

    def prepare_inputs_for_generation(self, input_ids, attention_mask, **kwargs):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids, attention_mask=None, **kwargs):
        states = self.transformer(input_ids, attention_mask)
        return CausalLMOutput(logits=self.transformer.logits(states))


AutoConfig.register("one-block", OneBlockConfig)
AutoModelForCausalLM.register(OneBlockConfig, OneBlockForCausalLM)

# %% registered_loads
tiny = BlockConfig(100, 16, 2, 4, 2, 32, causal=True, norm_first=True, rotary=True)
model = OneBlockForCausalLM(OneBlockConfig(block=asdict(tiny))).eval()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
assert type(loaded) is OneBlockForCausalLM and not loaded.training
ids = torch.randint(100, (1, 5))
assert loaded(ids).logits.equal(model(ids).logits)

# %% registered_generates
config = OneBlockConfig(block=asdict(block_config(llama.config)))
with torch.device("meta"):
    model = OneBlockForCausalLM(config)
model.transformer = own_llama  # the weights of SmolLM2
prompt = tokenizer("The capital of France is", return_tensors="pt")
options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 2}
ours = model.generate(**prompt, use_cache=False, **options)
theirs = llama.generate(**prompt, **options)
assert ours.equal(theirs)
print(tokenizer.decode(ours[0]))
