# %% setup
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from llm_tutorial.captions import token_ids
from llm_tutorial.colour import difference_by_hue
from llm_tutorial.data.shapes import (
    Scene,
    Thing,
    caption,
    describe,
    draw,
    obeys,
    scenes,
)
from llm_tutorial.diagrams import Diagram
from llm_tutorial.diffusion.autoencoder import latents_of, reconstruct
from llm_tutorial.diffusion.pipeline import load_pipeline
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.diffusion.word_maps import word_maps
from llm_tutorial.pictures import scaled
from llm_tutorial.plotting import COLOURS, image_grid, use_style, verbatim
from llm_tutorial.results import weights
from llm_tutorial.tables import table

use_style()
torch.set_grad_enabled(False)
pipe = load_pipeline(weights("diffusion", "shapes"))
vae, unet, k = pipe.vae, pipe.unet, pipe.vae.config.scaling_factor

# %% system
BLUE, ORANGE, GREEN, PINK = COLOURS[:4]
diagram = Diagram(width=24, height=19)
words = diagram.text(4.5, 18.2, ["prompt c"])
text = diagram.box(4.5, 14.8, ["text encoder", "2 layers"], 8, colour=GREEN)
diagram.arrow(words, text)
noise = diagram.text(17, 18.2, ["noise, 8 × 8 × 8"])
net = diagram.box(17, 11.5, ["U-Net", "guesses the velocity"], 11, 5, colour=BLUE)
diagram.arrow(noise, net)
diagram.arrow(text, (4.5, 11.5), via=[], label="")
diagram.arrow((4.5, 11.5), net, "states S, 32 × 96")
step = diagram.box(17, 6.3, ["sampler: a step to less noise"], 13, colour=ORANGE)
diagram.arrow(net, step, "v")
diagram.arrow(step, net, via=[(23.7, 6.3), (23.7, 11.5)])
diagram.text(20.6, 4.6, "10 times", fontsize=9)
decoder = diagram.box(17, 2.2, ["decoder"], 7, colour=PINK)
diagram.arrow(step, decoder, "")
picture = diagram.text(5, 2.2, ["picture, 32 × 32 × 3"])
diagram.arrow(decoder, picture)
plt.show()

# %% prompt
scene = Scene(
    (Thing("red", "star", "large"), Thing("blue", "circle", "small")), "left of"
)
prompt, chinese = caption(scene, "en"), caption(scene, "zh")
print(prompt, chinese, sep="\n")
noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(2))

# %% loop
w, trace = 2.0, []
ids = token_ids(pipe.tokenizer, ["", prompt])  # (2, 32): without and with it
states = pipe.text_encoder(ids).last_hidden_state  # (2, 32, 96)
left = pipe.scheduler.alphas_cumprod
a, sigma = left.sqrt(), (1 - left).sqrt()  # signal and noise at each of 1,000 timesteps
x = noise  # (1, 8, 8, 8)
for t, s in pairwise([*spaced_timesteps("trailing", 10), None]):
    without, with_prompt = unet(torch.cat([x, x]), t, states).sample.chunk(2)
    v = without + w * (with_prompt - without)  # guidance
    guess = a[t] * x - sigma[t] * v  # of the clean latent
    epsilon = sigma[t] * x + a[t] * v  # and of the noise
    trace.append((t, x, guess))
    x = guess if s is None else a[s] * guess + sigma[s] * epsilon  # DDIM
picture = (vae.decode(x / k).sample / 2 + 0.5).clamp(0, 1)  # (1, 3, 32, 32)

asked = {"num_inference_steps": 10, "guidance_scale": w, "latents": noise}
theirs = pipe(prompt, **asked, output_type="pt").images
assert (picture - theirs).abs().max() < 1e-5


# %% stages
def pixels(latents):
    images = vae.decode(latents / k).sample / 2 + 0.5  # (batch, 3, 32, 32)
    return images.clamp(0, 1).permute(0, 2, 3, 1)


shown = [trace[place] for place in (0, 2, 4, 6, 9)]
rows = torch.stack(
    [
        torch.cat([pixels(noisy) for _, noisy, _ in shown]),
        torch.cat([pixels(guess) for _, _, guess in shown]),
    ]
)
image_grid(rows, ["x_t", "guess"], [f"t = {t}" for t, *_ in shown])
plt.show()
drawn = (255 * picture[0]).round().byte().permute(1, 2, 0).numpy()
assert all(obeys(drawn, scene).values())

# %% tensors
sizes = {}


def note(name):
    def hook(module, inputs, output):
        output = getattr(output, "sample", output)
        output = output[0] if isinstance(output, tuple) else output
        sizes[name] = [
            " × ".join(map(str, output.shape[1:])), output.numel() // len(output)
        ]  # fmt: skip

    return hook


parts = {
    "U-Net, first convolution": unet.conv_in,
    "down, 64 channels": unet.down_blocks[0],
    "down, 128 channels": unet.down_blocks[1],
    "middle": unet.mid_block,
    "up, 128 channels": unet.up_blocks[0],
    "up, 64 channels": unet.up_blocks[1],
    "velocity": unet.conv_out,
    "decoder, first convolution": vae.decoder.conv_in,
    "decoder, up once": vae.decoder.up_blocks[0],
    "decoder, up twice": vae.decoder.up_blocks[1],
    "picture": vae.decoder.conv_out,
}
hooks = [part.register_forward_hook(note(name)) for name, part in parts.items()]
vae.decode(unet(noise, 999, states[1:]).sample)
for hook in hooks:
    hook.remove()
rows = {
    "token ids": ["32", 32], "states S": ["32 × 96", 32 * 96],
    "noise": ["8 × 8 × 8", 512],
} | sizes  # fmt: skip
table(rows, ["tensor", "shape", "numbers"], ["", ","]).show()

# %% autoencoder
things = [("red", "star"), ("yellow", "circle"), ("pink", "square"), ("black", "cross")]
real = torch.stack(
    [
        torch.from_numpy(draw(Scene((Thing(*thing, "large", "centre"),))).copy())
        for thing in things
    ]
).permute(0, 3, 1, 2)
real = scaled(real)  # (4, 3, 32, 32), from -1 to 1
latents = latents_of(vae, real)  # (4, 8, 8, 8): a sixth of the numbers
back = reconstruct(vae, real)
found = difference_by_hue(back, real)  # by the hue of the real pixel
table({hue: [value] for hue, value in found.items()}, ["pixels", "ΔE76"], ".1f").show()

# %% latents
low, high = latents.amin((0, 2, 3)), latents.amax((0, 2, 3))
maps = (latents - low[:, None, None]) / (high - low)[:, None, None]
maps = F.interpolate(maps, scale_factor=4)[:, :4, None].expand(-1, -1, 3, -1, -1)
rows = torch.cat([real[:, None] / 2 + 0.5, maps, back[:, None] / 2 + 0.5], 1)
names = ["picture", *(f"channel {n}" for n in range(1, 5)), "back"]
image_grid(rows.permute(0, 1, 3, 4, 2), column_labels=names)
plt.show()

# %% tokens
rows = {}
for text in (prompt, chinese):
    pieces = pipe.tokenizer(text).input_ids
    words = [pipe.tokenizer.decode([number]).strip() for number in pieces[1:-1]]
    rows[" | ".join(words)] = [len(pieces)]
table(rows, ["tokens", "with begin and end"]).show()
changed = token_ids(pipe.tokenizer, [prompt.replace("circle", "square")])
others = pipe.text_encoder(changed).last_hidden_state[0]
place = (changed[0] != ids[1]).nonzero().item()  # of the word that differs
same = (others - states[1]).abs().amax(1) < 1e-5  # (32,): which states are the same
assert same[:place].all() and not same[place:].any()  # no word sees those to come

# %% unet
diagram = Diagram(width=24, height=17)
boxes = {}
for name, x_place, y_place, lines, colour in (
    ("in", 3.4, 13.5, ["8 × 8, 64", "R S C"], BLUE),
    ("down", 3.4, 8.5, ["4 × 4, 128", "R"], BLUE),
    ("middle", 12, 3.5, ["4 × 4, 128", "R S C R"], BLUE),
    ("up", 20.6, 8.5, ["4 × 4, 128", "R R"], BLUE),
    ("out", 20.6, 13.5, ["8 × 8, 64", "R S C R S C"], BLUE),
):
    boxes[name] = diagram.box(x_place, y_place, lines, 6.4, colour=colour)
diagram.arrow(diagram.text(3.4, 16.4, "noisy latent"), boxes["in"])
diagram.arrow(boxes["in"], boxes["down"], "halve")
diagram.arrow(boxes["down"], boxes["middle"], via=[(3.4, 3.5)])
diagram.arrow(boxes["middle"], boxes["up"], via=[(20.6, 3.5)])
diagram.arrow(boxes["up"], boxes["out"])
diagram.text(18.3, 11.1, "double", fontsize=9)
diagram.arrow(boxes["out"], diagram.text(20.6, 16.4, "velocity"))
diagram.arrow(boxes["in"], boxes["out"], "skip")
diagram.arrow(boxes["down"], boxes["up"], "skip")
diagram.text(12, 16.4, ["R: residual block"], fontsize=9)
diagram.text(12, 11.4, ["S: self-attention", "C: cross-attention"], fontsize=9)
plt.show()

# %% resnet
resnet = unet.down_blocks[0].resnets[0]
h, e = (
    torch.randn(1, 64, 8, 8),
    unet.time_embedding(unet.time_proj(torch.tensor([999]))),
)
inner = resnet.conv1(F.silu(resnet.norm1(h)))
inner = inner + resnet.time_emb_proj(F.silu(e))[..., None, None]  # which timestep
assert torch.allclose(
    h + resnet.conv2(F.silu(resnet.norm2(inner))), resnet(h, e), atol=1e-5
)

# %% cross_attention
block = unet.down_blocks[0].attentions[0].transformer_blocks[0]
seen = {}
hook = block.attn2.register_forward_hook(
    lambda module, inputs, kwargs, output: seen.update(h=inputs[0], out=output),
    with_kwargs=True,
)
unet(noise, 999, states[1:])
hook.remove()
h, S, layer = seen["h"], states[1:], block.attn2  # (1, 64, 64), (1, 32, 96)


def heads(y):  # (1, n, 64) -> (1, 4, n, 16)
    return y.unflatten(2, (layer.heads, -1)).transpose(1, 2)


Q, K, V = heads(layer.to_q(h)), heads(layer.to_k(S)), heads(layer.to_v(S))
A = (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1)  # (1, 4, 64, 32): places × tokens
out = layer.to_out[0]((A @ V).transpose(1, 2).flatten(2))  # (1, 64, 64)
assert torch.allclose(out, seen["out"], atol=1e-5)

# %% maps
images, maps = word_maps(pipe, [prompt, chinese], torch.cat([noise, noise]), guidance=w)
places = [(3, 3), (4, 9), (7, 20), (11, 13), (12, 18)]  # of a token in each prompt
words = ["red 红", "star 星", "left 左", "blue 蓝", "circle 形"]
rows = []
for image, of_tokens, chosen in zip(
    images, maps, zip(*places, strict=True), strict=True
):
    chosen = of_tokens[list(chosen)]  # (5, 8, 8)
    chosen = chosen / chosen.amax((1, 2), keepdim=True)
    chosen = F.interpolate(chosen[:, None], scale_factor=4).expand(-1, 3, -1, -1)
    rows.append(torch.cat([image[None], chosen]).permute(0, 2, 3, 1))
figure = image_grid(torch.stack(rows), ["English", "Chinese"], ["picture", *words])
verbatim(figure.axes[0].get_xticklabels()[1:])
plt.show()

# %% own_thing
some = scenes(60, "validation", seed=1, things=2)
some = [s for s in some if s.things[0].shape != s.things[1].shape][:24]

RELATING = ("to", "above", "below")


def nouns(text, language):  # place of the token that ends each thing's name
    if language == "zh":
        return text.index("在"), text.rindex("的")
    pieces = text.split()
    return next(n for n, p in enumerate(pieces) if p in RELATING), len(pieces)


starts = torch.randn(24, 8, 8, 8, generator=torch.Generator().manual_seed(1))
own = {}
for language in ("en", "zh"):
    texts = [caption(s, language) for s in some]
    images, maps = word_maps(pipe, texts, starts)
    images = (255 * images).round().byte().permute(0, 2, 3, 1).numpy()
    smooth = F.avg_pool2d(maps, 3, 1, 1)  # (24, 32, 8, 8)
    own[language] = []
    for scene_asked, text, image, of_tokens in zip(
        some, texts, images, smooth, strict=True
    ):
        found = describe(image)
        for thing, token in zip(scene_asked.things, nouns(text, language), strict=True):
            looks = [of_tokens[token, int(8 * y), int(8 * x)].item()
                     for x, y in (each.centre for each in found)]  # fmt: skip
            shapes = [each.thing.shape for each in found]
            if len(found) == 2 and shapes.count(thing.shape) == 1:
                mine = shapes.index(thing.shape)
                own[language].append(looks[mine] > looks[1 - mine])
    print(language, sum(own[language]), "of", len(own[language]))
    assert sum(own[language]) > 0.9 * len(own[language]) > 27

# %% exchanged
single = scenes(16, "validation", seed=1, things=1)
empty, begin, place = states[:1].expand(16, -1, -1), starts[:16], torch.arange(32)
exchanged = {
    name: []
    for name in ("colour word", "noun", "end and padding", "all words after it")
}
for language in ("en", "zh"):
    things = [scene.things[0] for scene in single]
    others = [
        thing._replace(colour="blue" if thing.colour == "red" else "red")
        for thing in things
    ]
    here, there = (
        token_ids(
            pipe.tokenizer, [caption(Scene((thing,)), language) for thing in each]
        )
        for each in (things, others)
    )
    word = here != there  # (16, 32), one token in each prompt
    assert (word.sum(1) == 1).all()
    colour = word.int().argmax(1, keepdim=True)
    end = (here == pipe.tokenizer.eos_token_id).int().argmax(1, keepdim=True)
    noun = colour + 1 if language == "en" else end - 1  # its last token
    taken = (word, place == noun, place >= end, (place > colour) & (place < end))
    S_here, S_there = (
        pipe.text_encoder(each).last_hidden_state for each in (here, there)
    )
    for counts, chosen in zip(exchanged.values(), taken, strict=True):
        images = pipe(
            prompt_embeds=torch.where(chosen[..., None], S_there, S_here),
            negative_prompt_embeds=empty, latents=begin, num_inference_steps=10,
            guidance_scale=w, output_type="np",
        ).images  # fmt: skip
        seen = [describe((255 * image).round().astype("uint8")) for image in images]
        counts.append(
            sum(
                len(found) == 1 and found[0].thing.colour == other.colour
                for found, other in zip(seen, others, strict=True)
            )
        )
heads = ["states exchanged", "English: in 16", "Chinese: in 16"]
table(exchanged, heads, ".0f").show()
assert max(exchanged["colour word"]) < 4 < 8 < min(exchanged["all words after it"])

# %% own_thing_values values
print(f"own = {sum(own['en']) + sum(own['zh'])}")  # tolerance 20%
print(f"nouns = {len(own['en']) + len(own['zh'])}")  # tolerance 20%
for name, short in zip(exchanged, ("word", "noun", "end", "after"), strict=True):
    print(f"exchanged_{short} = {sum(exchanged[name])}")  # tolerance 90%
print(f"vae_millions = {sum(p.numel() for p in vae.parameters()) / 1e6:.1f}")
text_millions = sum(p.numel() for p in pipe.text_encoder.parameters()) / 1e6
print(f"text_millions = {text_millions:.1f}")
print(f"unet_millions = {sum(p.numel() for p in unet.parameters()) / 1e6:.1f}")
print(f"k = {k:.2f}")
