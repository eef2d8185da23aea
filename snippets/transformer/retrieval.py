# %% setup
import math
from collections import Counter

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.plotting import (
    COLOURS,
    GREY,
    label_lines,
    legend,
    panels,
    use_style,
    verbatim,
)
from llm_tutorial.results import weights
from llm_tutorial.tables import table
from llm_tutorial.transformer import retrieval
from llm_tutorial.transformer.quoting import question_likelihood, quote, replies, shown
from llm_tutorial.transformer.retrieval import BM25, corpus, ranked, searched, terms

torch.manual_seed(0)
use_style()

# %% memory differs="greedy text near a tie"
model, tokenizer = load_model(), load_tokenizer()
asked = [
    "Which attribute limits how long a diff in a failed assertion may be?",
    "Why would a library add a handler that does nothing to its logger?",
]
for reply in replies(model, tokenizer, asked, [[], []]):  # no passages
    print("•", reply)

# %% flow
diagram = Diagram(width=24, height=17)
question = diagram.box(12, 15.6, "question", 8)
words = diagram.box(6, 12, ["BM25: words"], 10, colour=COLOURS[0])
meaning = diagram.box(18, 12, ["MiniLM: meaning"], 10, colour=COLOURS[0])
joined = diagram.box(12, 8.4, "ranks joined", 8, colour=COLOURS[0])
prompt = diagram.box(12, 5, "best passages, then the question", 18)
speaker = diagram.box(12, 1.6, "SmolLM2", 8, colour=COLOURS[1])
for finder in (words, meaning):
    diagram.arrow(question, finder)
    diagram.arrow(finder, joined)
diagram.arrow(joined, prompt)
diagram.arrow(prompt, speaker)
diagram.text(20.4, 1.6, ["answer and", "its passage"], color=COLOURS[1])
plt.show()

# %% passages
passages = corpus()
texts = [searched(passage) for passage in passages]
example = next(p for p in passages if p.id == "unittest.TestCase-0")
print(f"{len(texts)} passages, such as {example.id}:\n\n{searched(example)[:180]} …\n")
print("Words:", terms("unittest.TestCase.maxDiff stops two blocks"))


# %% bm25
def bm25(query, texts, k1=1.2, b=0.75):
    """The score of each text, as the formula has it."""
    bags = [Counter(terms(text)) for text in texts]  # word: how often
    N, mean = len(bags), sum(bag.total() for bag in bags) / len(bags)
    scores = [0.0] * N
    for word in set(terms(query)):
        n = sum(word in bag for bag in bags)
        idf = math.log(1 + (N - n + 0.5) / (n + 0.5))
        for at, bag in enumerate(bags):
            if f := bag[word]:
                B = 1 - b + b * bag.total() / mean
                scores[at] += idf * f * (k1 + 1) / (f + k1 * B)
    return torch.tensor(scores)


# %% saturation
times, length = torch.linspace(0, 12, 60), torch.linspace(0.2, 4, 60)
figure, (left, right) = panels(2)
for k1 in (0, 0.5, 1.2, 4):
    factor = times * (k1 + 1) / (times + k1).clamp(min=1e-9)
    left.plot(times, factor, label=f"k₁ = {k1:g}", marker="")
for b in (0, 0.5, 0.75, 1):
    factor = 2 * 2.2 / (2 + 1.2 * (1 - b + b * length))
    right.plot(length, factor, label=f"b = {b:g}", marker="")
left.set(xlabel="times in the text", ylabel="factor of the idf", xlim=(0, 12))
right.set(xlabel="length over the mean", ylabel="factor of the idf", xlim=(0.2, 4))
for axes in (left, right):
    label_lines(axes)
    verbatim(axes.texts)
plt.show()

# %% same_as_index
few = texts[:300]
for query in asked:
    torch.testing.assert_close(bm25(query, few), BM25(few).scores(query))

# %% embed
encoder, pieces = load_encoder("minilm"), load_tokenizer("minilm")


@torch.inference_mode()
def embed(texts):
    read = pieces(texts, padding=True, truncation=True, max_length=256,
                  return_tensors="pt")  # fmt: skip
    hidden = encoder(**read).last_hidden_state  # (text, token, 384)
    mask = read["attention_mask"][..., None]  # 0 at padding
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return normalize(mean, dim=-1)  # so that a product of two is their cosine


# %% same_as_library
torch.testing.assert_close(
    embed(texts[:6]), retrieval.embed(encoder, pieces, texts[:6])
)
vectors = load_file(weights("transformer", "retrieval") / "passages.safetensors")
vectors = vectors["passages"].float()  # (2158, 384), of all passages, embedded before
torch.testing.assert_close(embed(texts[:6]), vectors[:6], atol=1e-3, rtol=0)

# %% two_spaces
index = BM25(texts)
place = {passage.id: at for at, passage in enumerate(passages)}
pair = {
    "How long does waiting for ready sockets block if I give no timeout?": place[
        "selectors.BaseSelector.select-0"
    ],
    "What happens if I average an empty list of measurements?": place[
        "statistics.mean-0"
    ],
}
figure, each = panels(2)
for axes, name, (query, right) in zip(each, "AB", pair.items(), strict=True):
    words, cosines = index.scores(query), vectors @ embed([query])[0]
    near = [*set(ranked(words)[:100]) | set(ranked(cosines)[:100])]
    axes.plot(words[near], cosines[near], ".", color=GREY, ms=3, label="other passages")
    axes.plot(
        words[right],
        cosines[right],
        "o",
        color=COLOURS[1],
        label="the one that answers",
    )
    axes.set(xlabel="BM25", ylabel="cosine", title=name)
    verbatim([axes.title])
legend(figure)
plt.show()


# %% fuse
def fuse(rankings, c=60):
    scores = Counter()
    for ranking in rankings:
        for rank, text in enumerate(ranking, start=1):
            scores[text] += 1 / (c + rank)
    return sorted(scores, key=lambda text: (-scores[text], text))


rows = {}
for name, (query, right) in zip("AB", pair.items(), strict=True):
    rankings = [index.search(query), ranked(vectors @ embed([query])[0])]
    joined = [fuse(rankings, c=60), fuse(rankings, c=1)]
    assert joined == [retrieval.fuse(rankings, c=60), retrieval.fuse(rankings, c=1)]
    rows[name] = [ranking.index(right) + 1 for ranking in rankings + joined]
table(rows, ["rank of", "BM25", "MiniLM", "both, c = 60", "both, c = 1"]).show()

# %% prompt
print(shown(asked[0], ["a passage"])[0]["content"])

# %% reply differs="greedy text near a tie"
queries = embed(asked)
found = [
    fuse([index.search(query), ranked(vectors @ vector)])[0]
    for query, vector in zip(asked, queries, strict=True)
]
read = [[texts[at]] for at in found]
for at, reply in zip(found, replies(model, tokenizer, asked, read), strict=True):
    print(f"• {reply} — of {passages[at].id}")


# %% likelihood
@torch.inference_mode()
def log_probability(question, text):
    """Of the question, if it follows the text."""
    start = tokenizer.bos_token or ""  # some tokenizers have none
    plain = {"add_special_tokens": False}
    before = tokenizer(f"{start}{text}\n\nQuestion:", **plain).input_ids
    after = tokenizer(f" {question}", **plain).input_ids
    logits = model(torch.tensor([before + after])).logits[0]  # (token, vocabulary)
    p = logits[len(before) - 1 : -1].log_softmax(-1)  # each tells the next token
    return p[torch.arange(len(after)), after].sum()


said = "logging.NullHandler: This handler does nothing."
batch = question_likelihood(
    model, tokenizer, asked[1], [said, "A text of another length."]
)
torch.testing.assert_close(log_probability(asked[1], said), batch[0], atol=1e-3, rtol=0)

# %% quote
for query, at in zip(asked, found, strict=True):
    print(f"• {quote(model, tokenizer, query, [texts[at]]).text} — {passages[at].id}")
