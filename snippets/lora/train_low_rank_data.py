"""How many examples LoRA needs: 10 to 1,000 pairs, seen again and again.

At the setting that ``train_low_rank.py`` found.
"""

from pathlib import Path

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.task import MODEL, TEST_PAIRS, exact_match, train_adapter
from llm_tutorial.models import load_tokenizer
from llm_tutorial.runs import LongRun, data_digest

# few pairs are known by heart long before their last step
STEPS = {10: 100, 30: 100, 100: 100, 300: 150, 1000: 150}
RATE = 5e-4

long_run = LongRun("low_rank_data", Path(__file__), probed_steps=3)
tokenizer = load_tokenizer(MODEL)
pairs, test = cldr_pairs(max(STEPS)), cldr_pairs(TEST_PAIRS, "held_out")
assert not {pair.english for pair in pairs} & {pair.english for pair in test}
long_run.data = {"train": data_digest(pairs), "held_out": data_digest(test)}


def train(run: str, count: int, steps: int) -> dict:
    model, losses = train_adapter(
        tokenizer,
        pairs[:count],
        steps,
        RATE,
        state=long_run.state_of(run),
        description=run,
        rank=8,
        alpha=128,
    )
    return {
        "losses": losses,
        "steps": steps,
        "train": exact_match(model, tokenizer, long_run.few(pairs[: min(count, 100)])),
        "held_out": exact_match(model, tokenizer, long_run.few(test)),
    }


for count, steps in STEPS.items():
    run = f"{count} pairs"
    long_run.measure(
        run, lambda run=run, count=count, steps=steps: train(run, count, steps)
    )
long_run.finish(seeds=[0], steps=max(STEPS.values()))
