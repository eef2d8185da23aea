"""The same messages by SmolLM2-135M: as it is, and with an adapter of rank 8 by PEFT.

One in ten messages of each test. As it is: the best of three prompts, by validation.
With the adapter: one setting, one seed, 640 short pairs, each seen once, for that is
what a few minutes of one core allow.
"""

# %% settings
import random
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from llm_tutorial.generation import greedy_answers
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import encode
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import fit, linear_decay
from llm_tutorial.transformer.scores import resampled, score
from llm_tutorial.transformer.translation import TESTS, translation_data

STEPS, BATCH, RATE, LONGEST = 40, 16, 5e-4, 48

torch.set_num_threads(1)
long_run = LongRun("translation_lm", Path(__file__), probed_steps=2)
data = translation_data()
long_run.data = {name: data_digest(part) for name, part in data.items()}
tokenizer = load_tokenizer("smollm2-135m")
short = [m for m in data["train"] if len(m.english) <= 60 and len(m.chinese) <= 30]
chosen = random.Random(0).sample(short, STEPS * BATCH)
shown = "\n".join(f"{m.english} → {m.chinese}" for m in chosen[:3])


# %% prompts
def chat(english: str) -> str:
    request = f"Translate into Chinese: {english}"
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": request}],
        tokenize=False,
        add_generation_prompt=True,
    )


PROMPTS = {
    "chat": chat,
    "named": lambda english: f"English: {english}\nChinese:",
    "three pairs": lambda english: f"{shown}\n{english} →",
}


# %% measure
def written(model: torch.nn.Module, prompt, pairs) -> list[str]:
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index].english))
    prompts = [prompt(pairs[index].english) for index in order]
    texts = greedy_answers(model, tokenizer, prompts, LONGEST, batch_size=48)
    return [text for _, text in sorted(zip(order, texts, strict=True))]


def measure(model: torch.nn.Module, prompt) -> dict:
    found = {}
    for test in TESTS:
        asked = long_run.few(data[test][::10])
        texts = written(model, prompt, asked)
        found[f"{test}, sample"] = score(texts, asked)
        found[f"{test}, sample draws"] = resampled(texts, asked)
        found[f"{test}, texts"] = texts
    return found


def untrained() -> dict:
    model = load_model("smollm2-135m")
    asked = long_run.few(data["validation"][::28])
    tried = {
        name: score(written(model, prompt, asked), asked)["chrf"]
        for name, prompt in PROMPTS.items()
    }
    best = max(tried, key=tried.get)
    return {"tried": tried, "prompt": best, **measure(model, PROMPTS[best])}


def arrow(english: str) -> str:
    return f"{english} →"


def adapted(run: str) -> dict:
    torch.manual_seed(0)
    config = LoraConfig(
        r=8, lora_alpha=128, target_modules="all-linear", use_rslora=False
    )
    model = get_peft_model(load_model("smollm2-135m"), config)
    examples = [encode(tokenizer, arrow(m.english), f" {m.chinese}") for m in chosen]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    losses = fit(
        model,
        lambda step: examples[BATCH * step : BATCH * (step + 1)],
        optimizer,
        STEPS,
        linear_decay(optimizer, STEPS, warmup=5),
        long_run.state_of(run),
        save_every=2,
        description=run,
    )
    parameters = sum(p.numel() for p in trained)
    return {"losses": losses, "parameters": parameters, **measure(model, arrow)}


# %% run
long_run.measure("LoRA", lambda: adapted("LoRA"))
long_run.measure("as it is", untrained)
characters = sum(len(m.chinese) for m in data["train"])
tokens = sum(len(tokenizer(m.chinese).input_ids) for m in data["train"])
long_run.finish(seeds=[0], steps=STEPS, tokens_per_character=tokens / characters)
