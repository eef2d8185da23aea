# %% setup
import torch
from torch.nn.functional import normalize
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer.question_answering import interval
from llm_tutorial.transformer.quoting import replies, rules
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
chunk = next(c for c in merged(passages, 2000) if answers in c.places)
before = "\n\n".join(texts[at] for at in chunk.places if at < answers)
whole, without, alone, asked = embed(
    encoder, pieces, [chunk.text, before, texts[answers], query]
)
for name, text in {"all of it": chunk.text, "before the answer": before}.items():
    print(len(pieces(text).input_ids), "tokens", name)
assert torch.equal(whole, without) and texts[answers] in chunk.text

# %% cut_cure
parts = split([passages[at] for at in chunk.places], 500)
near = embed(encoder, pieces, [part.text for part in parts]) @ asked
best = parts[int(near.argmax())]
assert max(len(pieces(part.text).input_ids) for part in parts) <= 256
assert chunk.places[best.places[0]] == answers
print(f"whole {asked @ whole:.2f}, parts {near.max():.2f}:", best.text.split("\n")[0])

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
for name in ("2000, window 256", "2000, window 512", "passages"):
    shares = [sum(found(name, tokens)) / len(topics) for tokens in (400, 800, 1600)]
    rows[name] = [
        f"{100 * run[f'chunks, {name}']['cut']:.0f}",
        *(f"{s:.1f}" for s in shares),
    ]
table(rows, ["chunks", "cut, %", "answer in 400 tokens, %", "800", "1600"]).show()


# %% padding
@torch.inference_mode()
def careless(texts):
    read = pieces(texts, padding=True, truncation=True, max_length=256,
                  return_tensors="pt")  # fmt: skip
    hidden = encoder(**read).last_hidden_state
    return normalize(hidden.mean(1), dim=-1)  # over padding as well


alone = careless([query])[0]
beside = careless([query, texts[answers]])[0]
print(f"the same question in two batches: cosine {alone @ beside:.2f}")

# %% padding_cure
alone = embed(encoder, pieces, [query])[0]
beside = embed(encoder, pieces, [query, texts[answers]])[0]
torch.testing.assert_close(alone, beside)

# %% overrun differs="greedy text near a tie"
model, tokenizer = load_model(), load_tokenizer()
LIMIT = 512
others = [texts[at] for at in range(answers + 1, answers + 9)]
read = [texts[answers], *others]
options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
inputs = tokenizer.apply_chat_template(
    rules(query, read), truncation=True, max_length=LIMIT, **options
)
print("The prompt ends:", repr(tokenizer.decode(inputs.input_ids[0, -16:])))
written = model.generate(**inputs, max_new_tokens=24, do_sample=False)
print("SmolLM2 goes on:", tokenizer.decode(written[0, LIMIT:]))
assert query not in tokenizer.decode(inputs.input_ids[0])


# %% overrun_cure differs="greedy text near a tie"
def within(question, passages, limit):
    """As many of the best passages as fit; the question always does."""
    for count in range(len(passages), -1, -1):
        prompt = rules(question, passages[:count])
        if len(tokenizer.apply_chat_template(prompt, **options).input_ids[0]) <= limit:
            return passages[:count]
    raise ValueError("the question alone is longer than the limit")


fitting = within(query, read, LIMIT)
assert read[0] in fitting and len(fitting) < len(read)
print(
    len(fitting),
    "of",
    len(read),
    "passages:",
    *replies(model, tokenizer, [query], [fitting], "rules"),
)

# %% numbers values
moved = careless([query])[0] @ careless([query, texts[answers]])[0]
print(f"careless_cosine = {moved:.2f}")  # tolerance 5%
print(f"tokens_before = {len(pieces(before).input_ids)}")
print(f"cut_2000 = {100 * run['chunks, 2000, window 256']['cut']:.0f}")
print(f"cut_passages = {100 * run['chunks, passages']['cut']:.0f}")
pairs = {
    "window": ("2000, window 512", "2000, window 256"),
    "passage": ("passages", "2000, window 512"),
}
for key, (one, other) in pairs.items():
    values = [a - b for a, b in zip(found(one, 800), found(other, 800), strict=True)]
    for part, value in zip(
        ("mean", "low", "high"), interval(values, topics), strict=True
    ):
        print(f"{key}_{part} = {value:.1f}")
