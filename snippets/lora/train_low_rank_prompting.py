"""Few-shot prompting of the untrained SmolLM2-135M: several prompts, the best chosen on validation pairs."""

import copy
from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.task import validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest, with_begin_token

MODEL = "smollm2-135m"

long_run = LongRun("low_rank_prompting", Path(__file__))
model, tokenizer = load_model(MODEL), load_tokenizer(MODEL)
shots, validation, test = cldr_pairs(16), validation_pairs(), cldr_pairs(200, "held_out")
assert not {pair.english for pair in shots} & {pair.english for pair in validation + test}
long_run.data = {"shots": data_digest(shots), "held_out": data_digest(test)}
TASK = "Translate each English expression into Chinese. Reply with the Chinese only."


def arrows(count: int) -> tuple[str, str]:
    return "".join(f"{pair.english} →{pair.chinese}\n" for pair in shots[:count]), "{} →"


def labels(count: int) -> tuple[str, str]:
    examples = "".join(f"English: {pair.english}\nChinese: {pair.chinese}\n\n" for pair in shots[:count])
    return f"{TASK}\n\n{examples}", "English: {}\nChinese:"


def chat(count: int) -> tuple[str, str]:
    turns = [{"role": "system", "content": TASK}]
    for pair in shots[:count]:
        turns += [{"role": "user", "content": pair.english}, {"role": "assistant", "content": pair.chinese}]
    turns.append({"role": "user", "content": "{}"})
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    before, after = text.rsplit("{}", 1)
    return before, "{}" + after


@torch.no_grad()
def answers(prefix: str, questions: list[str], batch_size: int = 30) -> list[str]:
    """Greedy answers; the examples are read once, and their keys and values serve every question."""
    tokenizer.padding_side = "left"
    prefix_ids = tokenizer(with_begin_token(tokenizer, prefix), return_tensors="pt", add_special_tokens=False).input_ids
    shared = model(input_ids=prefix_ids, use_cache=True).past_key_values
    said = []
    for start in range(0, len(questions), batch_size):
        chunk = tokenizer(
            questions[start : start + batch_size], return_tensors="pt", padding=True, add_special_tokens=False
        )
        rows = len(chunk.input_ids)
        cache = copy.deepcopy(shared)
        cache.batch_repeat_interleave(rows)
        before = prefix_ids.expand(rows, -1)
        ids = model.generate(
            input_ids=torch.cat([before, chunk.input_ids], 1),
            attention_mask=torch.cat([torch.ones_like(before), chunk.attention_mask], 1),
            past_key_values=cache, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        new = ids[:, before.shape[1] + chunk.input_ids.shape[1] :]
        said += [
            text.strip().partition("\n")[0].strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)
        ]
    return said


PROMPTS = {
    f"{make.__name__}, {count} examples": (make, count) for make in (arrows, labels, chat) for count in (0, 8, 16)
}


def exact(name: str, pairs: list) -> float:
    make, count = PROMPTS[name]
    prefix, question = make(count)
    said = answers(prefix, [question.replace("{}", pair.english) for pair in pairs])
    return 100 * sum(a == pair.chinese for a, pair in zip(said, pairs, strict=True)) / len(pairs)


tried = {name: long_run.measure(name, lambda name=name: {"validation": exact(name, validation)}) for name in PROMPTS}
best = max((name for name in tried if PROMPTS[name][1] >= 8), key=lambda name: tried[name]["validation"])
long_run.measure("best", lambda: {"held_out": exact(best, test)})
long_run.finish(best=best)
