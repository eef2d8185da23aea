# %% setup
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import torch
from peft import LoraConfig, PeftModel, get_peft_model
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
tuned = results("cnn", "features_tuned")
longer = results("cnn", "features_longer")


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


base = load_efficientnet().blocks[12].expand.conv  # 192 to 1,152 channels, 1 × 1
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
config = LoraConfig(r=8, lora_alpha=16, target_modules=r".*(expand|project|head)\.conv")
wrapped = get_peft_model(load_efficientnet(), config)
layers = [layer for layer in wrapped.modules() if isinstance(layer, PeftConv2d)]
theirs = wrapped.base_model.model.blocks[12].expand.conv
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
splits = ("train", "validation", "test")
sides = {split: subjects(split) for split in splits}
group_of = {split: group_labels(chosen)[1] for split, chosen in sides.items()}
frozen = load_efficientnet()
known = {  # at 64 pixels: a quarter of the time that 128 take
    split: pooled_features(frozen, inputs(chosen, 64), ["blocks.12", "head"])
    for split, chosen in sides.items()
}
chosen = shots(group_of["train"], 20, seed=0)  # 180 of 1,051
few_labels = group_of["train"][chosen]
few_images = inputs([sides["train"][i] for i in chosen], 64)
few_features = known["train"]["head"][chosen]
held_out = known["validation"]["head"], group_of["validation"]
few_probe = fit_probe(few_features, few_labels, held_out)


def tune(network, rate, steps=40, stop=40, batch=16, seed=0):
    optimizer, losses = adamw(network, rate), []
    schedule = linear_decay(optimizer, steps, warmup=5)
    for step in range(stop):
        torch.manual_seed(1_000_003 * seed + step)
        some = torch.randint(len(few_images), (batch,))
        down, right = torch.randint(9, (2,)).tolist()  # one shift a batch
        x = F.pad(few_images[some], [4] * 4, value=1.0)  # white
        x = x[..., down : down + 64, right : right + 64]
        loss = F.cross_entropy(network(x), few_labels[some])
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
network = add_adapters(probed_network(few_probe))  # the probe is its classifier
network.classifier.requires_grad_(True)
assert not network.train().training  # its batch norms keep their running means
assert network(few_images).allclose(few_probe.scores(few_features), atol=1e-3)
name = "low rank, 20 a class, seed 0"
losses = tune(network, tuned["metrics"][name]["rate"], stop=3)
assert torch.tensor(losses).allclose(torch.tensor(tuned["losses"][name][:3]), rtol=0.01)


# %% probes
def frozen_runs(layer, scaled):
    rows = []
    for count in tuned["counts"]:
        runs = []
        for seed in range(3 if count < 100 else 1):  # all labels: one draw
            chosen = shots(group_of["train"], count, seed)
            probe = fit_probe(
                known["train"][layer][chosen],
                group_of["train"][chosen],
                (known["validation"][layer], group_of["validation"]),
                scaled_by=known["train"][layer] if scaled else None,
            )
            right = probe.accuracy(known["test"][layer], group_of["test"])
            runs.append(100 * right)
        rows.append(runs)
    return rows


probes = {
    "frozen head": frozen_runs("head", False),
    "frozen head, scaled by all": frozen_runs("head", True),
    "frozen block 13": frozen_runs("blocks.12", False),
}
before = tuned["metrics"]["frozen, 5 a class, seed 0"]["accuracy"]
assert abs(probes["frozen head"][0][0] - 100 * before) < 1

# %% curves
VARIANTS = {
    "last blocks": "last blocks", "low rank": "LoRA", "all": "all",
    "small, from nothing": "small, from scratch",
}  # fmt: skip
accuracies = dict(probes)
for variant, label in VARIANTS.items():
    runs = [by_seed(tuned, f"{variant}, {count} a class") for count in tuned["counts"]]
    accuracies[label] = [[100 * each["accuracy"] for each in some] for some in runs]
figure, (axes,) = panels(height=3.6)
for label, values in accuracies.items():
    if label != "frozen head, scaled by all":
        values = [each * 3 if len(each) == 1 else each for each in values]
        spread(axes, [5, 20, 120], list(zip(*values, strict=True)), label)
axes.set_xscale("log")
axes.set_xticks([5, 20, 120], ["5", "20", "all"])
axes.minorticks_off()
axes.set_xlabel("labels for each group")
axes.set_ylabel("right, %")
label_lines(axes)
plt.show()

# %% compared
free = {"frozen block 13": 9 * 192 + 9}
for variant, label in VARIANTS.items():
    free[label] = tuned["metrics"][f"{variant}, 5 a class, seed 0"]["free"]
rows = {
    label: [free.get(label, 9 * 1280 + 9), *map(over_seeds, values)]
    for label, values in accuracies.items()
}
columns = ["variant", "trainable parameters", "5 a group", "20 a group", "all"]
table(rows, columns, [",", "", "", ""]).show()

# %% longer
rows, five = {}, {}
for variant in ("last blocks", "all", "small, from nothing"):
    label = VARIANTS[variant]
    five[label] = [100 * each["accuracy"] for each in by_seed(longer, variant)]
    steps = tuned["steps"][variant], longer["steps"][variant]
    for count, values in zip(steps, (accuracies[label][2], five[label]), strict=True):
        rows[f"{label}, {count} steps"] = [over_seeds(values)]
table(rows, ["with all labels", "right, %"]).show()


# %% elsewhere
def counted(model):
    kinds = {"k × k": 0, "1 × 1": 0, "linear": 0, "other": 0}
    for layer in model.modules():
        weights = sum(p.numel() for p in layer.parameters(recurse=False))
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
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


def right_of(train, test):
    present = torch.isin(answers[test], answers[train])
    relabel = answers[train].unique()
    probe = fit_probe(
        x[train], torch.searchsorted(relabel, answers[train]), strengths=[0.01]
    )
    guess = relabel[probe.scores(x[test]).argmax(-1)]
    return (guess == answers[test])[present].double().mean().item()


SPLITS = ("by picture, half", "by subject, half", "by subject, five sixths")
leaks = {name: [] for name in SPLITS}
for seed in range(5):
    torch.manual_seed(seed)
    picture = torch.rand(len(some)) < 0.5
    drawn = torch.rand(len(people))[subject]  # one number a subject
    for name, known_side in zip(
        SPLITS, (picture, drawn < 0.5, drawn < 5 / 6), strict=True
    ):
        leaks[name].append(100 * right_of(known_side, ~known_side))
rows = {name: [over_seeds(values)] for name, values in leaks.items()}
table(rows, ["training pictures", "right, %"]).show()
largest = 100 * answers.bincount().max().item() / len(answers)
print(
    f"{len(some)} pictures of {len(people)} subjects, {len(kinds)} subgroups;", end=" "
)
print(f"always the largest: {largest:.0f} %")
assert min(leaks["by picture, half"]) > max(leaks["by subject, five sixths"])


# %% norms
def head_of_first(batch):  # not pooled_features, which goes to eval() by itself
    with torch.no_grad():
        return frozen.head(frozen.blocks(frozen.stem(batch)))[0].mean((1, 2))


alone = head_of_first(few_images[:1])
frozen.train()  # forgotten: batch norm now describes the batch
one = head_of_first(few_images[:16])
two = head_of_first(few_images[[0, *range(100, 115)]])
for part in few_images.split(16) * 3:  # three passes over 180 pictures
    head_of_first(part)
frozen.eval()
after = head_of_first(few_images[:1])
changes = [((x - y).norm() / y.norm()).item() for x, y in ((two, one), (after, alone))]
print(f"train(), the same picture among others: changed by {100 * changes[0]:.0f} %")
print(f"eval(), before and after three passes:  changed by {100 * changes[1]:.0f} %")
assert min(changes) > 0.05
frozen = load_efficientnet()  # the cure: load again, and extract in eval()
assert head_of_first(few_images[:1]).allclose(alone, atol=1e-4)

# %% rates
rows = {}
for variant, label in VARIANTS.items():
    tried = {
        run.rpartition(" ")[2]: each["accuracy"]
        for run, each in tuned["metrics"].items()
        if run.startswith(f"{variant}, rate")
    }
    by_rate = sorted(tried.items(), key=lambda each: float(each[0]))
    rows[label] = [", ".join(f"{rate}: {100 * each:.0f}" for rate, each in by_rate)]
table(rows, ["20 labels a group", "learning rate: right on validation, %"]).show()

# %% saved
with TemporaryDirectory() as folder:
    torch.manual_seed(0)
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=r".*(expand|project|head)\.conv",
        modules_to_save=["classifier"],
    )  # fmt: skip
    taught = get_peft_model(probed_network(few_probe), config)
    taught.save_pretrained(folder)  # adapter_model.safetensors, adapter_config.json
    kilobytes = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1000
    again = PeftModel.from_pretrained(probed_network(few_probe), folder)
    with torch.no_grad():
        assert again(few_images[:4]).allclose(taught(few_images[:4]), atol=1e-5)
half = pooled_features(
    load_efficientnet().bfloat16(), few_images[:32].bfloat16(), ["head"]
)
nearness = F.cosine_similarity(half["head"].float(), few_features[:32]).min().item()

# %% tuned_values values
print(f"runs = {len(tuned['metrics']) + len(longer['metrics'])}")
print(f"minutes = {(tuned['seconds'] + longer['seconds']) / 60:.0f}")
KEYS = {
    "frozen head": "frozen", "frozen head, scaled by all": "scaled",
    "frozen block 13": "best", "last blocks": "last", "LoRA": "lora", "all": "all",
    "small, from scratch": "small",
}  # fmt: skip
for label, key in KEYS.items():
    for count, values in zip((5, 20, "all"), accuracies[label], strict=True):
        print(f"{key}_{count} = {sum(values) / len(values):.0f}")  # tolerance 2%
    if label in five:
        print(f"{key}_longer = {sum(five[label]) / 3:.0f}")
for variant, label in VARIANTS.items():
    each = tuned["metrics"][f"{variant}, 5 a class, seed 0"]
    print(f"{KEYS[label]}_rate = {each['rate']:g}")
small_losses = [
    each["curve"][-1] for each in by_seed(tuned, "small, from nothing, 10000 a class")
]
print(f"small_loss = {sum(small_losses) / 3:.1f}")
print(f"adapted = {adapted:,}")
print(f"adapter_kilobytes = {kilobytes:.0f}")  # tolerance 5%
print(f"nearness = {nearness:.3f}")  # tolerance 1%
for name, key in zip(SPLITS, ("picture", "subject", "more"), strict=True):
    print(f"leak_{key} = {sum(leaks[name]) / 5:.0f}")  # tolerance 5%
for name, label in zip(modules, ("lite", "unet", "vae", "tokens", "vit"), strict=True):
    print(f"spatial_{label} = {rows_elsewhere[name][1]:.0f}")
