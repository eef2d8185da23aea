# %% setup
import copy
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import peft
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.diagrams import Diagram
from llm_tutorial.lora.adapter import load_adapter, save_adapter
from llm_tutorial.lora.inject import (
    add_lora,
    count_parameters,
    lora_layers,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from llm_tutorial.lora.linear import LoRALinear
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style

use_style()
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")


# %% idea
diagram = Diagram(width=24, height=7.4)
for x, width, height, name, shape, colour in (
    (3, 5.6, 5.6, "W, frozen", "576 × 576", GREY),
    (9.4, 1.6, 5.6, "B", "576 × 8", COLOURS[1]),
    (13.8, 5.6, 1.6, "A", "8 × 576", COLOURS[0]),
    (21, 5.6, 5.6, "W′, merged", "576 × 576", COLOURS[2]),
):
    diagram.box(x, 4.4, name, width, height, colour)
    diagram.text(x, 3.6 - height / 2, shape, fontsize=9)
diagram.text(7.1, 4.4, r"$+\;\frac{\alpha}{r}$", fontsize=15)
diagram.text(17.4, 4.4, "$=$", fontsize=15)
plt.show()

# %% idea_values values
print(f"weights_of_W = {576 * 576}")
print(f"weights_of_A_and_B = {8 * 576 + 576 * 8}")


# %% from_scratch
class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        m, n = base.weight.shape
        self.A = nn.Parameter(torch.empty(rank, n).uniform_(-1, 1) / n**0.5)
        self.B = nn.Parameter(torch.zeros(m, rank))
        self.scaling = alpha / rank

    def forward(self, x):  # (..., in_features) -> (..., out_features)
        return self.base(x) + self.scaling * (x @ self.A.T) @ self.B.T


torch.manual_seed(0)
W = model.model.layers[0].self_attn.q_proj  # a real weight: 576 x 576
lora = LoRA(W, rank=8, alpha=16)
x = torch.randn(5, 576)
assert torch.equal(lora(x), W(x))  # B is zero: nothing has changed yet

# %% same_as_the_library
layer = LoRALinear(W, rank=8, alpha=16)
nn.init.normal_(lora.B, std=0.02)
layer.load_state_dict({"lora_A": lora.A, "lora_B": lora.B, "base.weight": W.weight})
assert torch.allclose(lora(x), layer(x), atol=1e-5)
update = layer.delta_weight()
print(f"rank_of_update = {torch.linalg.matrix_rank(update)}")
assert torch.allclose(update, 16 / 8 * lora.B @ lora.A)
assert torch.allclose(layer(x) - W(x), x @ update.T, atol=1e-4)

# %% gradients
target = torch.randn(5, 576)
loss = F.mse_loss(lora(x), target)
loss.backward()

adapted = (W.weight + lora.scaling * lora.B @ lora.A).detach().requires_grad_()
F.mse_loss(x @ adapted.T, target).backward()
G = adapted.grad  # (out_features, in_features): what full fine-tuning would follow
grad_A = lora.scaling * lora.B.T @ G  # (rank, in_features)
grad_B = lora.scaling * G @ lora.A.T  # (out_features, rank)
assert torch.allclose(lora.A.grad, grad_A, atol=1e-6)
assert torch.allclose(lora.B.grad, grad_B, atol=1e-6)


# %% starts
def first_step(random_A: bool, random_B: bool) -> tuple[float, float, float]:
    torch.manual_seed(1)
    lora = LoRA(W, rank=8, alpha=16)
    if not random_A:
        nn.init.zeros_(lora.A)
    if random_B:
        nn.init.normal_(lora.B, std=lora.A.std().item() or 0.02)
    changed = (lora(x) - W(x)).norm() / W(x).norm()
    F.mse_loss(lora(x), target).backward()
    return changed.item(), lora.A.grad.norm().item(), lora.B.grad.norm().item()


print("A       B       output changed   |grad A|   |grad B|")
for random_A, random_B in ((True, False), (False, False), (True, True), (False, True)):
    changed, to_A, to_B = first_step(random_A, random_B)
    words = ["random" if random else "zero  " for random in (random_A, random_B)]
    print(f"{words[0]}  {words[1]}  {changed:14.4f}   {to_A:8.4f}   {to_B:8.4f}")
assert first_step(True, False)[:2] == (0, 0)  # the output as it was; B moves first
assert first_step(False, False) == (0, 0, 0)  # nothing will ever move
assert first_step(True, True)[0] > 0.01  # changed before training began

# %% size_of_a_step
ranks = [1, 2, 4, 8, 16, 32, 64, 128]


def progress(method, steps: int, seed: int, **options) -> float:
    torch.manual_seed(seed)
    layer = LoRALinear(copy.deepcopy(W), alpha=16, **options)
    layer.double()  # since the loss changes in its last digits only
    optimizer = method([layer.lora_A, layer.lora_B], lr=1e-3)
    losses = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x.double()), target.double())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0] - losses[-1]


figure, axes = panels(2)
runs = (
    (axes[0], "SGD, first step", torch.optim.SGD, 1),
    (axes[1], "Adam, 10 steps", torch.optim.Adam, 10),
)
for panel, title, method, steps in runs:
    for label, name, flag in (("α / r", "lora", False), ("α / √r", "rslora", True)):
        gained = []
        for rank in ranks:
            options = {"rank": rank, "use_rslora": flag}
            falls = [progress(method, steps, seed, **options) for seed in range(8)]
            gained.append(sum(falls) / 8)
        panel.plot(ranks, gained, label=label)
        name = f"{method.__name__.lower()}_{name}"
        print(f"{name}_8_over_128 = {gained[3] / gained[-1]:.2f}")  # tolerance 5%
    panel.set(xscale="log", yscale="log", xlabel="rank r", ylabel="loss decrease")
    panel.set_title(title)
    panel.set_xticks(ranks, ranks)
    panel.minorticks_off()
axes[1].set_yticks([2, 5, 10], [2, 5, 10])
legend(figure)
plt.show()

# %% block
diagram, adapted = Diagram(width=24, height=29.5), COLOURS[1]
hidden = diagram.text(8.2, 28.8, "input: (n, 576)")
norm = diagram.box(8.2, 26.2, "RMSNorm", 7)
projections = [
    diagram.box(x, 23, [f"{name}_proj", f"576 → {size}"], 4.2, colour=adapted)
    for x, name, size in ((3.6, "q", 576), (8.2, "k", 192), (12.8, "v", 192))
]
attention = diagram.box(8.2, 19.8, "attention", 7)
o = diagram.box(8.2, 17.2, "o_proj  576 → 576", 8.8, colour=adapted)
middle = diagram.box(8.2, 14.8, "+", 1.5, 1.5)
norm_2 = diagram.box(8.2, 12.4, "RMSNorm", 7)
wider = [
    diagram.box(x, 9.2, [f"{name}_proj", "576 → 1536"], 4.8, colour=adapted)
    for x, name in ((5.5, "gate"), (10.9, "up"))
]
product = diagram.box(8.2, 6, "SiLU(gate) × up", 7)
down = diagram.box(8.2, 3.4, "down_proj  1536 → 576", 9.6, colour=adapted)
end = diagram.box(8.2, 1, "+", 1.5, 1.5)
for steps in ((hidden, norm), (attention, o, middle, norm_2), (product, down, end)):
    for start, stop in pairwise(steps):
        diagram.arrow(start, stop)
for start, branches, stop in ((norm, projections, attention), (norm_2, wider, product)):
    for branch in branches:
        diagram.arrow(start, branch)
        diagram.arrow(branch, stop)
# the residual connections
diagram.arrow((8.2, 27.9), middle, via=[(0.6, 27.9), (0.6, 14.8)])
diagram.arrow((8.2, 13.7), end, via=[(0.6, 13.7), (0.6, 1)])

diagram.box(20.1, 17, "", 7.4, 18, colour=adapted)
diagram.text(20.1, 24.9, "one such layer")
x, y = diagram.text(20.1, 23, "x"), diagram.text(20.1, 9, "y")
plus = diagram.box(20.1, 11.6, "+", 1.5, 1.5)
W = diagram.box(18.2, 17.6, ["W", "frozen"], 3, 5)
A = diagram.box(22, 19.4, "A", 2.4, colour=COLOURS[0])
B = diagram.box(22, 15.8, "B", 2.4, colour=COLOURS[0])
diagram.arrow(A, B, "r")
diagram.arrow(B, plus, "× α / r")
for start, stop in ((x, W), (x, A), (W, plus), (plus, y)):
    diagram.arrow(start, stop)
plt.show()

# %% inject
torch.manual_seed(0)
add_lora(model, rank=8, alpha=16, target_modules="all-linear")
print(count_parameters(model))
print(f"adapted_layers = {sum(1 for _ in lora_layers(model))}")
model = remove_lora(model)

# %% which_modules
for target_modules in (
    ["q_proj", "v_proj"],
    ["q_proj", "k_proj", "v_proj", "o_proj"],
    ["gate_proj", "up_proj", "down_proj"],
    "all-linear",
):
    add_lora(model, rank=8, target_modules=target_modules)
    print(count_parameters(model), target_modules)
    remove_lora(model)


# %% against_peft
def loss_of(model: nn.Module) -> torch.Tensor:
    text = "The train left 9 minutes ago. → 9分钟前"
    ids = tokenizer(text, return_tensors="pt").input_ids
    return model(input_ids=ids, labels=ids, use_cache=False).loss


config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
theirs = peft.get_peft_model(load_model("smollm2-135m"), config)
ours = add_lora(load_model("smollm2-135m"), rank=8, alpha=16)
torch.manual_seed(3)
for name, adapter in lora_layers(ours):
    nn.init.normal_(adapter.lora_B, std=0.02)
    other = theirs.get_submodule(f"base_model.model.{name}")
    other.lora_A["default"].weight.data.copy_(adapter.lora_A.data)
    other.lora_B["default"].weight.data.copy_(adapter.lora_B.data)

ours_loss, theirs_loss = loss_of(ours), loss_of(theirs)
assert torch.allclose(ours_loss, theirs_loss, atol=1e-5)
ours_loss.backward(), theirs_loss.backward()
for name, adapter in lora_layers(ours):
    other = theirs.get_submodule(f"base_model.model.{name}")
    A, B = other.lora_A["default"].weight, other.lora_B["default"].weight
    assert torch.allclose(adapter.lora_A.grad, A.grad, atol=1e-4)
    assert torch.allclose(adapter.lora_B.grad, B.grad, atol=1e-4)

# %% files
folder = Path(tempfile.mkdtemp())
before = loss_of(ours)
save_adapter(ours, folder / "ours")
theirs.save_pretrained(folder / "theirs")
in_peft = peft.PeftModel.from_pretrained(load_model("smollm2-135m"), folder / "ours")
in_ours = load_adapter(load_model("smollm2-135m"), folder / "theirs")
assert torch.allclose(loss_of(in_peft), before, atol=1e-5)
assert torch.allclose(loss_of(in_ours), before, atol=1e-5)

# %% merging
ids = tokenizer("two kilograms →", return_tensors="pt").input_ids
with torch.no_grad():
    apart = ours(input_ids=ids).logits
    merge_lora(ours)
    merged = ours(input_ids=ids).logits
    unmerge_lora(ours)
    again = ours(input_ids=ids).logits
print(f"largest_difference = {(apart - merged).abs().max():.0e}")  # tolerance 90%
assert torch.allclose(apart, merged, atol=1e-3)
assert torch.equal(apart, again)


# %% latency
@torch.no_grad()
def cost(model: nn.Module) -> float:
    start = time.process_time()
    model(input_ids=ids)
    return time.process_time() - start


torch.set_num_threads(1)  # processor time is then the time of the work
unmerged_cost = min(cost(ours) for _ in range(8))
merge_lora(ours)
merged_cost = min(cost(ours) for _ in range(8))
print(f"unmerged_over_merged = {unmerged_cost / merged_cost:.2f}")  # tolerance 40%
ours = unmerge_lora(ours)

# %% many_adapters
add_lora(model, rank=2)
for _, adapter in lora_layers(model):
    nn.init.normal_(adapter.lora_B, std=0.02)
save_adapter(model, folder / "another")
names = ("ours", "another", "ours")
first, second, third = (loss_of(load_adapter(model, folder / name)) for name in names)
assert first == third != second  # one base, two adapters in turn
model = remove_lora(model)

one_model = 4 * count_parameters(model).total / 2**20
one_adapter = 4 * sum(p.numel() for p in ours.parameters() if p.requires_grad) / 2**20
print(f"model_MiB = {one_model:.0f}")
print(f"adapter_MiB = {one_adapter:.1f}")
ratio = 100 * one_model / (one_model + 100 * one_adapter)
print(f"hundred_models_over_hundred_adapters = {ratio:.0f}")

# %% tied_embeddings
assert model.lm_head.weight is model.model.embed_tokens.weight  # one matrix, two uses
tied = add_lora(model, rank=8, modules_to_save=["embed_tokens"])
# a copy is trained, the head keeps the old one
assert tied.lm_head.weight is not tied.model.embed_tokens.weight
print(count_parameters(tied))
options = {"target_modules": "all-linear", "modules_to_save": ["embed_tokens"]}
config = peft.LoraConfig(r=8, **options)
theirs = peft.get_peft_model(load_model("smollm2-135m"), config)
by_peft = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
print(f"trained_by_peft = {by_peft:,}")
assert count_parameters(tied).trained == by_peft
