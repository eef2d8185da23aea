# %% setup
import itertools
import json
import random
from collections import Counter

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.data.reviews import reviews
from llm_tutorial.models import load_tokenizer
from llm_tutorial.tables import table


# %% texts
def some(texts, characters):  # a random part of them
    shuffled = random.Random(0).sample(texts, len(texts))
    ends = itertools.accumulate(map(len, shuffled))
    return [text for text, end in zip(shuffled, ends, strict=True) if end <= characters]


def both_languages(split, characters):
    news = [document.text for document in people_daily(split, characters=256)]
    shopping = [review.text for review in reviews(split)]
    english = [
        f"{each.summary}\n{each.body}"
        for library in ("python", "sklearn")
        for each in documented_objects(split, library)
    ]
    chinese = some(news, characters // 2) + some(shopping, characters // 2)
    return {"zh": chinese, "en": some(english, characters)}


train = both_languages("train", 200_000)
test = both_languages("test", 60_000)
for language in train:
    assert not set(train[language]) & set(test[language])


# %% bpe_from_scratch
def train_bpe(words, merges):  # words: how often each occurs
    ids = {letter: number for number, letter in enumerate(sorted(set("".join(words))))}
    pieces = {word: list(word) for word in words}
    rules = []
    for _ in range(merges):
        pairs = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(pieces[word]):
                pairs[pair] += count
        best = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))  # ties by id
        rules.append(best)
        ids["".join(best)] = len(ids)
        for word, parts in pieces.items():
            joined, rest = [], list(parts)
            while rest:
                size = 2 if tuple(rest[:2]) == best else 1
                joined.append("".join(rest[:size]))
                rest = rest[size:]
            pieces[word] = joined
    return rules


# %% bpe_equals_library
cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
sample = train["en"][:20] + train["zh"][:20]
words = Counter(word for text in sample for word, _ in cut.pre_tokenize_str(text))
ours = train_bpe(words, merges=60)

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = cut
size = len(set("".join(words))) + 60
tokenizer.train_from_iterator(
    sample, trainers.BpeTrainer(vocab_size=size, show_progress=False)
)
theirs = json.loads(tokenizer.to_str())["model"]["merges"]
assert [list(rule) for rule in ours] == theirs
print([a + b for a, b in ours[:12]])

# %% three_kinds
VOCABULARY = 6000


def byte_level_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # 256 characters, one for each byte
    return tokenizer, trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False
    )


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=["[UNK]"], show_progress=False
    )


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["[UNK]"],
        unk_token="[UNK]",
        show_progress=False,
    )


trained = {}
for name, (tokenizer, trainer) in {
    "byte-level BPE": byte_level_bpe(),
    "WordPiece": word_piece(),
    "Unigram": unigram(),
}.items():
    tokenizer.train_from_iterator(train["zh"] + train["en"], trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    trained[name] = tokenizer

# %% word_piece_counts
texts = train["zh"] + train["en"]
counted = Tokenizer(models.BPE())  # BPE's counts, WordPiece's way to cut
counted.normalizer = trained["WordPiece"].normalizer
counted.pre_tokenizer = trained["WordPiece"].pre_tokenizer
trainer = trainers.BpeTrainer(
    vocab_size=VOCABULARY,
    special_tokens=["[UNK]"],
    continuing_subword_prefix="##",
    show_progress=False,
)
counted.train_from_iterator(texts, trainer)
once_more, trainer = word_piece()
once_more.train_from_iterator(texts, trainer)
vocabularies = [set(t.get_vocab()) for t in (trained["WordPiece"], counted, once_more)]
for other in vocabularies[1:]:  # ties fall this way or that in each training
    assert len(vocabularies[0] & other) > 0.97 * VOCABULARY

# %% a_space differs="WordPiece breaks ties by chance"
for text in ("in 3 days", "打开 Python 文件", "naïve 囧"):
    for name in ("byte-level BPE", "WordPiece", "Unigram"):
        encoding = trained[name].encode(text)
        pieces = [trained[name].id_to_token(number) for number in encoding.ids]
        print(f"{name:15}", *pieces)


# %% viterbi
def most_probable(word, scores):  # scores: log-probability of each piece
    best = [(0.0, [])]  # of each prefix: its score, its pieces
    for end in range(1, len(word) + 1):
        ways = (
            (
                best[start][0] + scores[word[start:end]],
                [*best[start][1], word[start:end]],
            )
            for start in range(end)
            if word[start:end] in scores
        )
        best.append(max(ways, default=(-1e9, [])))
    return best[-1][1]


unigram_json = json.loads(trained["Unigram"].to_str())["model"]
scores = dict(unigram_json["vocab"])
for word in ("▁tokenizers", "▁parameters", "中华人民共和国", "改革开放以来"):
    theirs = [piece.value for piece in trained["Unigram"].model.tokenize(word)]
    assert most_probable(word, scores) == theirs
    print(*theirs, f"  log p = {sum(scores[piece] for piece in theirs):.1f}")


# %% measure
def measured(tokenizer, texts):
    unknown = tokenizer.token_to_id("[UNK]")
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    characters = sum(map(len, texts))
    tokens = sum(len(encoding.ids) for encoding in encodings)
    lost = sum(
        end - start
        for encoding in encodings
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if number == unknown
    )
    exact = sum(
        tokenizer.decode(encoding.ids) == text
        for encoding, text in zip(encodings, texts, strict=True)
    )
    return tokens / characters, 100 * lost / characters, 100 * exact / len(texts)


# %% table differs="WordPiece breaks ties by chance" tolerance="5%"
ready_made = {
    "MiniLM": load_tokenizer("minilm").backend_tokenizer,
    "SmolLM2": load_tokenizer("smollm2-135m").backend_tokenizer,
}
ready_made["MiniLM"].no_truncation()
ready_made["MiniLM"].no_padding()
rows = {
    name: [
        tokenizer.get_vocab_size(),
        *measured(tokenizer, test["zh"]),
        *measured(tokenizer, test["en"]),
    ]
    for name, tokenizer in (trained | ready_made).items()
}
columns = [
    "", "vocabulary",
    "zh: tokens / character", "unknown, %", "returned, %",
    "en: tokens / character", "unknown, %", "returned, %",
]  # fmt: skip
table(rows, columns, [",", ".2f", ".2f", ".0f", ".2f", ".2f", ".0f"]).show()

# %% ratios values differs="WordPiece breaks ties by chance" tolerance="10%"
for name, row in rows.items():
    key = name.lower().replace(" ", "_").replace("-", "_")
    print(f"{key}_zh = {row[1]:.3f}")
    print(f"{key}_zh_unknown = {row[2]:.3f}")
    print(f"{key}_en = {row[4]:.3f}")
print(f"smollm2_zh_over_en = {rows['SmolLM2'][1] / rows['SmolLM2'][4]:.2f}")
print(f"ours_zh_over_en = {rows['byte-level BPE'][1] / rows['byte-level BPE'][4]:.2f}")


def interval(tokenizer, texts):  # half the width of a 95% bootstrap interval over texts
    tokens = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    pairs, draw, ratios = (
        list(zip(tokens, map(len, texts), strict=True)),
        random.Random(0),
        [],
    )
    for _ in range(300):
        count, characters = map(
            sum, zip(*draw.choices(pairs, k=len(pairs)), strict=True)
        )
        ratios.append(count / characters)
    ratios.sort()
    return (ratios[292] - ratios[7]) / 2


widest = max(interval(t, test[lang]) for t in trained.values() for lang in test)
print(f"widest_interval = {widest:.3f}")
print(f"texts_zh = {len(test['zh'])}, texts_en = {len(test['en'])}")
