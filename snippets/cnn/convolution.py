# %% setup
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from llm_tutorial.cnn.convolution import convolve, convolve_fourier, gradients
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, heatmap, image_grid, panels, use_style

use_style()
generator = torch.manual_seed(0)

# %% picture
photo = torch.tensor(load_sample_image("china.jpg")).float().mean(-1) / 255
photo = F.avg_pool2d(photo[None, None, 10:410, 120:520], 4)  # (1, 1, 100, 100)
kernels = {
    "photograph": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "horizontal edges": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "vertical edges": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "mean": [[1 / 9] * 3] * 3,
}
weight = torch.tensor(list(kernels.values())).float()[:, None]  # (4, 1, 3, 3)
maps = F.conv2d(photo, weight)[0]  # (4, 98, 98)
maps[1:3] = 0.5 + maps[1:3] / 4
figure = image_grid(maps[None], column_labels=list(kernels), size=1.6)


# %% definition
def by_definition(x, weight):  # (channels, H, W), (outputs, channels, k, k)
    outputs, k = len(weight), weight.shape[-1]
    rows, columns = x.shape[1] - k + 1, x.shape[2] - k + 1
    y = torch.zeros(outputs, rows, columns)
    for o in range(outputs):
        for i in range(rows):
            for j in range(columns):
                patch = x[:, i : i + k, j : j + k]  # (channels, k, k)
                y[o, i, j] = (weight[o] * patch).sum()
    return y


x = torch.randn(3, 12, 12)
weight = torch.randn(4, 3, 3, 3)
theirs = F.conv2d(x[None], weight)[0]  # (4, 10, 10)
assert by_definition(x, weight).allclose(theirs, atol=1e-5)

# %% turned
turned = F.conv2d(x[None], weight.flip(2, 3))[0]
assert not turned.allclose(theirs, atol=0.1)  # the kernel of signal processing


# %% im2col
def by_product(x, weight):
    k = weight.shape[-1]
    patches = x.unfold(1, k, 1).unfold(2, k, 1)  # (channels, rows, columns, k, k)
    rows, columns = patches.shape[1:3]
    X = patches.permute(0, 3, 4, 1, 2).reshape(-1, rows * columns)  # (3 k k, places)
    K = weight.flatten(1)  # (outputs, channels k k)
    return (K @ X).unflatten(1, (rows, columns))


assert by_product(x, weight).allclose(theirs, atol=1e-5)
assert torch.equal(
    x.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 3, 4, 1, 2).reshape(27, 100),
    F.unfold(x[None], 3)[0],
)

# %% im2col_sizes values
print(f"columns_over_input = {27 * 100 / x.numel():.1f}")

# %% toeplitz
signal, kernel = torch.randn(12), torch.tensor([1.0, 3.0, 2.0])
T = torch.zeros(10, 12)
for i in range(10):
    T[i, i : i + 3] = kernel
assert (T @ signal).allclose(F.conv1d(signal[None, None], kernel[None, None])[0, 0])

figure, (left, right) = panels(2, height=2.9)
heatmap(left, torch.randn(10, 12).abs())
heatmap(right, T)
left.set(title="dense layer", xlabel="input", ylabel="output")
right.set(title="convolution", xlabel="input", ylabel="output")
plt.show()


# %% waves
n = 64
place = torch.arange(n)
frequency = torch.exp(2j * torch.pi * 5 * place / n)  # a wave on a ring of 64 places
kernel = torch.tensor([0.25, 0.5, 0.25])
ring = torch.stack([frequency[(place + a) % n] for a in range(3)])  # (entry, place)
convolved = (kernel[:, None] * ring).sum(0)
factor = (kernel * torch.exp(2j * torch.pi * 5 * torch.arange(3) / n)).sum()
assert convolved.allclose(factor * frequency, atol=1e-5)  # the same wave again


# %% fourier
def by_fourier(x, weight):
    size, k = x.shape[1:], weight.shape[-1]
    spectrum = torch.fft.rfft2(x)  # (channels, frequencies)
    kernel = torch.fft.rfft2(weight, s=size).conj()  # (outputs, channels, frequencies)
    y = torch.fft.irfft2((kernel * spectrum).sum(1), s=size)  # on a ring
    return y[:, : size[0] - k + 1, : size[1] - k + 1]  # what did not wrap round


assert by_fourier(x, weight).allclose(theirs, atol=1e-5)
assert convolve(x[None], weight).allclose(theirs[None], atol=1e-5)
assert convolve_fourier(x[None], weight).allclose(theirs[None], atol=1e-5)

# %% gradients
weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
x = torch.randn(2, 3, 9, 9, dtype=torch.float64, requires_grad=True)
y = F.conv2d(x, weight, stride=2, padding=1)  # (2, 4, 5, 5)
dy = torch.randn_like(y)
dx, dw = torch.autograd.grad(y, (x, weight), dy)

assert F.conv_transpose2d(dy, weight, stride=2, padding=1).allclose(dx)
as_kernel = F.conv2d(x.transpose(0, 1), dy.transpose(0, 1), padding=1, dilation=2)
assert as_kernel.transpose(0, 1).allclose(dw)
ours = gradients(x, weight, dy, stride=2, padding=1)
assert ours[0].allclose(dx) and ours[1].allclose(dw)

# %% stretched
back = F.conv_transpose2d(dy, weight, stride=2, padding=1)
stretched = torch.zeros(2, 4, 9, 9, dtype=torch.float64)
stretched[..., ::2, ::2] = dy  # stride 2: a zero between neighbours
kernel = weight.transpose(0, 1).flip(2, 3)
assert F.conv2d(stretched, kernel, padding=3 - 1 - 1).allclose(back)  # k - 1 - p

# %% adjoint
assert torch.allclose((y * dy).sum(), (x * back).sum())  # <Ax, dy> = <x, A'dy>

# %% two_ways
diagram = Diagram(width=25, height=9)
small = diagram.box(4, 4.5, ["output", "5 × 5"], width=5.5, colour=COLOURS[0])
large = diagram.box(20.5, 4.5, ["input", "9 × 9"], width=5.5, colour=COLOURS[1])
diagram.arrow(large.side("top"), small.side("top"), via=[(20.5, 7.6), (4, 7.6)])
diagram.text(12.3, 8.3, "convolution, stride 2")
diagram.text(12.3, 0.7, "transposed convolution")
corners = [(4, 1.4), (20.5, 1.4)]
diagram.arrow(small.side("bottom"), large.side("bottom"), via=corners)
