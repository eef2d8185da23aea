# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseEncoder
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.plotting import heatmap, legend, panels, use_style

torch.manual_seed(0)
use_style()


# %% powers
def reached(masks: list[torch.Tensor]) -> list[torch.Tensor]:
    """After each layer (n, n): True where the output at a row depends on an input."""
    reach, after = torch.eye(masks[0].shape[0]), []
    for mask in masks:
        reach = (mask.float() @ reach > 0).float()  # what those whom I read have read
        after.append(reach.bool())
    return after


n, b, w = 512, 16, 1
window = InteractionMatrix(n, b, w).mask()[0]
places = torch.tensor([[100, 400]])
entities = InteractionMatrix(n, b, w, entities=places).mask()[0]
growth = {
    "window": reached([window] * 32),
    "window + 2 entities": reached([entities] * 32),
}
for layers in (1, 2, 4, 8):
    reach = growth["window"][layers - 1]
    row, column = reach.nonzero().unbind(1)
    far, share = int((row - column).max()), reach.float().mean()
    assert far == layers * w * b + b - 1  # w blocks a layer, the rest of the last one
    print(f"{layers} layers of window reach {far:3} places, {share:5.1%} of all pairs")
one, two, *_ = growth["window + 2 entities"]
assert not one.all() and two.all()  # to the entity, and from it

# %% layers_needed
figure, (axes,) = panels()
for name, reaches in growth.items():
    percent = [100 * reach.float().mean() for reach in reaches]
    axes.plot(range(1, 33), percent, label=name, markevery=3)
axes.set(xlabel="layers", ylabel="pairs reached (%)", ylim=(0, 105))
legend(axes)
plt.show()
layers = 1 + [bool(reach.all()) for reach in growth["window"]].index(True)
assert layers == -(-(n - b) // (w * b))  # rounded up

# %% layers_needed_values values
print(f"layers_of_window_alone = {layers}")

# %% encoder
n = 160
config = RelationSparseConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
    intermediate_size=32, block_size=16, window=1, dropout=0.0, gate_layer=1,
)  # fmt: skip
encoder = RelationSparseEncoder(config).eval()
ids = torch.randint(1, 50, (1, n))
# (n, hidden), in place of the table, so that each place has a gradient of its own
vectors = encoder.embedding.weight[ids[0]].detach().requires_grad_()
encoder.embedding.forward = lambda _: vectors[None]


def depends(places: torch.Tensor) -> torch.Tensor:
    """(n, n), True where the output at a row has a gradient at an input."""
    hidden = encoder(ids, entities=places).last_hidden_state[0]  # (n, hidden)
    direction = torch.randn(hidden.shape[1])
    rows = []
    for h in hidden:
        (grad,) = torch.autograd.grad(h @ direction, vectors, retain_graph=True)
        rows.append(grad.abs().sum(-1) > 0)
    return torch.stack(rows)


# %% gradients_agree
places = torch.tensor([[20, 90]])
alone = InteractionMatrix(n, 16, 1).mask()[0]
both = InteractionMatrix(n, 16, 1, entities=places).mask()[0]
with_entities = depends(places)
expected = reached([alone, both, both])[-1]  # the first layer reads its window only
assert torch.equal(with_entities, expected) and with_entities.all()
without = depends(torch.tensor([[-1, -1]]))
assert torch.equal(without, reached([alone] * 3)[-1]) and not without.all()

# %% pictures
figure, axes = panels(2, height=3.0)
masks = {"window": without, "window + 2 entities": with_entities}
for panel, (name, mask) in zip(axes, masks.items(), strict=True):
    heatmap(panel, mask, limits=(0, 1.4))
    percent = 100 * mask.float().mean()
    panel.set(title=f"{name}: {percent:.0f} %", xlabel="input", ylabel="output")
plt.show()
