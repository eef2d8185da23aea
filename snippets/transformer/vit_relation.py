# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.rollout import trained_vit
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


@torch.enable_grad()
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
solved = {
    (name, count): by_seed(manifest, f"{name}, pairs, {count} pictures")
    for name in variants
    for count in (1000, 8000)
}
rows = {
    name: [
        f"{fields[name]}",
        *(
            over_seeds([100 * run["accuracy"] for run in solved[name, count]])
            for count in (1000, 8000)
        ),
    ]
    for name in variants
}
columns = ["", "field in pixels", "right in %, 1,000 pairs", "8,000 pairs"]
table(rows, columns).show()

# %% relation_values values
for (name, count), each in solved.items():
    key = f"{name.replace(', ', '_')}_{count}"
    print(f"{key} = {100 * sum(run['accuracy'] for run in each) / 3:.1f}")


# %% heads
def without(layer, heads):
    """Accuracy when what these heads read is not passed on."""
    vit = trained_vit("pairs")
    attention = vit.blocks[layer].attention
    with torch.no_grad():
        for head in heads:  # a head's columns of the output matrix, (64, 4 × 16)
            attention.output.weight.unflatten(1, (4, 16))[:, head] = 0
        return 100 * (vit(images).argmax(-1) == labels).double().mean().item()


rows = {
    f"layer {layer + 1}": [
        *(without(layer, [head]) for head in range(4)),
        without(layer, range(4)),
    ]
    for layer in range(4)
}
columns = ["right in % without", *(f"head {head + 1}" for head in range(4)), "all four"]
table(rows, columns, ".1f").show()

# %% heads_values values
first, *others = rows.values()
print(f"first_least = {min(first[:4]):.0f}")  # tolerance 30%
print(f"first_most = {max(first[:4]):.0f}")  # tolerance 30%
print(f"first_all = {first[4]:.0f}")  # tolerance 30%
print(f"others_least = {min(map(min, others)):.0f}")  # tolerance 30%
