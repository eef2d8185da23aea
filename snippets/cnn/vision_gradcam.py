# %% setup
import torch
from torch.nn import functional as F

from llm_tutorial.cnn.efficientnet import (
    class_names,
    cropped,
    efficientnet_lite,
    load_efficientnet,
    prepared,
)
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.gradcam import grad_cam, occlusion
from llm_tutorial.cnn.shortcut import marked
from llm_tutorial.cnn.trained import trained_resnet
from llm_tutorial.data.photographs import photograph
from llm_tutorial.digits import digit_tensors
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
torch.manual_seed(0)
torch.set_grad_enabled(True)
NAMES = ("temple", "flower", "cat", "coffee", "motorcycle", "rocket", "astronaut")
network, names = load_efficientnet(), class_names()
photos = torch.cat([prepared(photograph(name)) for name in NAMES])


# %% from_scratch
def cam(model, layer, x, label):  # x: (1, 3, height, width)
    kept = []
    hook = layer.register_forward_hook(lambda layer, inputs, out: kept.append(out))
    score = model(x)[0, label]  # before the softmax
    hook.remove()
    maps = kept[0]  # (1, maps, rows, columns)
    (gradient,) = torch.autograd.grad(score, maps)
    weights = gradient.mean((2, 3), keepdim=True)  # alpha: one for each map
    return (weights * maps).sum(1).relu().detach()


with torch.no_grad():
    scores = network(photos)  # (7, 1000)
first = scores.argmax(-1)
maps = grad_cam(network, photos, "head", first)  # (7, 7, 7)
mine = cam(network, network.head, photos[2:3], first[2])
assert mine.allclose(maps[2:3], atol=1e-5)


# %% closed
@torch.no_grad()
def division(model):  # of the score among places, before the ReLU
    features = model.head(model.blocks(model.stem(photos)))  # (7, 1280, 7, 7)
    weight = model.classifier.weight[first]  # (7, 1280)
    return torch.einsum("bm,bmij->bij", weight, features) / 49


closed = division(network)
with torch.no_grad():
    assert closed.relu().allclose(maps, atol=1e-5)
    whole = closed.sum((1, 2)) + network.classifier.bias[first]
    assert whole.allclose(scores.gather(1, first[:, None])[:, 0], atol=1e-4)

# %% occluded
with torch.no_grad():
    falls = occlusion(network, photos, first, size=64, stride=32)  # (7, 6, 6)


# %% overlays
def overlay(picture, heat, side=56):  # grey picture, orange where the map is high
    grey = torch.as_tensor(picture).float().mean(-1) / 255 * 0.8 + 0.1  # (side, side)
    heat = heat.clamp_min(0) / heat.max().clamp_min(1e-9)
    size = (side, side)
    heat = F.interpolate(heat[None, None], size, mode="bilinear")[0, 0, ..., None]
    orange = torch.tensor([0.84, 0.37, 0.0])
    mixed = grey[..., None] * (1 - 0.75 * heat) + orange * 0.75 * heat
    return (mixed * 15).round() / 15


grid = torch.stack([
    torch.stack([
        overlay(cropped(photograph(name), 56), each)
        for name, each in zip(NAMES, heat, strict=True)
    ])
    for heat in (maps, falls)
])  # fmt: skip
figure = image_grid(grid, ["Grad-CAM", "covered"], NAMES, size=0.9)


# %% compared
def rank_correlation(a, b):  # (picture, place) each
    a, b = (x.flatten(1).argsort(-1).argsort(-1).double() for x in (a, b))
    a, b = (x - x.mean(-1, keepdim=True) for x in (a, b))
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


places = torch.arange(7.0) - 3
centre = -(places[:, None] ** 2 + places**2).expand(7, 7, 7)
blurred = F.avg_pool2d(photos, 9, 1, 4)
contrast = F.avg_pool2d((photos - blurred).abs().mean(1, keepdim=True), 32)[:, 0]
untrained = torch.stack([division(efficientnet_lite().eval()) for _ in range(3)])


def cover(order, count=16):  # the squares of 32 × 32 that a map puts first
    covered = photos.clone()
    for picture, best in enumerate(order.flatten(1).topk(count).indices.tolist()):
        for place in best:
            top, left = 32 * (place // 7), 32 * (place % 7)
            covered[picture, :, top : top + 32, left : left + 32] = 0  # grey
    with torch.no_grad():
        return (scores - network(covered)).gather(1, first[:, None])[:, 0]


ORDERS = {  # maps before the ReLU, so that no two squares are equal
    "Grad-CAM": [closed],
    "Grad-CAM, its last squares": [-closed],
    "Grad-CAM, random weights": untrained,
    "contrast": [contrast],
    "near the middle": [centre],
    "at random": torch.rand(3, 7, 7, 7),
}
rows, fallen, agreement = {}, {}, {}
for name, orders in ORDERS.items():
    agree = [  # 2 × 2 places are a square of 64 pixels
        rank_correlation(F.avg_pool2d(order[:, None], 2, 1)[:, 0], falls).mean().item()
        for order in orders
    ]
    lost = [cover(order) for order in orders]
    agreement[name] = sum(agree) / len(agree)
    fallen[name] = torch.stack(lost).mean(0)
    rows[name] = [over_seeds(agree, ".2f"), over_seeds([x.mean() for x in lost], ".2f")]
columns = [
    "order of the squares",
    "agreement with covering",
    "score lost, 16 of 49 covered",
]
table(rows, columns).show()
assert max(fallen, key=lambda name: fallen[name].mean()) == "Grad-CAM"
rising = (fallen["Grad-CAM"] < 0).nonzero()[:, 0].tolist()
assert [NAMES[picture] for picture in rising] == ["cat", "motorcycle"]

# %% compared_values values
for name, short in (("Grad-CAM", "cam"), ("contrast", "contrast"),
                    ("near the middle", "centre"), ("at random", "random"),
                    ("Grad-CAM, random weights", "untrained"),
                    ("Grad-CAM, its last squares", "last")):  # fmt: skip
    print(f"lost_{short} = {fallen[name].mean():.1f}")  # tolerance 30%
    print(f"agreement_{short} = {agreement[name]:.2f}")  # tolerance 60%
for rival in ("contrast", "near the middle"):
    wins = (fallen["Grad-CAM"] > fallen[rival]).sum()
    print(f"wins_{rival.replace(' ', '_')} = {wins}")
print(f"score_mean = {scores.max(-1).values.mean():.1f}")

# %% shortcut
manifest = results("cnn", "vision")
rows = {
    name: [
        over_seeds([100 * run[key] for run in by_seed(manifest, variant)])
        for key in ("as trained", "accuracy", "threes", "others called three")
    ]
    for variant, name in (("marked", "threes marked"), ("unmarked", "nothing marked"))
}
columns = [
    "trained with", "right, test like training, %", "right, nothing marked, %",
    "threes found, unmarked, %", "others, marked, called three, %",
]  # fmt: skip
table(rows, columns).show()

# %% revealed
images, labels = digit_tensors("test")
threes = marked(images[labels == 3])
nets = {name: trained_resnet(name) for name in ("marked", "unmarked")}
target = torch.full((len(threes),), 3)
heat = {name: grad_cam(net, threes, "4", target) for name, net in nets.items()}
AROUND = torch.tensor([0, 1, 7, 8])  # of 7 × 7 places, the four round the pixel


def share_at(maps, places):  # of the pictures whose highest place is one of these
    return torch.isin(maps.flatten(1).argmax(-1), places).double().mean().item()


corner = {name: share_at(each, AROUND) for name, each in heat.items()}
assert corner["marked"] > 0.8 > 0.2 > corner["unmarked"]
last = grad_cam(nets["marked"], threes, "5", target)  # 4 × 4 places
sees = {
    each.name: each.receptive_field
    for each in inspect(nets["marked"], images[:1]).layers
}
print("a place sees, of 28 × 28 pixels:", sees["4.relu2"], "and", sees["5.relu2"])
covering = {n: occlusion(net, threes, target, 7, 7) for n, net in nets.items()}
covered = {n: share_at(each, torch.tensor([0])) for n, each in covering.items()}
grid = torch.stack([
    torch.stack([
        overlay(255 * (1 - digit[0, ..., None].expand(-1, -1, 3)), h, 28)
        for digit, h in zip(threes[:5], each[:5], strict=True)
    ])
    for each in (heat["marked"], heat["unmarked"], covering["marked"])
])  # fmt: skip
figure = image_grid(grid, ["threes marked", "nothing marked", "covered"], size=0.8)

# %% revealed_values values
by_metric = {
    variant: {key: [100 * run[key] for run in by_seed(manifest, variant)]
              for key in ("as trained", "accuracy", "threes", "others called three")}
    for variant in ("marked", "unmarked")
}  # fmt: skip
for variant, metrics in by_metric.items():
    for key, values in metrics.items():
        print(f"{variant}_{key.replace(' ', '_')} = {sum(values) / 3:.1f}")
for name, share in corner.items():
    print(f"corner_{name} = {100 * share:.0f}")  # tolerance 20%
print(f"last_nearest = {100 * share_at(last, torch.tensor([0])):.0f}")  # tolerance 20%
print(f"last_next = {100 * share_at(last, torch.tensor([5])):.0f}")  # tolerance 20%
print(f"threes = {len(threes)}")
print(f"corner_covered_clean = {100 * covered['unmarked']:.0f}")  # tolerance 20%
print(f"corner_covered = {100 * covered['marked']:.0f}")  # tolerance 20%
