# %% setup
import torch

from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseForCausalLM
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.relations import SAME_SURFACE, TITLE, related_kinds
from llm_tutorial.lora.sparse import sparse_attention

_ = torch.manual_seed(0)

# %% empty_row
real = torch.ones(1, 8, dtype=torch.bool)
real[0, 6:] = False  # two places of padding: they read nothing, and nobody reads them
matrix = InteractionMatrix(8, block_size=2, window=1, real=real)
x, W = torch.randn(1, 1, 8, 4), torch.randn(4, 4, requires_grad=True)
Q = x @ W
scores = Q @ x.mT / 2 + matrix.mask()[:, None].log()  # log 0 = -∞
out = scores.softmax(-1) @ x
print("rows with NaN:", out.isnan().any(-1)[0, 0].nonzero()[:, 0].tolist())
out[:, :, :6].sum().backward()  # the loss leaves the padding out
print("NaN in the gradient of W:", int(W.grad.isnan().sum()), "of", W.numel())
assert W.grad.isnan().all()

# %% empty_row_cure
W.grad = None
out = sparse_attention(x @ W, x, x, matrix)
out[:, :, :6].sum().backward()
assert out[:, :, 6:].eq(0).all() and W.grad.isfinite().all()

# %% look_ahead
ids = torch.tensor([[5, 6, 1, 7, 5, 6, 8]])  # the name 5 6; what follows the second 5?
entity, t = torch.tensor([[0]]), 4
for causal in (False, True):
    links = []
    for following in range(5, 10):
        other = ids.clone()
        other[0, t + 1] = following
        kinds = related_kinds(other, entity, titles=[(7, 5)], causal=causal)
        links.append(int(kinds[0, t, 0] & (SAME_SURFACE | TITLE)))
    relation = f"relation of place {t}, by the token that follows it (5 … 9)"
    print(f"causal={causal!s:5}  {relation}: {links}")
    # if it varies, place 4 knows what it is to predict
    assert (len(set(links)) == 1) == causal

# %% look_ahead_cure
config = RelationSparseConfig(
    vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=32, block_size=8, num_entities=4, sentence_ends=(1,),
    titles=((7, 5),), bigram_buckets=64, dropout=0.0,
)  # fmt: skip
model = RelationSparseForCausalLM(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.normal_(std=0.5)  # so that every relation counts
text = torch.randint(1, 20, (1, 60))
for t in range(1, 60):
    other = text.clone()
    other[0, t:] = torch.randint(1, 20, (60 - t,))
    with torch.no_grad():
        before, after = model(text).logits[0, :t], model(other).logits[0, :t]
    assert torch.allclose(before, after, atol=1e-4)  # what follows is not seen before

# %% top_k_looks_ahead
score = torch.randn(1, 60)
later = score.clone()
later[0, 50:] += 10  # ten high scores at the end
early = [set(s.topk(4).indices[0].tolist()) & set(range(50)) for s in (score, later)]
first = [set((s[0, :50] > 1).nonzero()[:4, 0].tolist()) for s in (score, later)]
print("top 4 among the first 50 places:", *map(sorted, early))
print("first 4 above a threshold:      ", *map(sorted, first))
assert early[0] != early[1] and first[0] == first[1]
