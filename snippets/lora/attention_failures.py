# %% setup
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.lora.attention import attention
from llm_tutorial.models import load_model, load_tokenizer

torch.manual_seed(0)
Q, K, V = torch.randn(3, 1, 2, 6, 16)

# %% empty_row
mask = torch.ones(6, 6, dtype=torch.bool)
mask[3] = False  # the fourth query may read nothing, as a row of padding
V.requires_grad_()
scores = (Q @ K.mT / 4).masked_fill(~mask, -torch.inf)
out = scores.softmax(-1) @ V
print("explicit:", out[0, 0, 3, :3].detach())
out[:, :, :3].sum().backward()  # a loss that never looks at that row
print("gradient of the first value:", V.grad[0, 0, 0, :3])
sdpa = F.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
print("SDPA:    ", sdpa[0, 0, 3, :3].detach())
assert out[:, :, 3].isnan().all() and V.grad.isnan().all()

# %% empty_row_cure
V.grad = None
out, _ = attention(Q, K, V, mask)  # a large finite score, then weights of zero
out[:, :, :3].sum().backward()
assert (out[:, :, 3] == 0).all() and V.grad.isfinite().all()
V = V.detach()

# %% flipped_mask
causal = torch.ones(6, 6, dtype=torch.bool).tril()
layer = nn.MultiheadAttention(32, 2, batch_first=True).eval()
x = torch.randn(1, 6, 32)
changed = x.clone()
changed[:, -1] = torch.randn(32)  # only the last token, the future of all others
for name, mask in (("causal", causal), ("~causal", ~causal)):
    options = {"attn_mask": mask, "need_weights": False}
    with torch.no_grad():
        one, _ = layer(x, x, x, **options)
        other, _ = layer(changed, changed, changed, **options)
    moved = (one - other)[0, :-1].abs().amax(-1)
    moves = " ".join(f"{value:.3f}" for value in moved)
    print(f"attn_mask={name:8} outputs before the change move by {moves}")
assert torch.equal(moved, torch.zeros(5))  # ~causal is right: True means may not

# %% added_boolean
scores = Q @ K.mT / 4
added = (scores + causal).softmax(-1)  # True counts as 1: a nudge, not a mask
masked = scores.masked_fill(~causal, -torch.inf).softmax(-1)
assert added.triu(1).sum() > 1 and masked.triu(1).sum() == 0

# %% added_boolean_values values
print(f"weight_on_the_future = {added.triu(1).sum(-1).mean():.2f}")

# %% missing_scale
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
text = (
    "<|im_start|>The heart pumps blood through the body. "
    "Blood carries oxygen from the lungs to every organ."
)
ids = tokenizer(text, return_tensors="pt").input_ids


@torch.no_grad()
def perplexity(scale: float) -> float:
    for layer in model.model.layers:
        layer.self_attn.scaling = scale
    return model(input_ids=ids, labels=ids).loss.exp().item()


right, without, half = perplexity(64**-0.5), perplexity(1.0), perplexity(0.5 * 64**-0.5)
assert perplexity(64**-0.5) == right < half < without

# %% missing_scale_values values
print(f"perplexity_right = {right:.1f}")  # tolerance 2%
print(f"perplexity_without_scale = {without:.0f}")  # tolerance 10%
print(f"perplexity_half_scale = {half:.1f}")  # tolerance 5%

# %% overflow
s = torch.tensor([12.0, 11.0, 3.0], dtype=torch.float16)
direct = s.exp() / s.exp().sum()  # float16 ends at 65504, exp(11.1)
shifted = (s - s.max()).exp()
print("exp(s) / sum:      ", direct)
print("exp(s - max) / sum:", shifted / shifted.sum())
assert not direct.isfinite().all()
assert torch.allclose(shifted.sum().log() + s.max(), s.logsumexp(0), atol=1e-2)

# %% padding_side
prompts = [
    "<|im_start|>The capital of France is",
    "<|im_start|>The opposite of a very hot day in summer is a very",
]


@torch.no_grad()
def next_tokens(side: str) -> list[str]:
    tokenizer.padding_side = side
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    places = (batch.attention_mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(**batch, position_ids=places).logits[:, -1]  # what generate reads
    return [tokenizer.decode(token) for token in logits.argmax(-1)]


alone = []
for prompt in prompts:
    with torch.no_grad():
        logits = model(**tokenizer(prompt, return_tensors="pt")).logits[:, -1]
    alone.append(tokenizer.decode(logits.argmax(-1)[0]))
print("alone:", alone)
print("left: ", next_tokens("left"))
print("right:", next_tokens("right"))
assert next_tokens("left") == alone != next_tokens("right")
