"""What each handle of a pipeline does, over 150 prompts; nothing is trained."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from llm_tutorial.captions import token_ids
from llm_tutorial.colour import colour_difference, to_lab
from llm_tutorial.data.shapes import (
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    caption,
    describe,
    draw,
    obeys,
    scenes,
)
from llm_tutorial.diffusion.control import controlled, noise_for
from llm_tutorial.diffusion.pipeline import load_pipeline
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.results import PACKAGE
from llm_tutorial.runs import LongRun, data_digest

ASKED, LANGUAGES = 150, ("en", "zh")
SCALES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0)
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STEPS = (1, 2, 3, 5, 10, 20, 50)
LOOKS = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "place": PLACES}

torch.set_num_threads(1)
torch.set_grad_enabled(False)
long_run = LongRun("control", Path(__file__))
pipe = load_pipeline(PACKAGE / "diffusion" / "weights" / "shapes")
asked = {count: scenes(ASKED, "validation", seed=11, things=count) for count in (1, 2)}
long_run.data = {f"{count} things": data_digest(some) for count, some in asked.items()}


def bytes_of(images: torch.Tensor) -> np.ndarray:
    return (255 * images).round().byte().permute(0, 2, 3, 1).numpy()


def told(some: list[Scene]) -> list[str]:
    """Every second prompt in Chinese."""
    return [caption(scene, LANGUAGES[n % 2]) for n, scene in enumerate(some)]


def drawn(some: list[Scene]) -> torch.Tensor:
    """The scenes as the data draws them, (scenes, 3, 32, 32) from 0 to 1."""
    images = np.stack([draw(scene, seed=n) for n, scene in enumerate(some)])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def shares(images: torch.Tensor, some: list[Scene]) -> dict[str, float]:
    """Of pictures: how many have each attribute right, and all."""
    found = [obeys(*pair) for pair in zip(bytes_of(images), some, strict=True)]
    right = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
    return right | {"all": float(np.mean([all(each.values()) for each in found]))}


def chroma(images: torch.Tensor) -> float:
    """Mean chroma of the pixels of things: those with a channel below one half."""
    lab = to_lab(2 * images - 1)
    there = images.amin(1) < 0.5
    return lab[:, 1:].norm(dim=1)[there].mean().item()


def ask(some: list[Scene], **handles) -> torch.Tensor:
    return controlled(pipe, told(some), noise_for(pipe, len(some)), **handles)


def guidance(count: int, rescale: float) -> dict:
    some = long_run.few(asked[count])
    found = {}
    for scale in long_run.few(SCALES, 2):
        images = ask(some, guidance=scale, rescale=rescale)
        found[str(scale)] = shares(images, some) | {"chroma": chroma(images)}
    return found | {"drawn": {"chroma": chroma(drawn(some))}}


def other(generator: np.random.Generator, names, name: str) -> str:
    left = [each for each in names if each != name]
    return left[int(generator.integers(len(left)))]


def others(some: list[Scene], fields: tuple[str, ...]) -> list[Scene]:
    """Of scenes of one thing: the same, with other values of some attributes."""
    generator = np.random.default_rng(0)
    found = []
    for [thing], *_ in some:
        new = {f: other(generator, LOOKS[f], getattr(thing, f)) for f in fields}
        found.append(Scene((thing._replace(**new),)))
    return found


def switched(first: list[str], then: list[str], after: int, steps: int) -> torch.Tensor:
    """The first prompts for some steps, then the other ones."""
    texts = [
        token_ids(pipe.tokenizer, [""] * len(first) + some) for some in (first, then)
    ]
    states = [pipe.text_encoder(ids).last_hidden_state for ids in texts]
    left = pipe.scheduler.alphas_cumprod
    a, sigma, x = left.sqrt(), (1 - left).sqrt(), noise_for(pipe, len(first))
    for place, (t, s) in enumerate(
        pairwise([*spaced_timesteps("trailing", steps), None])
    ):
        without, with_prompt = pipe.unet(
            torch.cat([x, x]), t, states[place >= after]
        ).sample.chunk(2)
        v = without + 2.0 * (with_prompt - without)
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
    return (pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(
        0, 1
    )


def when(steps: int) -> dict:
    """Which prompt each attribute obeys, by the steps done before the switch."""
    first = long_run.few(asked[1])
    then = others(first, ("colour", "shape", "size", "place"))
    found = {}
    for after in long_run.few(range(0, steps + 1, steps // 20), 2):
        images = switched(told(first), told(then), after, steps)
        found[str(after)] = {
            "first": shares(images, first),
            "then": shares(images, then),
        }
    return found


def seeds() -> dict:
    """The same noise, fewer steps: what is right, and how far from 100 steps."""
    some = long_run.few(asked[2])
    finest, found = ask(some, steps=100), {}
    for steps in long_run.few(STEPS, 2):
        images = ask(some, steps=steps)
        away = colour_difference(2 * images - 1, 2 * finest - 1).mean().item()
        found[str(steps)] = shares(images, some) | {"difference": away}
    return found


def same_words() -> dict:
    """How far two pictures are apart: of other words, other noise, another scene."""
    some = long_run.few(asked[2])
    texts = {
        "english": [caption(scene, "en") for scene in some],
        "chinese": [caption(scene, "zh") for scene in some],
        "reworded": [caption(scene, "en", 2) for scene in some],
    }
    noise = noise_for(pipe, len(some))
    images = {name: controlled(pipe, text, noise) for name, text in texts.items()}
    images["other noise"] = controlled(
        pipe, texts["english"], noise_for(pipe, len(some), 1)
    )
    images["other scene"] = images["english"].roll(1, 0)
    english = 2 * images.pop("english") - 1
    return {
        name: colour_difference(2 * image - 1, english).mean((1, 2)).tolist()
        for name, image in images.items()
    }


def strength(field: str) -> dict:
    """A drawing, and a prompt for another colour or shape that names no place."""
    first = long_run.few(asked[1])
    wanted = others(first, (field,))
    prompts = told([Scene((thing._replace(place=None),)) for [thing], *_ in wanted])
    pictures = 2 * drawn(first) - 1
    found = {}
    for share in long_run.few(STRENGTHS, 2):
        images = controlled(
            pipe, prompts, noise_for(pipe, len(first)), picture=pictures, strength=share
        )
        away = colour_difference(2 * images - 1, pictures).mean().item()
        found[str(share)] = shares(images, wanted) | {"difference": away}
    return found


OPEN = {
    "nothing": "",
    "no colour": "a large star in the centre",
    "no shape": "a large red thing in the centre",
    "no place": "a large red star",
    "no size": "a red star in the centre",
}


def left_open(prompt: str, scale: float, negative: str = "") -> dict:
    """How often each look comes in 150 pictures of one prompt; of the largest thing."""
    count = len(long_run.few(range(ASKED)))
    images = controlled(
        pipe,
        [prompt] * count,
        noise_for(pipe, count, 2),
        negative=negative,
        guidance=scale,
    )
    seen = [describe(image) for image in bytes_of(images)]
    largest = [each[0].thing if each else Thing(None, None) for each in seen]
    found = {
        field: {
            name: float(np.mean([getattr(thing, field) == name for thing in largest]))
            for name in names
        }
        for field, names in LOOKS.items()
    }
    found["things"] = [float(np.mean([len(s) == n for s in seen])) for n in range(4)]
    return found


def beyond() -> dict:
    """Prompts that training never had."""
    count = len(long_run.few(range(ASKED)))
    found = {}
    for things in (1, 2):
        pairs = scenes(count, "combinations", seed=11, things=things)
        found[f"unseen pair, {things}"] = shares(ask(pairs), pairs)
    one = scenes(count, "validation", seed=11, things=1)
    looks = [Thing(thing.colour, thing.shape, thing.size) for [thing], *_ in one]
    texts = {
        "twice the same": [caption(Scene((look, look), "left of")) for look in looks],
        "three things": [
            f"{caption(Scene((look, looks[n - 1]), 'left of'))} and "
            f"{caption(Scene((looks[n - 2],)))}" for n, look in enumerate(looks)
        ],
    }  # fmt: skip
    for name, prompts in texts.items():
        images = bytes_of(controlled(pipe, prompts, noise_for(pipe, count)))
        seen = [len(describe(image)) for image in images]
        found[name] = {
            f"{n} drawn": float(np.mean(np.equal(seen, n))) for n in range(5)
        }
    return found


for count in (1, 2):
    for rescale in (0.0, 0.7):
        long_run.measure(
            f"guidance, {count}, rescale {rescale}",
            lambda count=count, rescale=rescale: guidance(count, rescale),
        )
long_run.measure("when", lambda: when(20))
long_run.measure("steps", seeds)
long_run.measure("same words", same_words)
for field in ("colour", "shape"):
    long_run.measure(f"strength, {field}", lambda field=field: strength(field))
for name, prompt in OPEN.items():
    for scale in (1.0, 2.0):
        long_run.measure(
            f"open, {name}, {scale}", lambda p=prompt, s=scale: left_open(p, s)
        )
for negative in ("red", "a red star", "a large red star in the centre"):
    for name in ("nothing", "no colour"):
        long_run.measure(
            f"open, {name}, without {negative}",
            lambda p=OPEN[name], n=negative: left_open(p, 2.0, n),
        )
long_run.measure("beyond", beyond)
long_run.finish(steps=0, tolerance=0.1)
