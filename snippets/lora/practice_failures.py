# %% setup
import itertools
import random
import statistics

from sacrebleu import corpus_bleu, corpus_chrf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from llm_tutorial.data.messages import messages
from llm_tutorial.data.people_daily import bio_labels, people_daily
from llm_tutorial.data.reviews import Review, reviews
from llm_tutorial.lora.translation import TranslationMemory
from llm_tutorial.results import results
from llm_tutorial.tagging import score, spans

# %% characters_counted
documents = people_daily("test")
gold = [label for document in documents for label in bio_labels(document)]
silent = ["O"] * len(gold)
right = gold.count("O") / len(gold)
found = score([spans(silent)], [spans(gold)])
assert right > 0.9 and found["f1"] == 0

# %% characters_counted_values values
print(f"right_characters = {100 * right:.1f}")
print(f"silent_f1 = {found['f1']:.1f}")


# %% repeated_texts
def test_accuracy(training: list[Review], held_out: list[Review]) -> float:
    """Of logistic regression on character n-grams, in percent."""
    options = {"analyzer": "char", "min_df": 2, "sublinear_tf": True}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), **options)
    vectors = vectorizer.fit_transform([review.text for review in training])
    model = LogisticRegression(C=16, max_iter=1000)
    model.fit(vectors, [review.label for review in training])
    vectors = vectorizer.transform([review.text for review in held_out])
    return 100 * model.score(vectors, [review.label for review in held_out])


once = [*reviews("train")[:4000], *reviews("test")[:1000]]
as_found = once * 2  # as in the file: half of its lines repeat others
random.Random(0).shuffle(as_found)
leaking = test_accuracy(as_found[:8000], as_found[8000:])
honest = test_accuracy(once[:4000], once[4000:])
texts = {review.text for review in as_found[:8000]}
seen = [review.text in texts for review in as_found[8000:]]
assert leaking > honest + 3

# %% repeated_texts_values values
print(f"percent_seen = {100 * statistics.mean(seen):.0f}")
print(f"leaking = {leaking:.1f}")
print(f"honest = {honest:.1f}")

# %% bleu_of_characters
test = messages("test")[:500]
translations = TranslationMemory(messages("train")).translate(test)
references = [[message.chinese for message in test]]
bleu = {
    tokenize: corpus_bleu(translations, references, tokenize=tokenize).score
    for tokenize in ("13a", "char", "zh")
}
assert bleu["13a"] < bleu["zh"]

# %% bleu_of_characters_values values
for tokenize, value in bleu.items():
    print(f"bleu_{tokenize} = {value:.1f}")
print(f"chrf = {corpus_chrf(translations, references).score:.1f}")

# %% one_seed
runs = results("lora", "entities")["metrics"]
variants = ("dense", "window", "random", "learned")
f1 = {}
for name in variants:
    f1[name] = [runs[f"{name}, seed {seed}"]["f1"] for seed in range(3)]

# %% one_seed_values values
for one, other in itertools.combinations(variants, 2):
    wins = sum(a > b for a, b in itertools.product(f1[one], f1[other]))
    print(f"{one}_over_{other} = {wins}")
