"""Indexes, settings and chunks for retrieval, and what SmolLM2 replies; no training.

Plan, in minutes of one core: embeddings of the passages, 2; settings on sentences
taken out of their passages, 2; chunks, 6; three prompts, 2; replies to 244 questions
from memory and from passages, 10; sentences quoted from them, 8: about 30.
"""

# %% settings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_model, load_tokenizer, model_folder
from llm_tutorial.results import PACKAGE, weights
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.saved_state import write_json
from llm_tutorial.transformer.question_answering import f1, predict
from llm_tutorial.transformer.question_data import QuestionExample, question_examples
from llm_tutorial.transformer.quoting import (
    NOTHING,
    PROMPTS,
    offered_sentences,
    quote,
    replies,
)
from llm_tutorial.transformer.retrieval import (
    BM25,
    Chunk,
    combine,
    corpus,
    embed,
    first_rank,
    fuse,
    merged,
    questions,
    ranked,
    searched,
    split,
    taken_out,
)

K1 = (0.3, 0.6, 0.9, 1.2, 1.6, 2.4, 4.0)
B = (0.0, 0.25, 0.5, 0.75, 1.0)
K = (0, 1, 2, 5, 10, 20, 60, 200, 1000)
ALPHA = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

torch.set_num_threads(1)
logging.set_verbosity_error()
long_run = LongRun("retrieval", Path(__file__))
few = long_run.few
passages, asked = corpus(), questions()
texts = [searched(passage) for passage in passages]
place_of = {passage.id: place for place, passage in enumerate(passages)}
right = [[place_of[name] for name in question.passages] for question in asked]
sentences = taken_out(passages, 300)
templates = [
    example
    for example in question_examples("validation", 260)
    if example.kind.isascii() and example.kind not in ("currency", "language", "week")
][::4]
long_run.data = {
    "passages": data_digest(texts),
    "questions": data_digest(asked),
    "sentences": data_digest(sentences),
    "templates": data_digest(templates),
}
encoder, words = load_encoder("minilm"), load_tokenizer("minilm")
tokenizer = load_tokenizer()
model = load_model(dtype=torch.bfloat16)


def reciprocal(rankings, places) -> float:
    """MRR of rankings whose right texts are known."""
    ranks = [first_rank(*pair) for pair in zip(rankings, places, strict=True)]
    return round(sum(1 / rank for rank in ranks) / len(ranks), 4)


# %% embeddings
EMBEDDINGS = PACKAGE / "transformer/weights/retrieval/passages.safetensors"


def embeddings() -> dict:
    vectors = embed(encoder, words, few(texts))
    if len(vectors) == len(texts):  # no probe
        EMBEDDINGS.parent.mkdir(parents=True, exist_ok=True)
        save_file({"passages": vectors.half()}, EMBEDDINGS)
    return {"first": vectors[:2, :4].tolist()}


long_run.measure("embeddings", embeddings)
vectors = load_file(EMBEDDINGS)["passages"].float()

# %% settings on sentences
short = list(texts)  # each of 300 passages without the sentence that looks for it
for each in sentences:
    short[each.place] = f"{passages[each.place].heading}\n{each.rest}"
looked_for = [[each.place] for each in sentences]


def by_words() -> dict:
    """MRR of BM25 over its two settings."""
    chosen, found = few(range(len(sentences))), {}
    for k1 in few(K1, 2):
        for b in few(B, 2):
            index = BM25(short, k1, b)
            rankings = [index.search(sentences[at].query) for at in chosen]
            found[f"{k1} {b}"] = reciprocal(rankings, [looked_for[at] for at in chosen])
    return {"mrr": found}


def best(found: dict) -> str:
    return max(found, key=lambda setting: found[setting])


k1, b = map(float, best(long_run.measure("BM25", by_words)["mrr"]).split())


def by_both() -> dict:
    """MRR of both retrievers joined, over the constant and over the weight."""
    chosen = few(sentences)
    index, changed = BM25(short, k1, b), vectors.clone()
    changed[[each.place for each in chosen]] = embed(
        encoder, words, [short[each.place] for each in chosen]
    )
    lexical = [index.scores(each.query) for each in chosen]
    queries = embed(encoder, words, [each.query for each in chosen])
    dense = [changed @ query for query in queries]
    pairs = [
        (ranked(one), ranked(other)) for one, other in zip(lexical, dense, strict=True)
    ]
    places = [[each.place] for each in chosen]
    return {
        "k": {str(k): reciprocal([fuse(pair, k) for pair in pairs], places) for k in K},
        "alpha": {
            str(alpha): reciprocal(
                [
                    combine(one, other, alpha)
                    for one, other in zip(lexical, dense, strict=True)
                ],
                places,
            )
            for alpha in ALPHA
        },
    }


joined = long_run.measure("fusion", by_both)
k = float(best(joined["k"]))
queries = embed(encoder, words, [question.question for question in asked])
index = BM25(texts, k1, b)
rankings = [
    fuse([index.search(question.question), ranked(vectors @ query)], k)
    for question, query in zip(asked, queries, strict=True)
]


# %% chunks
def holds(chunk: Chunk, question, places) -> bool:
    """Whether a chunk comes from a right passage and has the answer in it."""
    return bool(set(chunk.places) & set(places)) and (
        " ".join(question.answer.split()).lower()
        in " ".join(chunk.text.split()).lower()
    )


def chunked(chunks: list[Chunk], max_length: int = 256, known=None) -> dict:
    """Tokens read, the best chunk first, until the answer was there; 0: never."""
    chunks = few(chunks, 40)
    parts = [chunk.text for chunk in chunks]
    lengths = [len(ids) for ids in tokenizer(parts).input_ids]
    seen = [len(ids) for ids in words(parts).input_ids]
    index = BM25(parts, k1, b)
    meaning = (
        known if len(parts) == len(texts) else embed(encoder, words, parts, max_length)
    )
    found: dict[str, list[int]] = {"BM25": [], "MiniLM": [], "both": []}
    for question, query, places in zip(asked, queries, right, strict=True):
        if not question.answer:
            continue
        lexical, dense = index.search(question.question), ranked(meaning @ query)
        good = {at for at, chunk in enumerate(chunks) if holds(chunk, question, places)}
        orders = (lexical, dense, fuse([lexical, dense], k))
        for name, order in zip(found, orders, strict=True):
            upto = first_rank(order, good) if good else 0
            found[name].append(sum(lengths[at] for at in order[:upto]))
    return {
        "chunks": len(chunks),
        "tokens": sum(lengths) / len(lengths),
        "cut": sum(length > max_length for length in seen) / len(seen),
        "read": found,
    }


whole = [Chunk(text, (place,)) for place, text in enumerate(texts)]
long_run.measure("chunks, passages", lambda: chunked(whole, known=vectors))
long_run.measure("chunks, 250", lambda: chunked(split(passages, 250)))
for window in (256, 512):
    run = f"chunks, 2000, window {window}"
    long_run.measure(run, lambda window=window: chunked(merged(passages, 2000), window))


# %% prompts
def prompted(prompt: str) -> dict:
    """F1 on questions made by templates, about the passage that they were made of."""
    chosen = few(templates)
    said = replies(
        model,
        tokenizer,
        [each.question for each in chosen],
        [[each.context] for each in chosen],
        prompt,
    )
    pairs = [
        ("" if NOTHING in reply else reply, each.answer)
        for reply, each in zip(said, chosen, strict=True)
    ]
    return {
        "f1": [round(f1(*pair), 4) for pair in pairs],
        "refused": [int(not text) for text, _ in pairs],
        "answerable": [int(bool(answer)) for _, answer in pairs],
    }


for prompt in PROMPTS:
    long_run.measure(f"prompt, {prompt}", lambda prompt=prompt: prompted(prompt))
mean_f1 = {p: sum(long_run.runs[f"prompt, {p}"]["f1"]) for p in PROMPTS}
prompt = best(mean_f1)

# %% replies
half = range(0, len(asked), 2)
READ = {
    "memory": {at: [] for at in range(len(asked))},
    "best": {at: rankings[at][:1] for at in range(len(asked))},
    "right": {at: right[at][:1] for at in range(len(asked))},
    "three": {at: rankings[at][:3] for at in half},
}


def replied(read: dict[int, list[int]]) -> dict:
    chosen = few(list(read))
    said = replies(
        model,
        tokenizer,
        [asked[at].question for at in chosen],
        [[texts[place] for place in read[at]] for at in chosen],
        prompt,
    )
    return {"said": said}


for name, read in READ.items():
    long_run.measure(f"replies, {name}", lambda read=read: replied(read))


# %% quotes
def quoted() -> dict:
    """Of each passage read, the sentence that makes the question likeliest, with its
    score, and the one closest to the question."""
    found: dict[str, list] = {"likeliest": [], "closest": []}
    chosen = [at for at, question in enumerate(asked) if question.answer]
    for at in few(chosen):
        offered = [texts[place] for place in rankings[at][: 3 if at in half else 1]]
        said = [quote(model, tokenizer, asked[at].question, [text]) for text in offered]
        found["likeliest"].append([[each.text, round(each.score, 3)] for each in said])
        parts = [offered_sentences([text]) for text in offered]
        near = [
            embed(encoder, words, [read for _, _, read in part]) @ queries[at]
            for part in parts
        ]
        found["closest"].append(
            [
                [part[int(each.argmax())][0], round(float(each.max()), 4)]
                for part, each in zip(parts, near, strict=True)
            ]
        )
    return found


long_run.measure("quotes", quoted)


# %% spans
def spans() -> dict:
    """What the reader of `question-answering` cuts out of the best passage."""
    base = BertForQuestionAnswering.from_pretrained(model_folder("minilm"))
    reader = PeftModel.from_pretrained(base, weights("transformer", "question_reader"))
    chosen = few(range(len(asked)))
    examples = [
        QuestionExample(
            "", asked[at].question, texts[rankings[at][0]], "", 0, False, ""
        )
        for at in chosen
    ]
    said = predict(reader, words, examples)
    return {"spans": [[each.text, round(each.no_answer, 3)] for each in said]}


long_run.measure("spans, best", spans)

# %% files
texts_said = {
    run: {
        key: found.pop(key)
        for key in ("said", "likeliest", "closest", "spans")
        if key in found
    }
    for run, found in long_run.runs.items()
}
if long_run.folder == EMBEDDINGS.parent:  # no probe
    kept = {run: found for run, found in texts_said.items() if found}
    read = {
        name: {str(at): places for at, places in of.items()}
        for name, of in READ.items()
    }
    write_json(long_run.folder / "replies.json", {"passages": read, **kept})
long_run.finish(
    steps=0,
    tolerance=0.2,
    k1=k1,
    b=b,
    k=k,
    alpha=float(best(joined["alpha"])),
    prompt=prompt,
)
