# %% setup
import matplotlib.pyplot as plt
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Conv2d as PeftConv2d
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.adapters import LowRankConv2d, add_adapters, probed_network
from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    shots,
    subjects,
)
from llm_tutorial.data.openmoji import openmoji
from llm_tutorial.diffusion.autoencoder import autoencoder
from llm_tutorial.diffusion.latent import u_net
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import label_lines, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.training import adamw, linear_decay
from llm_tutorial.transformer.image_tokens import load_image_tokenizer
from llm_tutorial.transformer.vit import VisionConfig, VisionTransformer

torch.manual_seed(0)
use_style()
manifest = results("cnn", "features_tuned")
measured = manifest["metrics"]


# %% adapter
class LoRAConv2d(nn.Module):
    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Conv2d(base.in_channels, rank, 1, bias=False)  # A
        self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)  # B
        nn.init.zeros_(self.up.weight)  # starts as the base
        self.scale = alpha / rank

    def forward(self, x):  # (batch, channels, height, width)
        return self.base(x) + self.scale * self.up(self.down(x))


base = load_efficientnet().blocks[13].expand.conv  # 192 to 1,152 channels, 1 × 1
mine = LoRAConv2d(base)
nn.init.normal_(mine.up.weight, std=0.02)  # as if it had learned something
x = torch.randn(2, 192, 7, 7)
with torch.no_grad():
    change = torch.einsum(
        "or,ri->oi", mine.up.weight[..., 0, 0], mine.down.weight[..., 0, 0]
    )
    merged = F.conv2d(x, base.weight + mine.scale * change[..., None, None])
    assert mine(x).allclose(merged, atol=1e-4)

# %% peft
model = load_efficientnet()
config = LoraConfig(r=8, lora_alpha=16, target_modules=r".*(expand|project|head)\.conv")
wrapped = get_peft_model(model, config)
layers = [layer for layer in wrapped.modules() if isinstance(layer, PeftConv2d)]
theirs = wrapped.base_model.model.blocks[13].expand.conv
with torch.no_grad():
    theirs.lora_A.default.weight.copy_(mine.down.weight)
    theirs.lora_B.default.weight.copy_(mine.up.weight)
    assert theirs(x).allclose(mine(x), atol=1e-5)
ours = add_adapters(load_efficientnet())
adapted = sum(p.numel() for p in ours.parameters() if p.requires_grad)
assert adapted == sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
assert len(layers) == sum(isinstance(each, LowRankConv2d) for each in ours.modules())
print(f"{len(layers)} convolutions of 1 × 1, {adapted:,} parameters in adapters")

# %% live
train, validation = subjects("train"), subjects("validation")
names, labels = group_labels(train)
chosen = shots(labels, 20, seed=0)  # 180 of 1,051
images = inputs([train[i] for i in chosen], 64)
labels = labels[chosen]
frozen = load_efficientnet()
features = pooled_features(frozen, images, ["head"])["head"]
held_out = pooled_features(frozen, inputs(validation, 64), ["head"])["head"]
probe = fit_probe(features, labels, (held_out, group_labels(validation)[1]))


def tune(model, rate, steps=40, stop=40, batch=16, seed=0):
    optimizer, losses = adamw(model, rate), []
    schedule = linear_decay(optimizer, steps, warmup=5)
    for step in range(stop):
        torch.manual_seed(1_000_003 * seed + step)
        some = torch.randint(len(images), (batch,))
        down, right = torch.randint(9, (2,)).tolist()  # one shift a batch
        x = F.pad(images[some], [4] * 4, value=1.0)  # white
        x = x[..., down : down + 64, right : right + 64]
        loss = F.cross_entropy(model(x), labels[some])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
model = add_adapters(probed_network(probe))  # the probe is its classifier
model.classifier.requires_grad_(True)
assert model(images).allclose(probe.scores(features), atol=1e-3)  # starts as the probe
recorded = measured["low rank, 20 a class, seed 0"]
losses = tune(model, recorded["rate"], stop=3)
assert torch.tensor(losses).allclose(
    torch.tensor(manifest["losses"]["low rank, 20 a class, seed 0"][:3]), rtol=0.01
)

# %% curves
VARIANTS = {
    "frozen": "frozen", "last blocks": "last blocks", "low rank": "LoRA",
    "all": "all", "small, from nothing": "small, from nothing",
}  # fmt: skip
counts = manifest["counts"]
figure, (axes,) = panels(height=3.2)
for variant, label in VARIANTS.items():
    runs = [by_seed(manifest, f"{variant}, {count} a class") for count in counts]
    accuracies = [[100 * each["accuracy"] for each in some] for some in runs]
    spread(axes, [5, 20, 120], list(zip(*accuracies, strict=True)), label)
axes.set_xscale("log")
axes.set_xticks([5, 20, 120], ["5", "20", "all"])
axes.minorticks_off()
axes.set_xlabel("labels for each group")
axes.set_ylabel("right, %")
label_lines(axes)
plt.show()

# %% compared
rows = {}
for variant, label in VARIANTS.items():
    runs = [by_seed(manifest, f"{variant}, {count} a class") for count in counts]
    free = runs[0][0].get("free", 9 * 1280 + 9)  # a probe
    accuracies = [[100 * each["accuracy"] for each in some] for some in runs]
    rows[label] = [free, *map(over_seeds, accuracies)]
columns = ["variant", "free parameters", "5 a group", "20 a group", "all"]
table(rows, columns, [",", "", "", ""]).show()


# %% elsewhere
def counted(model):
    kinds = {"k × k": 0, "1 × 1": 0, "linear": 0, "other": 0}
    for layer in model.modules():
        weights = sum(p.numel() for p in layer.parameters(recurse=False))
        if isinstance(layer, nn.Conv2d):
            kinds["1 × 1" if layer.kernel_size == (1, 1) else "k × k"] += weights
        else:
            kinds["linear" if isinstance(layer, nn.Linear) else "other"] += weights
    total = sum(p.numel() for p in model.parameters())
    assert sum(kinds.values()) == total
    return [total, *(100 * each / total for each in kinds.values())]


vit = VisionTransformer(VisionConfig())
modules = {
    "EfficientNet-Lite0": frozen, "U-Net of a diffusion model": u_net(),
    "its autoencoder": autoencoder(), "picture tokeniser": load_image_tokenizer(),
    "vision Transformer": vit,
}  # fmt: skip
rows_elsewhere = {name: counted(each) for name, each in modules.items()}
columns = ["", "parameters", "k × k, %", "1 × 1, %", "linear, %", "other, %"]
table(rows_elsewhere, columns, [",", ".1f", ".1f", ".1f", ".1f"]).show()

# %% patches
x, patch = torch.rand(2, 1, 28, 28), vit.config.patch
cut = F.unfold(x, patch, stride=patch).mT  # (2, 16, 49): patches as rows
linear = cut @ vit.patches.weight.flatten(1).T + vit.patches.bias  # (2, 16, 64)
assert linear.allclose(vit.patches(x).flatten(2).mT, atol=1e-5)

# %% leak
people = {}
for picture in openmoji():
    if picture.subgroup.startswith("person-") and picture.gender:
        people.setdefault(picture.base, []).append(picture)
people = {base: some[:6] for base, some in people.items() if len(some) >= 6}
some = [picture for pictures in people.values() for picture in pictures]
kinds = sorted({picture.subgroup for picture in some})
answers = torch.tensor([kinds.index(picture.subgroup) for picture in some])
subject = torch.tensor([list(people).index(picture.base) for picture in some])
x = pooled_features(frozen, inputs(some, 64), ["head"])["head"]


def right(train, test):
    present = torch.isin(answers[test], answers[train])
    relabel = answers[train].unique()
    probe = fit_probe(
        x[train], torch.searchsorted(relabel, answers[train]), strengths=[0.01]
    )
    guess = relabel[probe.scores(x[test]).argmax(-1)]
    return (guess == answers[test])[present].double().mean().item()


found = {"by picture": [], "by subject": []}
for seed in range(5):
    torch.manual_seed(seed)
    picture = torch.rand(len(some)) < 0.5
    by_subject = (torch.rand(len(people)) < 0.5)[subject]
    for name, known in (("by picture", picture), ("by subject", by_subject)):
        found[name].append(100 * right(known, ~known))
rows = {name: [over_seeds(values)] for name, values in found.items()}
table(rows, ["split", "right, %"]).show()
assert min(found["by picture"]) > max(found["by subject"])

# %% norms
batch = images[:16]
with torch.no_grad():
    alone = frozen(batch[:1])[0]
    frozen.train()  # forgotten: batch norm now describes the batch
    first, second = frozen(batch)[0], frozen(batch[[0, *range(15, 8, -1)]])[0]
    for some in images.split(16):  # one pass over 180 pictures
        frozen(some)
    frozen.eval()
    after = frozen(batch[:1])[0]
cosine = F.cosine_similarity
print(f"train(), one picture in two batches: cosine {cosine(first, second, dim=0):.2f}")
print(f"eval(), before and after the pass:   cosine {cosine(alone, after, dim=0):.2f}")
frozen = load_efficientnet()  # the cure: load again, and extract in eval()
assert frozen(batch[:1])[0].allclose(alone, atol=1e-4)

# %% tuned_values values
print(f"runs = {len(measured)}")
KEYS = ("frozen", "last", "lora", "all", "small")
for key, variant in zip(KEYS, VARIANTS, strict=True):
    for count in counts:
        some = by_seed(manifest, f"{variant}, {count} a class")
        at = count if count < 100 else "all"
        accuracies = [100 * run["accuracy"] for run in some]
        print(f"{key}_{at} = {sum(accuracies) / len(accuracies):.0f}")
        print(f"{key}_{at}_low = {min(accuracies):.0f}")
        print(f"{key}_{at}_high = {max(accuracies):.0f}")
    print(f"{key}_rate = {some[0].get('rate', 0):g}")
print(f"adapted = {adapted:,}")
print(f"adapter_kilobytes = {4 * adapted / 1000:.0f}")
print(f"people = {len(people)}")
for name, values in found.items():
    print(f"leak_{name.split()[1]} = {sum(values) / 5:.0f}")  # tolerance 5%
for name, label in zip(modules, ("lite", "unet", "vae", "tokens", "vit"), strict=True):
    print(f"spatial_{label} = {rows_elsewhere[name][1]:.0f}")
