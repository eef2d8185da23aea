"""What decoding changes in what SmolLM2 writes; nothing is trained.

Free text, copies and answers under many settings, and JSON with and without a schema:
about half an hour on one thread.
"""

import copy
import random
from pathlib import Path

import torch
from transformers import NoRepeatNGramLogitsProcessor, SuppressTokensLogitsProcessor

from llm_tutorial.data.documentation import (
    LIBRARIES,
    documentation_questions,
    documented_objects,
    object_passages,
    reference_passages,
)
from llm_tutorial.evaluation import padded
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import with_begin_token
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.records import (
    RECORD_SCHEMA,
    judged,
    record_prompt,
    record_tasks,
)
from llm_tutorial.transformer.sampling import (
    LikelihoodRecorder,
    MinP,
    RepetitionPenalty,
    Temperature,
    TopP,
    distinct,
    repeated,
)
from llm_tutorial.transformer.schema import SchemaAutomaton, SchemaProcessor
from llm_tutorial.transformer.templates import says

PROMPT, WRITTEN, COPY, ANSWER, RECORD = 32, 96, 34, 20, 100  # tokens
SEEDS, EXAMPLES, RETRIES = range(3), (0, 1, 3), 3
GREEDY = {
    "greedy": lambda skip: [],
    **{
        f"penalty {penalty}": lambda skip, penalty=penalty: [RepetitionPenalty(penalty)]
        for penalty in (1.05, 1.1, 1.2, 1.3, 1.5)
    },
    "penalty 1.2, prompt left out": lambda skip: [RepetitionPenalty(1.2, skip)],
    **{
        f"no repeated {n}-gram": lambda skip, n=n: [NoRepeatNGramLogitsProcessor(n)]
        for n in (2, 3, 4)
    },
}
SAMPLED = {
    "temperature 0.7": lambda skip: [Temperature(0.7)],
    "temperature 1": lambda skip: [],
    "top-p 0.9": lambda skip: [TopP(0.9)],
    "min-p 0.1": lambda skip: [MinP(0.1)],
}
HEATED = {
    f"temperature {heat}{name}": [Temperature(heat), *cut]
    for heat in (0.5, 1.0, 1.5, 2.0)
    for name, cut in {
        "": [],
        ", top-p 0.9": [TopP(0.9)],
        ", min-p 0.1": [MinP(0.1)],
    }.items()
}

torch.set_num_threads(1)
torch.set_grad_enabled(False)
model, tokenizer = load_model(), load_tokenizer()
long_run = LongRun("generation", Path(__file__))
few = long_run.few
silent = SuppressTokensLogitsProcessor(list(tokenizer.added_tokens_decoder))


def ids_of(text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def evenly(items: list, count: int) -> list:
    return items[:: len(items) // count][:count]


# %% what is written about
texts = [
    ids_of(found.body)
    for library in LIBRARIES
    for found in documented_objects("test", library, 150)
]
texts = evenly([text for text in texts if len(text) >= PROMPT + WRITTEN], 16)
texts = [text[: PROMPT + WRITTEN] for text in texts]

signatures = [
    found.signature
    for library in ("numpy", "scipy", "sklearn")
    for found in documented_objects("train", library, 0)
    if 15 <= len(ids_of(found.signature)) <= COPY - 2
]
random.Random(0).shuffle(signatures)
shots = "".join(f"Text: {line}\nCopy: {line}\n\n" for line in signatures[:3])
signatures = signatures[3:27]

passages = {
    passage.id: passage.text for passage in [*reference_passages(), *object_passages()]
}
questions = [
    (f"{passages[q.passages[0]]}\n\n{q.question} Answer briefly.", q.answer.strip("`'"))
    for split in ("train", "validation", "test")
    for q in documentation_questions(split)
    if 0 < len(q.answer.split()) <= 3
]
questions = [(text, answer) for text, answer in questions if len(ids_of(text)) <= 230]
questions = evenly(questions, 32)
shown, tasks = record_tasks("train")[: max(EXAMPLES)], record_tasks("test")[:24]
long_run.data = {
    "texts": data_digest(texts),
    "signatures": data_digest(signatures),
    "questions": data_digest(questions),
    "records": data_digest([shown, tasks]),
}


# %% writing
def read(prompts: list[list[int]]) -> dict:
    """Prompts read once, for many continuations."""
    ids, mask = padded(prompts, "left", model.device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    cache = model(
        ids[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=places[:, :-1],
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    return {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}


def write(prompts: dict, processors: list, length: int, seed: int | None = None):
    """Continuations, without their prompts; greedy without a seed."""
    torch.manual_seed(seed or 0)
    written = model.generate(
        **prompts | {"past_key_values": copy.deepcopy(prompts["past_key_values"])},
        logits_processor=processors,
        max_new_tokens=length,
        do_sample=seed is not None,
        **({} if seed is None else {"top_k": 0}),  # or generate would take 50
    )
    return written[:, prompts["input_ids"].shape[1] :]


def told(ids: torch.Tensor) -> list[str]:
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


# %% measures
def described(rows: list[list[int]], likelihoods: torch.Tensor) -> dict:
    return {
        "repeated": [round(repeated(row), 4) for row in rows],
        "distinct": round(distinct(rows), 4),
        "log_likelihood": [round(x, 3) for x in likelihoods.mean(1).tolist()],
        "by_place": [round(x, 3) for x in likelihoods.mean(0).tolist()],
    }


def free_text(settings: dict, seed: int | None = None) -> dict:
    chosen = few(texts)
    begin = tokenizer.bos_token_id
    prompts = read([[begin, *text[:PROMPT]] for text in chosen])
    results = {}
    if seed is None:  # what people wrote, and how likely the model finds it
        whole = torch.tensor([[begin, *text] for text in chosen])
        logits = silent(whole, model(whole).logits[:, PROMPT:-1].flatten(0, 1))
        logits = logits.unflatten(0, (len(chosen), WRITTEN))
        found = logits.log_softmax(-1).gather(-1, whole[:, PROMPT + 1 :, None])[..., 0]
        # without the last token, which the recorder does not see either
        results["people"] = described([t[PROMPT:] for t in chosen], found[:, :-1])
    for name in few(list(settings), 3):
        recorder = LikelihoodRecorder()
        processors = [silent, recorder, *settings[name](PROMPT + 1)]
        rows = write(prompts, processors, WRITTEN, seed)
        results[name] = described(rows.tolist(), recorder.log_likelihoods())
        results[name]["texts"] = told(rows[:4])
    return results


def free_to_end() -> dict:
    """Greedy text without the ban on the end token, up to its end."""
    begin = tokenizer.bos_token_id
    prompts = read([[begin, *text[:PROMPT]] for text in few(texts)])
    rows = [
        row[: row.index(tokenizer.eos_token_id)]
        if tokenizer.eos_token_id in row
        else row
        for row in write(prompts, [], WRITTEN).tolist()
    ]
    found = [round(repeated(row), 4) for row in rows]
    return {"tokens": [len(row) for row in rows], "repeated": found}


def copies(settings: dict, seed: int | None = None) -> dict:
    chosen = few(signatures)
    prompts = [with_begin_token(tokenizer, f"{shots}Text: {s}\nCopy:") for s in chosen]
    read_prompts = read([ids_of(prompt) for prompt in prompts])
    skip = read_prompts["input_ids"].shape[1]
    results = {}
    for name in few(list(settings), 3):
        rows = write(read_prompts, [silent, *settings[name](skip)], COPY, seed)
        lines = [text.strip().partition("\n")[0].strip() for text in told(rows)]
        exact = [int(a == b) for a, b in zip(lines, chosen, strict=True)]
        results[name] = {"exact": exact, "texts": lines[:4]}
    return results


def answers(settings: dict, seed: int | None = None) -> dict:
    chosen = few(questions)
    talks = [[{"role": "user", "content": text}] for text, _ in chosen]
    options = {"tokenize": False, "add_generation_prompt": True}
    prompts = [tokenizer.apply_chat_template(talk, **options) for talk in talks]
    read_prompts = read([ids_of(prompt) for prompt in prompts])
    results = {}
    for name in few(list(settings), 3):
        replies = told(write(read_prompts, settings[name], ANSWER, seed))
        right = [int(says(r, a)) for r, (_, a) in zip(replies, chosen, strict=True)]
        results[name] = {"right": right, "texts": replies[:4]}
    return results


def records(count: int) -> dict:
    chosen = few(tasks)
    prompts = [record_prompt(tokenizer, task, shown[:count]) for task in chosen]
    read_prompts = read([ids_of(prompt) for prompt in prompts])
    constraint = SchemaProcessor(
        SchemaAutomaton(RECORD_SCHEMA, tokenizer),
        read_prompts["input_ids"].shape[1],
        RECORD,
    )
    results = {}
    for name, processors in {"free": [], "schema": [constraint]}.items():
        said = told(write(read_prompts, processors, RECORD))
        results[name] = judged(said, chosen) | {"texts": said[:6]}
    if count == max(EXAMPLES):  # as many tries as an impatient caller would make
        for seed in range(RETRIES):
            said = told(write(read_prompts, [Temperature(0.7)], RECORD, seed))
            results[f"free, try {seed}"] = judged(said, chosen)
    return results


# %% runs
long_run.measure("texts, greedy", lambda: free_text(GREEDY))
long_run.measure("texts, free to end", free_to_end)
long_run.measure("copies, greedy", lambda: copies(GREEDY))
long_run.measure("answers, greedy", lambda: answers({"greedy": []}))
for count in EXAMPLES:
    name = f"records, {count} examples"
    long_run.measure(name, lambda count=count: records(count))
for seed in SEEDS:
    for name, measure, settings in (
        ("texts", free_text, SAMPLED),
        ("copies", copies, SAMPLED),
        ("answers", answers, HEATED),
    ):
        long_run.measure(
            f"{name}, sampled, seed {seed}",
            lambda m=measure, settings=settings, seed=seed: m(settings, seed),
        )
long_run.finish(seeds=list(SEEDS), steps=0, tolerance=0.1)
