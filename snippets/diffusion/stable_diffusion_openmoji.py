# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.adherence import real_pictures, skin_tones
from llm_tutorial.colour import difference_by_hue
from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.diffusion.autoencoder import reconstruct
from llm_tutorial.diffusion.pipeline import load_pipeline, pictures_for
from llm_tutorial.pictures import scaled
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import weights
from llm_tutorial.tables import table
from llm_tutorial.text_image import candidates, load_checker
from llm_tutorial.transformer.drawing import draw, load_artist
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

use_style()
torch.set_grad_enabled(False)
pipe = load_pipeline(weights("diffusion", "pipeline"))
checker, test = load_checker(), openmoji("test", "combination")
asked = test[:: len(test) // 48][:48]  # evenly spread, not chosen
real = real_pictures(asked)  # (48, 3, 32, 32), from -1 to 1


def light(images):
    """From 0 to 1, channels last; 9 levels of each colour are light to load."""
    return ((images + 1) * 4).round().div(8).permute(0, 2, 3, 1).numpy()


def drawn_by_us(texts, guidance=2.0, seed=0):
    images = pictures_for(pipe, texts, steps=10, guidance=guidance, seed=seed)
    return scaled(torch.from_numpy(images).permute(0, 3, 1, 2))


# %% openmoji_back
back = reconstruct(pipe.vae, real)
found = difference_by_hue(back, real)
table({hue: [value] for hue, value in found.items()}, ["ΔE76", "mean"], ".1f").show()
image_grid(np.stack([light(real[:8]), light(back[:8])]), ["picture", "back"])
plt.show()

# %% openmoji_grid
pictures = {
    lang: drawn_by_us([prompt(p, lang) for p in asked]) for lang in ("en", "zh")
}
rows = [light(each[:24]).reshape(3, 8, 32, 32, 3) for each in pictures.values()]
image_grid(np.concatenate([light(real[:8])[None], rows[0][:1], rows[1][:1]]),
           ["real", "English", "Chinese"])  # fmt: skip
plt.show()
image_grid(rows[0], size=0.6)
plt.show()

# %% openmoji_names
names = [prompt(p) for p in asked[:24]]
for n in range(0, 24, 8):
    print(" | ".join(names[n : n + 8]))

# %% openmoji_adherence
vq, (artist, words) = load_image_tokenizer(), load_artist()


def facts(images, lang):
    choices = [[prompt(o, lang) for o in candidates(p)] for p in asked]
    ranks = checker.ranks(images, choices)
    toned = [n for n, p in enumerate(asked) if len(p.tones) == 1]
    seen = skin_tones(images[toned])
    tone = [s == asked[n].tones[0] for s, n in zip(seen, toned, strict=True)]
    return [100 * (ranks <= 5).float().mean().item(), 100 * float(np.mean(tone))]


rows = {"real pictures": [*facts(real, "en"), *facts(real, "zh")]}
by_artist = {
    lang: vq.decode(draw(artist, words, [prompt(p, lang) for p in asked], 2.0))
    for lang in ("en", "zh")
}
for name, made in (("Stable Diffusion", pictures), ("one token at a time", by_artist)):
    rows[name] = [number for lang in ("en", "zh") for number in facts(made[lang], lang)]
heads = ["", "English: % in five", "% tone", "Chinese: % in five", "% tone, Chinese"]
table(rows, heads, ".0f").show()

# %% openmoji_beside
image_grid(
    np.stack([light(real[:8]), light(pictures["en"][:8]), light(by_artist["en"][:8])]),
    ["real", "diffusion", "tokens"],
)  # fmt: skip
plt.show()

# %% openmoji_values values
for numbers, short in zip(rows.values(), ("real", "sd", "ar"), strict=True):
    for number, what in zip(numbers, ("en", "en_tone", "zh", "zh_tone"), strict=True):
        print(f"{short}_{what} = {number:.0f}")  # tolerance 15%
print(f"back_all = {found['all']:.1f}")
