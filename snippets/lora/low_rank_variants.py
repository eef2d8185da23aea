# %% setup
import copy

import peft
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import nn
from torch.nn import functional as F

from llm_tutorial.lora.inject import add_lora
from llm_tutorial.lora.linear import LoRALinear
from llm_tutorial.lora.variants import lora_plus_groups, pissa_init
from llm_tutorial.models import load_model

W = load_model("smollm2-135m").model.layers[0].mlp.up_proj  # 1536 x 576
torch.manual_seed(0)
x, target = torch.randn(8, 576), torch.randn(8, 1536)

# %% rslora
options = {"alpha": 16, "use_rslora": True}
layers = {rank: LoRALinear(W, rank=rank, **options) for rank in (1, 16, 256)}
print({rank: layer.scaling for rank, layer in layers.items()})
assert all(layer.scaling == 16 / rank**0.5 for rank, layer in layers.items())

# %% dora
layer = LoRALinear(W, rank=8, alpha=16, use_dora=True)
nn.init.normal_(layer.lora_B, std=0.02)
with torch.no_grad():
    direction = W.weight + layer.scaling * layer.lora_B @ layer.lora_A
    m = layer.lora_magnitude[:, None]  # (out_features, 1)
    weight = m * direction / direction.norm(dim=1, keepdim=True)
    assert torch.allclose(layer(x), x @ weight.T, atol=1e-4)
    lengths = weight.norm(dim=1)
# only a trained magnitude changes a length
assert torch.allclose(lengths, W.weight.norm(dim=1), atol=1e-4)
print(f"extra_parameters = {layer.lora_magnitude.numel()}")

# %% dora_equals_peft
model = nn.Sequential(nn.Linear(576, 1536, bias=False))
model[0].weight.data.copy_(W.weight)
config = peft.LoraConfig(r=8, lora_alpha=16, use_dora=True, target_modules=["0"])
theirs = peft.get_peft_model(model, config)
other = theirs.base_model.model[0]
other.lora_A["default"].weight.data.copy_(layer.lora_A.data)
other.lora_B["default"].weight.data.copy_(layer.lora_B.data)
assert torch.allclose(theirs(x), layer(x), atol=1e-4)

# %% lora_plus
pair = add_lora(nn.Sequential(nn.Linear(576, 1536)), rank=8, target_modules=["0"])
groups = lora_plus_groups(pair, lr=2e-3, ratio=16)
for group in groups:
    print(f"{sum(p.numel() for p in group['params']):6} parameters at {group['lr']:g}")

# %% lora_plus_equals_peft
config = peft.LoraConfig(r=8, lora_alpha=8, target_modules=["0"])
theirs = peft.get_peft_model(nn.Sequential(copy.deepcopy(pair[0].base)), config)
A = theirs.base_model.model[0].lora_A["default"].weight
A.data.copy_(pair[0].lora_A)  # B is zero in both
optimizer = torch.optim.AdamW(groups, weight_decay=0)
options = {"lr": 2e-3, "loraplus_lr_ratio": 16}
other = create_loraplus_optimizer(theirs, torch.optim.AdamW, **options)


def rates(optimizer: torch.optim.Optimizer) -> list:
    groups = optimizer.param_groups
    return sorted((tuple(p.shape), g["lr"]) for g in groups for p in g["params"])


assert rates(optimizer) == rates(other)
for _ in range(3):
    for layers, updates in ((pair, optimizer), (theirs, other)):
        updates.zero_grad()
        F.mse_loss(layers(x), target).backward()
        updates.step()
assert torch.allclose(pair(x), theirs(x), atol=1e-4)


# %% pissa
def adapted() -> nn.Module:
    model = nn.Sequential(nn.Linear(576, 1536, bias=False))
    add_lora(model, rank=8, alpha=8, target_modules=["0"])
    model[0].base.weight.data.copy_(W.weight)
    return model


def after_one_step(initialise) -> float:
    torch.manual_seed(0)
    model = adapted()
    initialise(model)
    before = F.mse_loss(model(x), target)
    before.backward()
    with torch.no_grad():
        for parameter in (model[0].lora_A, model[0].lora_B):
            parameter -= 0.5 * parameter.grad
    return (before - F.mse_loss(model(x), target)).item()


plain, principal = after_one_step(lambda model: None), after_one_step(pissa_init)
print(f"loss_decrease_plain = {plain:.4f}")
print(f"loss_decrease_pissa = {principal:.4f}")

# %% pissa_keeps_the_function
model = adapted()
before = model(x)
pissa_init(model)
assert torch.allclose(model(x), before, atol=1e-3)
residual = model[0].base.weight
share = 1 - (residual.norm() / W.weight.norm()) ** 2
print(f"percent_of_energy_in_the_adapter = {100 * share:.1f}")

# %% pissa_equals_peft
start = nn.Sequential(nn.Linear(576, 1536, bias=False))
start[0].weight.data.copy_(W.weight)
options = {"target_modules": ["0"], "init_lora_weights": "pissa"}
config = peft.LoraConfig(r=8, lora_alpha=8, **options)
theirs = peft.get_peft_model(start, config).base_model.model[0]
A, B = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
ours = model[0]
# singular vectors have no sign of their own, their product has
assert torch.allclose(ours.lora_A.abs(), A.abs(), atol=1e-4)
assert torch.allclose(ours.lora_B @ ours.lora_A, B @ A, atol=1e-4)
assert torch.allclose(residual, theirs.base_layer.weight, atol=1e-4)
assert torch.allclose(model(x), theirs(x), atol=1e-3)
