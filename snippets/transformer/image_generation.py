# %% setup
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.janus.configuration_janus import JanusVQVAEConfig
from transformers.models.janus.modeling_janus import JanusVQVAEVectorQuantizer

from llm_tutorial.adherence import real_pictures
from llm_tutorial.colour import colour_difference
from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.diagrams import Diagram
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    COLOURS,
    image_grid,
    label_lines,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.image_tokens import (
    AveragedQuantizer,
    VectorQuantizer,
    load_image_tokenizer,
    perplexity,
)

use_style()
vq = load_image_tokenizer()
named = {prompt(picture): picture for picture in openmoji()}


def pixels(images):
    """From -1 to 1, channels first, to 0 to 1, channels last."""
    return ((images + 1) / 2).permute(0, 2, 3, 1).numpy()


# %% picture
BLUE, ORANGE, GREEN = COLOURS[:3]
apple = real_pictures([named["red apple"]])
codes = vq.encode(apple)  # (1, 64)
diagram = Diagram(width=24, height=19)


def show(image, x, y, side):
    extent = (x, x + side, y, y + side)
    diagram.axes.imshow(image, extent=extent, aspect="auto", zorder=3)


show(pixels(apple)[0], 0.3, 13.2, 5)
show(pixels(vq.decode(codes))[0], 18.6, 13.2, 5)
for place, code in enumerate(codes[0].tolist()):
    row, column = divmod(place, 8)
    diagram.axes.add_patch(
        plt.Rectangle(
            (9.5 + 0.63 * column, 17.6 - 0.63 * row), 0.57, 0.57,
            facecolor=plt.get_cmap("tab20")(code % 20), zorder=3,
        )
    )  # fmt: skip
diagram.axes.set(xlim=(0, 24), ylim=(0, 19))
diagram.axes.set_gid("pictures")
diagram.arrow((5.5, 15.7), (9.3, 15.7), "encoder")
diagram.arrow((14.7, 15.7), (18.4, 15.7), "decoder")
diagram.text(12, 12.4, "8 × 8 codes of 512")
words = diagram.box(4, 6.2, ["words", "red apple"], 6.5, colour=GREEN)
tokens = diagram.box(16, 6.2, ["64 image tokens", "row by row"], 13, colour=ORANGE)
diagram.arrow((12, 11.8), (12, 7.7))
model = diagram.box(12, 2.2, "language model: which token comes next?", 22, colour=BLUE)
diagram.arrow((4, 4.8), (4, 3.1))
diagram.arrow((14, 4.8), (14, 3.1))
diagram.arrow((18, 3.1), (18, 4.8))
plt.show()


# %% quantize
def quantize(latents, codebook):  # (batch, places, width), (codes, width)
    distances = (
        latents.square().sum(-1, keepdim=True)
        - 2 * latents @ codebook.T
        + codebook.square().sum(-1)
    )  # |z - e|² for every place and code: (batch, places, codes)
    codes = distances.argmin(-1)  # (batch, places)
    chosen = codebook[codes]  # (batch, places, width)
    through = latents + (chosen - latents).detach()  # forward: chosen
    loss = F.mse_loss(chosen, latents.detach())  # moves the codes
    loss = loss + 0.25 * F.mse_loss(latents, chosen.detach())  # moves the encoder
    return through, codes, loss


torch.manual_seed(0)
latents = torch.randn(2, 64, 16, requires_grad=True)
codebook = nn.Parameter(torch.randn(512, 16))
through, codes, loss = quantize(latents, codebook)
assert torch.equal(codes, torch.cdist(latents, codebook).argmin(-1))
assert torch.allclose(through, codebook[codes], atol=1e-6)

# %% straight_through
push = torch.randn_like(through)  # a gradient that comes from the decoder
to_latents, to_codebook = torch.autograd.grad(
    through, (latents, codebook), push, allow_unused=True, retain_graph=True
)
assert torch.equal(to_latents, push)  # as if nothing had been rounded
assert to_codebook is None  # the decoder teaches the codebook nothing
(to_codebook,) = torch.autograd.grad(loss, codebook)
never = torch.ones(512, dtype=torch.bool).index_fill(0, codes.unique(), False)
assert to_codebook[never].count_nonzero() == 0  # nor does anything, if unchosen

# %% same_as_library
theirs = JanusVQVAEVectorQuantizer(
    JanusVQVAEConfig(num_embeddings=512, embed_dim=16, num_patches=8)
)
ours = VectorQuantizer(codes=512, width=16)
theirs.embedding.weight.data = ours.codebook.weight.data = codebook.data
grid = latents.detach().mT.unflatten(2, (8, 8))  # (batch, width, 8, 8)
quantized, their_loss, their_codes = theirs(grid)
assert torch.equal(their_codes.view(2, 64), codes)
assert torch.allclose(quantized.flatten(2).mT, through, atol=1e-6)
assert torch.allclose(ours(grid)[0], quantized, atol=1e-6)
assert torch.allclose(ours(grid)[2], loss, atol=1e-6)
print(f"ours {loss.item():.3f}, Transformers' {their_loss.item():.3f}")
gap = F.mse_loss(codebook[codes], latents)
assert torch.allclose(their_loss, gap + theirs.beta * gap)  # equal in value, but

(ours_moves,) = torch.autograd.grad(ours(grid)[2], ours.codebook.weight)
(theirs_move,) = torch.autograd.grad(their_loss, theirs.embedding.weight)
assert torch.allclose(theirs_move, 0.25 * ours_moves, atol=1e-7)

# %% averages
averaged = AveragedQuantizer(codes=4, width=2, restart=0, decay=0.9)
vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
for _ in range(100):
    averaged.move(vectors, torch.tensor([0, 0, 1]))
means = torch.stack([vectors[:2].mean(0), vectors[2]])
assert torch.allclose(averaged.codebook.weight[:2], means)
assert torch.allclose(averaged.counts[:2], torch.tensor([2.0, 1.0]), atol=1e-3)

# %% reconstructions
wanted = ["red apple", "green heart", "woman cook with dark skin tone", "bicycle",
          "flag of Norway", "owl", "blue heart", "black cat"]  # fmt: skip
real = real_pictures([named[name] for name in wanted])
back = vq.decode(vq.encode(real))
differences = colour_difference(back, real).mean((1, 2))
grid = torch.stack([real, back])  # (2, 8, 3, 32, 32)
image_grid(
    ((grid + 1) * 4).round().div(8).movedim(2, -1).numpy(),  # 9 levels: light to load
    ["32 × 32 pixels", "64 tokens"],
    size=0.62,
)  # fmt: skip
plt.show()

# %% reconstructions_values values
print(f"bits_tokens = {64 * 9}")
print(f"bits_ratio = {32 * 32 * 24 / (64 * 9):.0f}")
best, worst = differences.argmin().item(), differences.argmax().item()
print(f"difference_worst = {differences[worst]:.1f}")
print(f"difference_best = {differences[best]:.1f}")

# %% perplexity
some = vq.encode(real_pictures(openmoji("test", "combination")[::4]))
shares = torch.bincount(some.flatten(), minlength=512) / some.numel()
entropy = -(shares[shares > 0] * shares[shares > 0].log()).sum()
assert abs(entropy.exp() - perplexity(some)) < 0.1
assert perplexity(torch.arange(512)) > 511.9  # all codes, equally often

# %% use
short, long = (
    results("transformer", "codebooks"),
    results("transformer", "image_tokens"),
)
variants = {"loss": "loss", "means": "means", "means, restarts": "with restarts"}
figure, (left, right) = panels(2, sharey=True)
for variant, name in variants.items():
    curves = [run["curve"][::2] for run in by_seed(short, variant)]
    spread(left, range(1, 8 * len(curves[0]), 8), curves, name, marker="")
whole = long["metrics"]["averages and restarts"]
right.plot(range(1, 4000, 20), whole["curve"], color=COLOURS[2], marker="")
for axes, title in ((left, "three short trainings"), (right, "the long training")):
    axes.set(xlabel="steps", ylabel="perplexity of the codes", title=title)
    axes.set(yscale="log")
    axes.set_yticks([1, 10, 100, 512], ["1", "10", "100", "512"])
    axes.minorticks_off()
label_lines(left)
plt.show()

# %% use_table
rows = {
    name: [
        over_seeds([run[key] for run in by_seed(short, variant)], form)
        for key, form in (
            ("perplexity", ".0f"), ("codes_used", ".0f"), ("difference", ".1f")
        )
    ]
    for variant, name in variants.items()
}  # fmt: skip
table(rows, ["codebook", "perplexity", "codes used", "ΔE"]).show()

# %% use_values values
for variant in variants:
    key = variant.replace(", ", "_")
    runs = by_seed(short, variant)
    for metric, form in (
        ("perplexity", ".0f"),
        ("codes_used", ".0f"),
        ("difference", ".1f"),
    ):
        print(f"{metric}_{key} = {sum(run[metric] for run in runs) / len(runs):{form}}")
print(f"short_steps = {short['steps']}")
print(f"long_perplexity = {whole['train_perplexity']:.0f}")
print(f"long_used = {whole['codes_used']}")
print(f"long_steps = {long['steps']}")
print(f"long_test = {whole['test']['all']:.1f}")
print(f"parameters = {sum(p.numel() for p in vq.parameters())}")

# %% white_values values
pictures = real_pictures(openmoji("train", "combination")[::4])
codes = vq.encode(pictures).flatten()
squares = pictures.amin(1).unfold(1, 4, 4).unfold(2, 4, 4)  # (picture, 8, 8, 4, 4)
white = (squares > 0.99).all(-1).all(-1).flatten()  # nothing is drawn there
shares = torch.bincount(codes[white], minlength=512) / torch.bincount(
    codes, minlength=512
)
print(f"white_codes = {(shares > 0.5).sum()}")
print(f"white_places = {100 * white.double().mean():.0f}")
print(f"white_perplexity = {perplexity(codes[white]):.0f}")
