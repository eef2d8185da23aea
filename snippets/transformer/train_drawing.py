"""A decoder that draws: words in English or Chinese, then 64 image tokens.

Two ways, one seed each, an hour of one core. Plain, the decoder recognises a training
picture by its first codes and does not listen to the name. Disturbed, pictures move by
a pixel and a part of the codes that are read is random. One name in ten is left out, so
that the model also knows what a picture without a name looks like. Kept are the weights
of the second, in half precision, and some drawings of the first.
"""

from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from llm_tutorial.adherence import skin_tones
from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.pictures import Shares, by_subject, picture_tensor, scaled
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.text_image import names_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.drawing import (
    PLACES,
    disturbed,
    draw,
    drawing_config,
    image_token_loss,
)
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

BATCH, RATE, DROPPED, LANGUAGES = 32, 2e-3, 0.1, ("en", "zh")
VARIANTS = {"plain": (2000, 1, 0.0), "disturbed": (2600, 5, 0.7)}  # steps, moves, share
SHOWN = ("red apple", "green heart", "woman cook with dark skin tone", "flag of Norway",
         "owl", "woman astronaut with dark skin tone")  # fmt: skip
MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # pixels down and right

torch.set_num_threads(1)
long_run = LongRun("drawing", Path(__file__), probed_steps=6)
vq, tokenizer = load_image_tokenizer(), names_tokenizer()
split = {
    name: openmoji(name, "combination") for name in ("train", "validation", "test")
}
images = {name: scaled(picture_tensor(chosen)) for name, chosen in split.items()}
codes = {name: vq.encode(each) for name, each in images.items()}
moved = torch.stack(
    [vq.encode(images["train"].roll(move, (2, 3))) for move in MOVES]
)  # (move, picture, 64)
long_run.data = {name: data_digest(split[name]) for name in split}
shares = Shares(split["train"], by_subject(split["train"], people=0.5))


def examples(prompts, codes, read):
    given = tokenizer(prompts, padding=True, return_tensors="pt")
    ids = torch.cat([given.input_ids, len(tokenizer) + read], 1)
    mask = torch.cat([given.attention_mask, torch.ones_like(codes)], 1)
    return list(zip(ids, mask, codes, strict=True))


def batch_at(step, moves, share):
    chosen = shares.batch(step, BATCH)
    languages = torch.randint(2, (BATCH,)).tolist()
    dropped = (torch.rand(BATCH) < DROPPED).tolist()
    prompts = [
        "" if without else prompt(split["train"][index], LANGUAGES[language])
        for index, language, without in zip(chosen, languages, dropped, strict=True)
    ]
    codes = moved[torch.randint(moves, (BATCH,)), chosen]
    return examples(prompts, codes, disturbed(codes, share))


@torch.no_grad()
def nats(model, name, language, every=1):
    """Mean loss of an image token; without a language, without a name."""
    chosen = long_run.few(range(0, len(split[name]), every), 32)
    prompts = [prompt(split[name][i], language) if language else "" for i in chosen]
    known = codes[name][list(chosen)]
    rows = examples(prompts, known, known)
    lots = [rows[i : i + 64] for i in range(0, len(rows), 64)]
    return float(sum(image_token_loss(model, lot, "cpu") for lot in lots)) / (
        PLACES * len(rows)
    )


def right_tones(model, guidance):
    """Of held-out combinations in one skin tone: the share drawn in the right one."""
    toned = [picture for picture in split["validation"] if len(picture.tones) == 1]
    chosen = long_run.few(toned, 8)
    prompts = [prompt(picture) for picture in chosen]
    seen = skin_tones(vq.decode(draw(model, tokenizer, prompts, guidance, 0.6)))
    right = [tone == p.tones[0] for tone, p in zip(seen, chosen, strict=True)]
    return sum(right) / len(right)


def measure(run):
    steps, moves, share = VARIANTS[run]
    torch.manual_seed(0)
    model = LlamaForCausalLM(drawing_config(len(tokenizer)))
    optimizer = adamw(model, RATE)
    losses = fit(
        model, lambda step: batch_at(step, moves, share), optimizer, steps,
        linear_decay(optimizer, steps, 100), long_run.state_of(run), save_every=100,
        description=run, loss_of=image_token_loss,
        count=lambda batch: PLACES * len(batch),
    )  # fmt: skip
    if run == "disturbed":
        model.half().save_pretrained(long_run.folder / "model")
        model.float()
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, steps, 50)],
        "nats": {
            name: {
                language or "no name": nats(model, name, language, every)
                for language in (*LANGUAGES, None)
            }
            for name, every in (("train", 14), ("validation", 1), ("test", 1))
        },
        "right tones": {
            f"{scale:g}": right_tones(model, scale) for scale in (1.0, 3.0)
        },
        "drawn": [
            draw(model, tokenizer, SHOWN, scale, 0.6).tolist() for scale in (1.0, 3.0)
        ],
    }


for run in VARIANTS:
    long_run.measure(run, lambda run=run: measure(run))
long_run.finish(
    seeds=[0], steps={run: steps for run, (steps, *_) in VARIANTS.items()},
    shown=list(SHOWN),
)  # fmt: skip
