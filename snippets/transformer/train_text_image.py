"""The checker: which name fits a picture, in English and in Chinese.

One seed, a few minutes of one core. A batch holds pairs of one subject, so that
tones, genders and colours must be told apart. Pictures are moved, blurred and noisy.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.pictures import picture_tensor, scaled
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.text_image import (
    Checker,
    Example,
    Siblings,
    TextImageModel,
    candidates,
    contrastive_loss,
    in_tones,
    names_tokenizer,
    roughened,
)
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, RATE, LANGUAGES = 800, 128, 2e-3, ("en", "zh")

torch.set_num_threads(1)
long_run = LongRun("text_image", Path(__file__), probed_steps=4)
split = {name: openmoji(name, "combination") for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
train = split["train"]
pictures, siblings, tokenizer = (
    picture_tensor(train),
    Siblings(train),
    names_tokenizer(),
)
names = torch.stack([
    tokenizer([prompt(picture, language) for picture in train],
              padding="max_length", max_length=26, return_tensors="pt").input_ids
    for language in LANGUAGES
])  # (language, picture, tokens)  # fmt: skip
numbers = {
    code: number for number, code in enumerate(sorted({p.drawing for p in train}))
}
drawings = [numbers[picture.drawing] for picture in train]


def batch_at(step):
    chosen = siblings.batch(step, BATCH)
    images = roughened(scaled(pictures[chosen]))
    languages = torch.randint(2, (BATCH,)).tolist()
    return [
        Example(image, names[language, index], drawings[index])
        for image, language, index in zip(images, languages, chosen, strict=True)
    ]


def quality(checker, chosen):
    """On real pictures: the name among 100 of the group, and among five skin tones."""
    images = scaled(picture_tensor(chosen))
    toned = [index for index, picture in enumerate(chosen) if len(picture.tones) == 1]
    found = {}
    for language in LANGUAGES:
        among = [[prompt(each, language) for each in candidates(p)] for p in chosen]
        ranks = checker.ranks(images, among)
        tones = [in_tones(chosen[index], language) for index in toned]
        found[language] = {
            "first of 100": float((ranks == 1).double().mean()),
            "among first 5": float((ranks <= 5).double().mean()),
            "right tone of 5": float(
                (checker.ranks(images[toned], tones) == 1).double().mean()
            ),
        }
    return found


def measure(run):
    torch.manual_seed(0)
    model = TextImageModel(len(tokenizer))
    optimizer = adamw(model, RATE)
    losses = fit(
        model, batch_at, optimizer, STEPS, linear_decay(optimizer, STEPS, 100),
        long_run.state_of(run), save_every=100, description=run,
        loss_of=contrastive_loss, count=len,
    )  # fmt: skip
    half = {name: each.half() if each.is_floating_point() else each
            for name, each in model.state_dict().items()}  # fmt: skip
    long_run.folder.mkdir(parents=True, exist_ok=True)
    save_file(half, long_run.folder / "model.safetensors")
    model.load_state_dict({name: each.float() for name, each in half.items()})
    checker = Checker(model.eval())
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, STEPS, 50)],
        "train": quality(checker, long_run.few(train[::8], 32)),
        "test": quality(checker, long_run.few(split["test"], 32)),
    }


long_run.measure("checker", lambda: measure("checker"))
long_run.finish(seeds=[0], steps=STEPS)
