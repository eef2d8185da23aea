# %% setup
import torch
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer.question_answering import interval
from llm_tutorial.transformer.quoting import replies, shown
from llm_tutorial.transformer.retrieval import (
    corpus,
    embed,
    merged,
    questions,
    searched,
    split,
)

logging.set_verbosity_error()
torch.manual_seed(0)
passages = corpus()
texts = [searched(passage) for passage in passages]
place = {passage.id: at for at, passage in enumerate(passages)}
encoder, pieces = load_encoder("minilm"), load_tokenizer("minilm")

query = "Why would a library add a handler that does nothing to its logger?"
answers = place["logging.NullHandler-0"]

# %% cut
chunk = next(one for one in merged(passages, 2000) if answers in one.places)
before = "\n\n".join(texts[at] for at in chunk.places if at < answers)
assert chunk.text == f"{before}\n\n{texts[answers]}"
whole, without, question = embed(encoder, pieces, [chunk.text, before, query])
assert torch.equal(whole, without)  # with and without the answer
print(len(pieces(before).input_ids), "tokens before the answer")

# %% cut_cure
parts = split([passages[at] for at in chunk.places], characters=500)
assert max(len(pieces(part.text).input_ids) for part in parts) <= 256  # count them
near = embed(encoder, pieces, [part.text for part in parts]) @ question
best = parts[int(near.argmax())]
print(f"whole {question @ whole:.2f}, best part {near.max():.2f}:", best.text[:19])

# %% cut_share
run = results("transformer", "retrieval")["metrics"]
topics = [
    passages[min(place[name] for name in question.passages)].topic
    for question in questions()
    if question.answer
]


def found(name, tokens):
    """Of each question, whether the answer is in the first tokens that are read."""
    read = run[f"chunks, {name}"]["read"]["MiniLM"]
    return [100.0 * (0 < upto <= tokens) for upto in read]


rows = {}
for name, label in {
    "2000, window 256": "2,000 characters",
    "2000, window 512": "the same, window 512",
    "passages": "passages",
    "250": "250 characters",
}.items():
    shares = [sum(found(name, tokens)) / len(topics) for tokens in (400, 800, 1600)]
    cut = run[f"chunks, {name}"]["cut"]
    rows[label] = [f"{100 * cut:.0f}", *(f"{share:.0f}" for share in shares)]
table(rows, ["chunks", "cut, %", "answer in 400 tokens, %", "800", "1,600"]).show()


# %% overrun differs="greedy text near a tie"
model, tokenizer = load_model(), load_tokenizer()
LIMIT = 1024  # in place of what a model can read
others = [texts[at] for at in range(answers + 1, answers + 9)]
read = [texts[answers], *others]
options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
inputs = tokenizer.apply_chat_template(
    shown(query, read), truncation=True, max_length=LIMIT, **options
)
print("The prompt ends:", repr(tokenizer.decode(inputs.input_ids[0, -16:])))
written = model.generate(**inputs, max_new_tokens=24, do_sample=False)
print("SmolLM2 goes on:", tokenizer.decode(written[0, LIMIT:]))
assert query not in tokenizer.decode(inputs.input_ids[0])


# %% overrun_cure differs="greedy text near a tie"
def within(question, passages, limit):
    """As many of the best passages as fit; the question always does."""
    for count in range(len(passages), -1, -1):
        prompt = shown(question, passages[:count])
        if len(tokenizer.apply_chat_template(prompt, **options).input_ids[0]) <= limit:
            return passages[:count]
    raise ValueError("the question alone is longer than the limit")


fitting = within(query, read, LIMIT - 32)  # room for the reply
print(len(fitting), "of", len(read), "passages:")
(reply,) = replies(model, tokenizer, [query], [fitting], max_new_tokens=32)
print(reply.split("\n\n")[0])

# %% numbers values
print(f"tokens_before = {len(pieces(before).input_ids)}")
print(f"cut_2000 = {100 * run['chunks, 2000, window 256']['cut']:.0f}")
print(f"cut_passages = {100 * run['chunks, passages']['cut']:.0f}")
pairs = {
    "window_800": ("2000, window 512", "2000, window 256", 800),
    "window_1600": ("2000, window 512", "2000, window 256", 1600),
    "passage": ("passages", "2000, window 512", 800),
    "short_400": ("250", "passages", 400),
    "short_800": ("250", "passages", 800),
}
for key, (one, other, most) in pairs.items():
    pair = zip(found(one, most), found(other, most), strict=True)
    moved = interval([a - b for a, b in pair], topics)
    for part, value in zip(("mean", "low", "high"), moved, strict=True):
        print(f"{key}_{part} = {value:.1f}")
for name, key in {"2000, window 512": "long", "passages": "passages"}.items():
    print(f"tokens_{key} = {run[f'chunks, {name}']['tokens']:.0f}")
