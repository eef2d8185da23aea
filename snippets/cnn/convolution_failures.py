# %% setup
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.geometry import effective_field, inspect
from llm_tutorial.plotting import image_grid, use_style

use_style()
generator = torch.manual_seed(0)

# %% dropped
x = torch.zeros(1, 1, 28, 28)
x[..., -1] = 1  # what matters stands in the last column
halve = nn.Conv2d(1, 1, 3, stride=2, bias=False)
blind = nn.Sequential(halve, nn.ReLU())
nn.init.ones_(halve.weight)
print("response:", blind(x).abs().sum().item())
for warning in inspect(blind, x).warnings:
    print("!", warning)
halve.padding = (1, 1)
assert blind(x).abs().sum() > 0 and not inspect(blind, x).warnings

# %% checkerboard
ones = torch.ones(1, 1, 8, 8)
upsampled = {}
for kernel in (3, 4):
    layer = nn.ConvTranspose2d(1, 1, kernel, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    upsampled[f"kernel {kernel}, stride 2"] = layer(ones)[0, 0, 2:-2, 2:-2].detach()
resize = F.interpolate(ones, scale_factor=2)
upsampled["resize, kernel 3"] = F.conv2d(resize, torch.ones(1, 1, 3, 3))[0, 0]
pictures = [0.8 * (y / y.max())[:12, :12] for y in upsampled.values()]
figure = image_grid(
    torch.stack(pictures)[None], column_labels=list(upsampled), size=1.5
)
uneven = {name: len(y.unique()) for name, y in upsampled.items()}
assert list(uneven.values()) == [3, 1, 1]  # kernel 3: one, two or four terms a place

# %% gridding
fields = {}
for dilations in ((2, 2, 2), (1, 2, 3)):
    layers = [nn.Conv2d(1, 8, 3, padding="same", dilation=dilations[0])]
    layers += [nn.Conv2d(8, 8, 3, padding="same", dilation=d) for d in dilations[1:]]
    for layer in layers:
        nn.init.ones_(layer.weight)
    field = effective_field(nn.Sequential(*layers), (1, 17, 17), inputs=1)
    fields[f"dilations {dilations[0]}, {dilations[1]}, {dilations[2]}"] = field
    seen = (field > 0)[2:-2, 2:-2].float().mean()
    print(dilations, f"of 13 × 13 places seen: {100 * seen:.0f}%")
pictures = [field / field.max() for field in fields.values()]
figure = image_grid(torch.stack(pictures)[None], column_labels=list(fields), size=1.9)
assert (fields["dilations 1, 2, 3"][2:-2, 2:-2] > 0).all()

# %% gridding_values values
share = (fields["dilations 2, 2, 2"] > 0)[2:-2, 2:-2].float().mean()
print(f"gridded_share = {100 * share:.0f}")

# %% flipped
signal, kernel = torch.randn(20), torch.tensor([1.0, 2.0, 4.0])
theirs = torch.tensor(np.convolve(signal.numpy(), kernel.numpy(), "valid"))
mine = F.conv1d(signal[None, None], kernel[None, None])[0, 0]
assert not mine.allclose(theirs, atol=0.1)
mine = F.conv1d(signal[None, None], kernel.flip(0)[None, None])[0, 0]
assert mine.allclose(theirs, atol=1e-5)
