"""198 questions to SmolLM2 in right and wrong chat templates; nothing is trained."""

# %% settings
from pathlib import Path

from llm_tutorial.data.text import english_questions
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.templates import WRAPPINGS, replies, says

long_run = LongRun("anatomy_templates", Path(__file__))
long_run.data = {"questions": data_digest(english_questions())}
model, tokenizer = load_model(), load_tokenizer()


# %% measure
def measure(name: str, min_new_tokens: int = 0) -> dict:
    questions = long_run.few(english_questions())
    prompts = [WRAPPINGS[name](tokenizer, question.question) for question in questions]
    written = replies(model, tokenizer, prompts, min_new_tokens=min_new_tokens)
    return {
        "right": [
            int(says(reply.text, q.answer))
            for reply, q in zip(written, questions, strict=True)
        ],
        "ended": [int(reply.ended) for reply in written],
        "characters": [len(reply.text) for reply in written],
    }


for name in WRAPPINGS:
    long_run.measure(name, lambda name=name: measure(name))
for name in ("Llama 2's", "begin token only", "none"):  # may not stop at once
    long_run.measure(f"{name}, made to write", lambda name=name: measure(name, 8))
long_run.finish(steps=0, tolerance=0.1)  # nothing is trained
