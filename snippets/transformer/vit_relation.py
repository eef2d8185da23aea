# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import heatmap, image_grid, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.rollout import attention_weights, trained_vit
from llm_tutorial.transformer.vit import convolutional, pairs

use_style()
manifest = results("transformer", "vit")
images, labels = pairs("test")  # (1000, 1, 28, 28); 1 where the height is the same

# %% pairs
rows = [images[labels == label][:6, 0] for label in (1, 0)]
grid = 0.9 - 0.9 * torch.stack(rows)  # paper a little grey, so that edges show
image_grid(grid, ["same height", "other height"], size=0.6)
plt.show()

# %% networks
torch.manual_seed(0)
networks = {
    "CNN, near": convolutional((8, 8, 8), 1, 2, dilations=(1, 1, 1)),
    "CNN, far": convolutional((8, 8, 8), 1, 2, dilations=(1, 2, 4)),
    "CNN": convolutional(classes=2),
}


def field(network):
    """Columns that a unit in the middle, before the last mean, depends on."""
    features = network.eval()[:-3]  # without mean, flattening and classifier
    x = torch.rand(1, 1, 61, 61, requires_grad=True)
    y = features(x)
    y[0, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
    return int((x.grad[0, 0].abs().sum(0) > 0).sum())


fields = {name: field(network) for name, network in networks.items()}
print(fields)

# %% additive
both = images[:200]
left, right = both.clone(), both.clone()
left[..., 14:], right[..., :14] = 0, 0
nothing = torch.zeros(1, 1, 28, 28)
with torch.no_grad():
    for name in ("CNN, near", "CNN, far"):
        score = networks[name]
        parts = score(left) + score(right) - score(nothing)
        difference = (score(both) - parts).abs().max().item()
        print(f"{name}: {difference:.0e}")
        assert (difference < 1e-6) == (name == "CNN, near")

# %% relation_table
variants = ("CNN, near", "CNN, far", "CNN", "ViT")
fields["ViT"] = 28
found = {
    (name, count): by_seed(manifest, f"{name}, pairs, {count} pictures")
    for name in variants
    for count in (1000, 8000)
}
rows = {
    name: [
        f"{fields[name]}",
        *(
            over_seeds([100 * run["accuracy"] for run in found[name, count]])
            for count in (1000, 8000)
        ),
    ]
    for name in variants
}
columns = ["", "field in pixels", "right in %, 1,000 pairs", "8,000 pairs"]
table(rows, columns).show()

# %% relation_values values
for (name, count), each in found.items():
    key = f"{name.replace(', ', '_')}_{count}"
    print(f"{key} = {100 * sum(run['accuracy'] for run in each) / 3:.1f}")

# %% heads
vit = trained_vit("pairs")
with torch.no_grad():
    attention = attention_weights(vit, images).mean(1)  # (layer, head, query, key)
squares = attention[..., 1:, 1:].unflatten(-2, (4, 4)).unflatten(-1, (4, 4))
across = squares[..., 0, :, 3]  # from the leftmost patches to the rightmost ones
level = torch.eye(4, dtype=torch.bool)  # both in the same row
contrast = across[..., level].mean(-1) - across[..., ~level].mean(-1)
layer, head = divmod(int(contrast.argmax()), 4)
figure, (axes,) = panels(1, height=3.2)
heatmap(axes, across[layer, head], range(1, 5), range(1, 5), form=".2f")
axes.set(xlabel="row of the patch at the right", ylabel="at the left")
plt.show()


# %% without_a_head
def without(layer, head):
    other = trained_vit("pairs")
    with torch.no_grad():
        size = other.blocks[layer].attention.size
        joined = other.blocks[layer].attention.output.weight  # (64, 4 heads × 16)
        joined[:, head * size : (head + 1) * size] = 0
        return 100 * (other(images).argmax(-1) == labels).double().mean().item()


rows = {
    f"layer {i + 1}": [without(i, j) for j in range(4)] for i in range(4)
}  # right in %
table(rows, ["without", *(f"head {j + 1}" for j in range(4))], ".1f").show()

# %% heads_values values
print(f"layer = {layer + 1}")
print(f"head = {head + 1}")
print(f"level = {100 * across[layer, head][level].mean():.0f}")  # tolerance 30%
print(f"other = {100 * across[layer, head][~level].mean():.0f}")  # tolerance 30%
print(f"without_it = {rows[f'layer {layer + 1}'][head]:.0f}")  # tolerance 30%
