"""A decoder that draws: words in English or Chinese, then 64 image tokens.

One seed, twenty minutes of one core. One name in ten is left out, so that the model also
knows what a picture without a name looks like. Kept: weights in half precision.
"""

from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.pictures import Shares, by_subject, picture_tensor, scaled
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.text_image import names_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.drawing import PLACES, drawing_config, image_token_loss
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

STEPS, BATCH, RATE, DROPPED, LANGUAGES = 2000, 32, 2e-3, 0.1, ("en", "zh")

torch.set_num_threads(1)
long_run = LongRun("drawing", Path(__file__), probed_steps=6)
vq, tokenizer = load_image_tokenizer(), names_tokenizer()
split = {name: openmoji(name, "combination") for name in ("train", "validation", "test")}
codes = {
    name: vq.encode(scaled(picture_tensor(chosen))) for name, chosen in split.items()
}
long_run.data = {name: data_digest(split[name]) for name in split}
shares = Shares(split["train"], by_subject(split["train"], people=0.5))


def examples(prompts, codes):
    given = tokenizer(prompts, padding=True, return_tensors="pt")
    ids = torch.cat([given.input_ids, len(tokenizer) + codes], 1)
    mask = torch.cat([given.attention_mask, torch.ones_like(codes)], 1)
    return list(zip(ids, mask, strict=True))


def batch_at(step):
    chosen = shares.batch(step, BATCH)
    languages = torch.randint(2, (BATCH,)).tolist()
    dropped = (torch.rand(BATCH) < DROPPED).tolist()
    prompts = [
        "" if without else prompt(split["train"][index], LANGUAGES[language])
        for index, language, without in zip(chosen, languages, dropped, strict=True)
    ]
    return examples(prompts, codes["train"][chosen])


@torch.no_grad()
def nats(model, name, language, every=1):
    """Mean loss of an image token; without a language, without a name."""
    chosen = long_run.few(range(0, len(split[name]), every), 32)
    prompts = [prompt(split[name][i], language) if language else "" for i in chosen]
    rows = examples(prompts, codes[name][list(chosen)])
    lots = [rows[i : i + 64] for i in range(0, len(rows), 64)]
    return float(sum(image_token_loss(model, lot, "cpu") for lot in lots)) / (
        PLACES * len(rows)
    )


def measure(run):
    torch.manual_seed(0)
    model = LlamaForCausalLM(drawing_config(len(tokenizer)))
    optimizer = adamw(model, RATE)
    losses = fit(
        model, batch_at, optimizer, STEPS, linear_decay(optimizer, STEPS, 100),
        long_run.state_of(run), save_every=100, description=run,
        loss_of=image_token_loss, count=lambda batch: PLACES * len(batch),
    )  # fmt: skip
    folder = long_run.folder / "model"
    model.half().save_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, STEPS, 50)],
        "nats": {
            name: {
                language or "no name": nats(model, name, language, every)
                for language in (*LANGUAGES, None)
            }
            for name, every in (("train", 14), ("validation", 1), ("test", 1))
        },
    }


long_run.measure("decoder", lambda: measure("decoder"))
long_run.finish(seeds=[0], steps=STEPS)
