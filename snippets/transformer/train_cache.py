"""Times of SmolLM2 with and without a cache, in batches, with drafts; no training.

All times are the processor's, of one thread, and all ratios are of neighbours in time.
"""

# %% settings
import time
from pathlib import Path

import torch
from transformers import DynamicCache

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.cache import Cache, advance
from llm_tutorial.transformer.names import own_copy
from llm_tutorial.transformer.speculative import (
    ModelDraft,
    early_exit,
    int8_copy,
    no_draft,
    prompt_lookup,
    speculate,
)

torch.set_num_threads(1)
torch.set_grad_enabled(False)
NEW, ROUNDS = 40, 5
model, tokenizer = load_model(), load_tokenizer()
small = int8_copy(model)
END = tokenizer.eos_token_id
model.generation_config.pad_token_id = END

objects = [o for o in documented_objects("test") if 300 <= len(o.body) <= 600][:6]
COPY = [f"Repeat this text word for word:\n\n{each.body[:300]}" for each in objects]
FREE = [
    "Write a short story about a lighthouse keeper.",
    "Explain what a cache is and why programs use one.",
    "Write an email to a friend about a trip to the sea.",
    "Describe how bread is made.",
    "Give me three ideas for a birthday party.",
    "Write a poem about winter.",
]
long_run = LongRun("cache", Path(__file__))
long_run.data = {"prompts": data_digest(COPY + FREE)}


def seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def rounds(calls: dict, count: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each call, once a round, after one to warm up."""
    for call in calls.values():
        call()
    every = [{name: seconds(calls[name]) for name in calls} for _ in range(count)]
    return {name: [round(each[name], 5) for each in every] for name in calls}


# %% length
own = own_copy(model)
torch.manual_seed(0)
ids = torch.randint(1000, 40_000, (1, 1100))


def with_and_without(past: int) -> dict:
    """The next token: reading the whole text again, against a step with a cache."""
    cache = Cache(own.config.layers)
    advance(own, ids[:, :past], cache)

    def again():
        own.logits(own(ids[:, : past + 1])[:, -1])

    def step():
        own.logits(advance(own, ids[:, past : past + 1], cache)[:, -1])
        cache.crop(past)

    return rounds({"again": again, "step": step})


for past in (16, 32, 64, 128, 256, 512, 1024):
    run = f"length {past}"
    long_run.measure(run, lambda past=past: with_and_without(past), timed=True)


# %% tokens at once
def step_of(net, batch: int, new: int, past: int):
    """A pass over new tokens after a cached text; the cache is as it was afterwards."""
    cache = DynamicCache(config=net.config)
    net(ids[:, :past], past_key_values=cache, logits_to_keep=1)
    cache.batch_repeat_interleave(batch)
    fed = ids[:, past : past + new].repeat(batch, 1)

    def call():
        net(fed, past_key_values=cache)
        cache.crop(-new)

    return call


def at_once(count: int, past: int) -> dict:
    """Several tokens of one text, one token of several texts; one token alone."""
    calls = {
        "one": step_of(model, 1, 1, past),
        "text": step_of(model, 1, count, past),
        "batch": step_of(model, count, 1, past),
        "int8": step_of(small, 1, count, past),
    }
    return rounds(calls)


for count in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
    run = f"{count} at once"
    long_run.measure(run, lambda count=count: at_once(count, 128), timed=True)
for count in (4, 16):
    run = f"{count} at once, long"
    long_run.measure(run, lambda count=count: at_once(count, 1024), timed=True)


# %% prefix
def shared(prefix: int, new: int) -> dict:
    """Reading a request whole, or only what follows a prefix that was read before."""
    return rounds(
        {
            "whole": lambda: model(ids[:, : prefix + new], logits_to_keep=1),
            "rest": step_of(model, 1, new, prefix),
        }
    )


long_run.measure("prefix", lambda: shared(256, 32), timed=True)

# %% drafts
early = early_exit(model, 15)
COUNTS = {"lookup": (3, 7, 15), "int8": (1, 2, 3, 5), "15 blocks": (2,)}
MODELS = {"int8": small, "15 blocks": early}


def draft_of(name: str, count: int):
    if name == "lookup":
        return prompt_lookup(count, vocabulary=model.config.vocab_size)
    return ModelDraft(MODELS[name], count)


def prompt_ids(prompt: str):
    talk = [{"role": "user", "content": prompt}]
    options = {"add_generation_prompt": True, "return_tensors": "pt"}
    return tokenizer.apply_chat_template(talk, **options)["input_ids"]


def library(ids, **options):
    written = model.generate(ids, max_new_tokens=NEW, do_sample=False, **options)
    return written[0, ids.shape[1] :].tolist()


small.generation_config.num_assistant_tokens = 3
small.generation_config.assistant_confidence_threshold = 0.0
LIBRARY = {
    "generate": {},
    "generate, lookup, 7": {"prompt_lookup_num_tokens": 7},
    "generate, int8, 3": {"assistant_model": small},
}


def agreement(prompts) -> dict:
    """How near the drafts come along greedy text: overlap (1 - TV), same token."""
    found = {name: [] for name in MODELS}
    for prompt in long_run.few(prompts, 2):
        ids = prompt_ids(prompt)
        new = torch.tensor([speculate(model, ids, no_draft, 16, end=END).tokens])
        ids = torch.cat([ids, new[:, :-1]], 1)
        keep = new.shape[1]
        p = model(ids, logits_to_keep=keep).logits[0].softmax(-1)
        for name, draft in MODELS.items():
            q = draft(ids, logits_to_keep=keep).logits[0].softmax(-1)
            same = (p.argmax(-1) == q.argmax(-1)).float().mean()
            overlap = torch.minimum(p, q).sum(-1).mean()
            found[name].append([round(overlap.item(), 3), round(same.item(), 3)])
    return found


def written(prompts) -> dict:
    """Speed against decoding without a draft; tokens, passes, guesses, guesses kept."""
    found: dict[str, list] = {}
    for prompt in prompts:
        ids = prompt_ids(prompt)
        start = time.process_time()
        plain = speculate(model, ids, no_draft, NEW, end=END)
        base = time.process_time() - start
        for name, counts in COUNTS.items():
            for count in counts:
                start = time.process_time()
                result = speculate(model, ids, draft_of(name, count), NEW, end=END)
                speed = base / (time.process_time() - start)
                assert result.tokens == plain.tokens, name
                line = [round(speed, 3), len(result.tokens), *result[1:]]
                found.setdefault(f"{name}, {count}", []).append(line)
        for name, options in LIBRARY.items():
            start = time.process_time()
            assert library(ids, **options) == plain.tokens, name
            speed = base / (time.process_time() - start)
            found.setdefault(name, []).append([round(speed, 3)])
    return found


for task, prompts in {"copy": COPY, "free": FREE}.items():
    run = f"agreement, {task}"
    long_run.measure(run, lambda prompts=prompts: agreement(prompts))
    long_run.measure(task, lambda prompts=prompts: written(prompts), timed=True)
long_run.finish(steps=0, tolerance=0.5)  # nothing is trained
