# %% setup
import tempfile

import matplotlib.pyplot as plt
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForImageClassification, ViTConfig, ViTModel

from llm_tutorial.diagrams import Diagram
from llm_tutorial.digits import digit_tensors
from llm_tutorial.plotting import COLOURS, INK, heatmap, panels, use_style
from llm_tutorial.state_dicts import renamed
from llm_tutorial.tables import table
from llm_tutorial.transformer.block import Block, BlockConfig
from llm_tutorial.transformer.rollout import trained_vit
from llm_tutorial.transformer.vit import VIT, resized
from llm_tutorial.transformer.vit_library import library_vit

use_style()
torch.set_grad_enabled(False)
images, labels = digit_tensors("test")  # (600, 1, 28, 28), from 0 to 1

# %% picture
BLUE, ORANGE, GREEN = COLOURS[:3]
digit = images[2, 0].unfold(0, 7, 7).unfold(1, 7, 7)  # (row, column, 7, 7)
diagram = Diagram(width=24, height=19.5)


def draw(patch, x, y, side):
    box = (x, x + side, y, y + side)
    ink = {"cmap": INK, "vmin": 0, "vmax": 1, "aspect": "auto", "zorder": 3}
    diagram.axes.imshow(patch, extent=box, **ink)
    diagram.axes.add_patch(plt.Rectangle((x, y), side, side, fill=False, ec=ORANGE))


for row in range(4):
    for column in range(4):
        draw(digit[row, column], 1.4 + 1.45 * column, 17.2 - 1.45 * row, 1.3)
        draw(digit[row, column], 2.2 + 1.34 * (4 * row + column), 9.2, 1.2)
diagram.axes.set(xlim=(0, 24), ylim=(-1, 18.5))
diagram.text(9, 16.9, "28 × 28 pixels", ha="left")
diagram.text(9, 15.4, "16 patches of 7 × 7 pixels", ha="left")
diagram.text(9, 13.9, "and a token CLS without pixels", ha="left")
diagram.arrow((4.2, 12.6), (4.2, 10.7))
cls = diagram.box(1, 9.8, "CLS", width=1.9, height=1.3, colour=GREEN)
diagram.box(12.9, 6.9, "one linear map for all patches", 21.4, colour=ORANGE)
diagram.box(11.9, 4.5, "+ a learned vector for each place", 23.4, colour=BLUE)
diagram.box(11.9, 2.1, "blocks: each token attends to all", 23.4, colour=BLUE)
for top, bottom in ((9.1, 7.8), (6.0, 5.4), (3.6, 3.0)):
    diagram.arrow((12.9, top), (12.9, bottom))
diagram.arrow(cls, (1, 5.4), color=GREEN)
diagram.arrow((1, 1.2), (4.5, -0.2), via=[(1, -0.2)], color=GREEN)
diagram.text(5, -0.2, "linear classifier: scores of 10 digits", ha="left")
plt.show()

# %% patches
own = trained_vit()  # 4,000 digits, seed 0
cut = F.unfold(images, 7, stride=7).mT  # (picture, patch, 49 pixels)
kernel, bias = own.patches.weight, own.patches.bias  # (64, 1, 7, 7), (64,)
vectors = cut @ kernel.flatten(1).T + bias  # (picture, patch, 64)
assert torch.allclose(vectors, own.patches(images).flatten(2).mT, atol=1e-5)


# %% from_scratch
class ViT(nn.Module):
    def __init__(self, side, patch, channels, width, layers, heads, inner, classes):
        super().__init__()
        sizes = BlockConfig(
            0, width, layers, heads, heads, inner,
            causal=False, norm_first=True, epsilon=1e-12,
        )  # fmt: skip
        count = (side // patch) ** 2
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + count, width))
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(layers))
        self.last_norm = nn.LayerNorm(width, 1e-12)
        self.head = nn.Linear(width, classes)

    def states(self, images):  # (batch, channels, height, width)
        x = self.patches(images).flatten(2).mT  # (batch, patch, width)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)  # CLS first
        x = x + self.positions
        for block in self.blocks:
            x = block(x, None, None)  # no mask: everything may be read
        return self.last_norm(x)  # (batch, 1 + patch, width)

    def forward(self, images):
        return self.head(self.states(images)[:, 0])  # (batch, classes)


# %% same_as_library
config = ViTConfig(
    image_size=64, patch_size=16, num_channels=3, hidden_size=96,
    num_hidden_layers=3, num_attention_heads=6, intermediate_size=192,
)  # fmt: skip
torch.manual_seed(0)
theirs = ViTModel(config, add_pooling_layer=False).eval()
for weight in theirs.parameters():
    nn.init.normal_(weight, std=0.2)  # far from where a training starts
mine = ViT(64, 16, 3, 96, 3, 6, 192, classes=2).eval()
missing = mine.load_state_dict(renamed(theirs.state_dict(), VIT), strict=False)
assert missing.missing_keys == ["head.weight", "head.bias"]
assert not missing.unexpected_keys

photos = torch.rand(2, 3, 64, 64)
states = theirs(photos).last_hidden_state  # (2, 17, 96)
assert torch.allclose(mine.states(photos), states, atol=1e-4)
assert states.std() > 0.1  # there is something to compare

# %% trained
mine = ViT(28, 7, 1, 64, 4, 4, 128, classes=10).eval()
mine.load_state_dict(own.state_dict())
theirs = library_vit(own)  # a ViTForImageClassification
logits = theirs(pixel_values=images).logits  # (600, 10)
assert torch.allclose(mine(images), logits, atol=1e-4)
assert torch.allclose(own(images), logits, atol=1e-4)
right = (logits.argmax(-1) == labels).double().mean().item()

# %% trained_values values
print(f"accuracy = {100 * right:.1f}")  # tolerance 3%
print(f"parameters = {sum(p.numel() for p in own.parameters())}")

# %% files
with tempfile.TemporaryDirectory() as folder:
    theirs.config.id2label = {i: f"digit {i}" for i in range(10)}
    theirs.save_pretrained(folder)  # config.json and model.safetensors
    again = AutoModelForImageClassification.from_pretrained(folder)
best = again(pixel_values=images[2:3]).logits.argmax(-1).item()
print(type(again).__name__, "says:", again.config.id2label[best])


# %% bag
def with_positions(model, images, positions):
    x = model.patches(images).flatten(2).mT
    x = torch.cat([model.cls.expand(len(x), -1, -1), x], 1) + positions
    for block in model.blocks:
        x = block(x, None, None)
    return model.head(model.last_norm(x)[:, 0])


def share(logits):
    return (logits.argmax(-1) == labels).double().mean().item()


order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
mixed = F.fold(F.unfold(images, 7, stride=7)[:, :, order], 28, 7, stride=7)
moved = own.positions[:, [0, *(1 + order).tolist()]]  # CLS keeps its own
same = torch.zeros_like(own.positions)  # all places alike

assert torch.allclose(
    with_positions(own, mixed, same), with_positions(own, images, same), atol=1e-4
)  # without positions a picture is a bag of patches
assert torch.allclose(with_positions(own, mixed, moved), own(images), atol=1e-4)
table(
    {
        "as they are": [100 * share(own(images))],
        "patches moved": [100 * share(own(mixed))],
        "patches and positions moved": [100 * share(with_positions(own, mixed, moved))],
    },
    ["test pictures", "right in %"],
    ".1f",
).show()

# %% bag_values values
print(f"mixed_accuracy = {100 * share(own(mixed)):.0f}")  # tolerance 40%

# %% positions
patches = own.positions[0, 1:]  # (16, 64)
centred = patches - patches.mean(0)
alike = F.cosine_similarity(centred[:, None], centred[None], dim=-1)  # (16, 16)
mosaic = torch.full((19, 19), float("nan"))
for place in range(16):
    row, column = 5 * (place // 4), 5 * (place % 4)
    mosaic[row : row + 4, column : column + 4] = alike[place].view(4, 4)
figure, (axes,) = panels(1, height=4.4)
heatmap(axes, mosaic, limits=(-0.5, 1))
axes.set(xticks=[], yticks=[])
axes.spines[:].set_visible(False)
plt.show()

# %% distances values
rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
far = (rows[:, None] - rows).abs() + (columns[:, None] - columns).abs()
for steps in (1, 2, 3, 4):
    print(f"alike_{steps} = {alike[far == steps].mean():.2f}")  # tolerance 60%


# %% interpolate
def enlarged(side):
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


large = enlarged(42)  # 6 × 6 patches where 4 × 4 were learned
positions = resized(own.positions, (6, 6))  # (1, 37, 64)
assert torch.allclose(with_positions(own, large, positions), own(large), atol=1e-4)
try:
    theirs(pixel_values=large)
except ValueError as error:
    print(error)
logits = theirs(pixel_values=large, interpolate_pos_encoding=True).logits
assert torch.allclose(own(large), logits, atol=1e-4)


# %% cost
def multiplications(side, patch, channels, width, layers, inner, classes):
    patches = (side // patch) ** 2
    n = 1 + patches
    linear = 4 * n * width**2 + 2 * n * width * inner
    attention = 2 * n**2 * width
    into = patches * channels * patch**2 * width
    return into + layers * (linear + attention) + width * classes


def kept_numbers(side, patch, width, layers, inner):
    """Numbers of one picture that the blocks keep for the backward pass."""
    n = 1 + (side // patch) ** 2
    return layers * n * (8 * width + 2 * inner)


kept = {}
keep = torch.autograd.graph.saved_tensors_hooks(
    lambda x: kept.setdefault((x.data_ptr(), x.numel()), x), lambda x: x
)
weights = {p.data_ptr() for p in own.parameters()}
with torch.enable_grad(), keep:
    own(images[:100])
numbers = sum(x.numel() for (place, _), x in kept.items() if place not in weights)
assert abs(numbers / 100 / kept_numbers(28, 7, 64, 4, 128) - 1) < 0.1
print(f"kept: {numbers / 100:,.0f}; formula: {kept_numbers(28, 7, 64, 4, 128):,}")

# %% larger
sizes = {  # side, patch, width, layers, heads, inner
    "ViT-B/16": (224, 16, 768, 12, 12, 3072),
    "ViT-B/16, 384 px": (384, 16, 768, 12, 12, 3072),
    "ViT-L/16": (224, 16, 1024, 24, 16, 4096),
    "ViT-H/14": (224, 14, 1280, 32, 16, 5120),
}
rows = {}
for name, (side, patch, width, layers, heads, inner) in sizes.items():
    config = ViTConfig(
        image_size=side, patch_size=patch, hidden_size=width, num_labels=1000,
        num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
    )  # fmt: skip
    with torch.device("meta"):  # shapes without memory
        model = AutoModelForImageClassification.from_config(config)
    parameters = sum(p.numel() for p in model.parameters())
    products = multiplications(side, patch, 3, width, layers, inner, 1000)
    pictures = 32 * kept_numbers(side, patch, width, layers, inner) * 2
    rows[name] = [
        f"{parameters / 1e6:.1f}",
        f"{1 + (side // patch) ** 2}",
        f"{products / 1e9:.1f}",
        f"{16 * parameters / 2**30:.1f}",
        f"{pictures / 2**30:.1f}",
    ]
columns = ["", "parameters, 10⁶", "tokens", "multiplications, 10⁹",
           "AdamW, GiB", "32 pictures, GiB"]  # fmt: skip
table(rows, columns).show()

# %% larger_values values
print(f"products_own = {multiplications(28, 7, 1, 64, 4, 128, 10) / 1e6:.2f}")


# %% retired
def feature_extractor():
    from transformers import ViTFeatureExtractor  # noqa: F401


for call in (
    feature_extractor,
    lambda: get_peft_model(theirs, LoraConfig(target_modules=["query"])),
):
    try:
        call()
    except (ImportError, ValueError) as error:
        print(f"{type(error).__name__}: {str(error).split(' (')[0]}")

# %% lora
config = LoraConfig(target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
get_peft_model(library_vit(own), config).print_trainable_parameters()
