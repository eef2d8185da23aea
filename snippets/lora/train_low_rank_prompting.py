"""Few-shot prompting of the untrained SmolLM2-135M: several prompts, the best chosen on validation pairs."""

from pathlib import Path

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.task import answers, validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest

MODEL = "smollm2-135m"

long_run = LongRun("low_rank_prompting", Path(__file__))
model, tokenizer = load_model(MODEL), load_tokenizer(MODEL)
shots, validation, test = cldr_pairs(16), validation_pairs(), cldr_pairs(200, "held_out")
assert not {pair.english for pair in shots} & {pair.english for pair in validation + test}
long_run.data = {"shots": data_digest(shots), "held_out": data_digest(test)}


def arrows(english: str, count: int) -> str:
    return "".join(f"{pair.english} →{pair.chinese}\n" for pair in shots[:count]) + f"{english} →"


def labels(english: str, count: int) -> str:
    examples = "".join(f"English: {pair.english}\nChinese: {pair.chinese}\n\n" for pair in shots[:count])
    return f"Translate into Chinese.\n\n{examples}English: {english}\nChinese:"


def chat(english: str, count: int) -> str:
    turns = [
        {"role": "system", "content": "Translate each English expression into Chinese. Reply with the Chinese only."}
    ]
    for pair in shots[:count]:
        turns += [{"role": "user", "content": pair.english}, {"role": "assistant", "content": pair.chinese}]
    turns.append({"role": "user", "content": english})
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


PROMPTS = {
    f"{make.__name__}, {count} examples": (make, count) for make in (arrows, labels, chat) for count in (0, 8, 16)
}


def exact(name: str, pairs: list) -> float:
    make, count = PROMPTS[name]
    said = answers(model, tokenizer, [make(pair.english, count) for pair in pairs], batch_size=10)
    return 100 * sum(a == pair.chinese for a, pair in zip(said, pairs, strict=True)) / len(pairs)


tried = {name: long_run.measure(name, lambda name=name: {"validation": exact(name, validation)}) for name in PROMPTS}
best = max((name for name in tried if PROMPTS[name][1] >= 8), key=lambda name: tried[name]["validation"])
long_run.measure("best", lambda: {"held_out": exact(best, test)})
long_run.finish(best=best)
