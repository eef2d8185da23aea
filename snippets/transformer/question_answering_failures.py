# %% setup
import matplotlib.pyplot as plt
import torch
from peft import PeftModel
from transformers import AutoModelForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.transformer.question_answering import (
    best_threshold,
    interval,
    predict,
    predict_windows,
    scores,
    windows,
)
from llm_tutorial.transformer.question_data import lengthened, question_examples

use_style()
logging.set_verbosity_error()
tokenizer = load_tokenizer("minilm")
base = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm"))
trained = PeftModel.from_pretrained(base, weights("transformer", "question_reader"))
reader = trained.merge_and_unload().eval()
test = question_examples("test", 130)

# %% decoded
answered = [example for example in test if example.answer]
cuts = windows(tokenizer, answered)  # each passage fits into one window
decoded = [tokenizer.decode(cut.input_ids[cut.start : cut.end + 1]) for cut in cuts]
pairs = list(zip(answered, decoded, strict=True))
for example, text in (pairs[1], pairs[5], pairs[7]):
    print(repr(example.answer), "->", repr(text))
kept = sum(example.answer == text for example, text in pairs)

# %% decoded_cure
sliced = 0
for example, cut in zip(answered, cuts, strict=True):
    left, right = cut.offsets[cut.start][0], cut.offsets[cut.end][1]  # characters
    sliced += example.context[left:right] == example.answer
assert sliced > 0.95 * len(answered) > kept

# %% truncated
longer = [example for example in lengthened(test[:65], 4) if example.answer]
read = tokenizer(
    [example.question for example in longer],
    [example.context for example in longer],
    truncation="only_second",
    max_length=128,
    return_offsets_mapping=True,
)
lost = 0
for offsets, example in zip(read["offset_mapping"], longer, strict=True):
    end_of_text = offsets[-2][1]  # the last token is [SEP]
    stop = example.start + len(example.answer)
    lost += end_of_text < stop
    if end_of_text < stop and lost == 1:
        print(f"{example.answer!r} ends at {stop}; read until {end_of_text}")

# %% truncated_cure
holding = {cut.example for cut in windows(tokenizer, longer) if cut.start}
assert len(holding) == len(longer) > lost > 0


# %% joined
def by_score(said):  # of one passage: the predictions of its windows
    best = max(said, key=lambda window: window.score)
    lowest = min(window.no_answer + window.score for window in said)
    return best._replace(no_answer=lowest - best.score)


def by_delta(said):
    return min(said, key=lambda window: window.no_answer)


few = lengthened(test[:39], 4)
each = predict_windows(reader, tokenizer, few)
chosen = [(by_score(said), by_delta(said)) for said in each]
for example, (wrong, right) in zip(few, chosen, strict=True):
    if right.text == example.answer != wrong.text:
        break
print(example.question)
print(f"by score: {wrong.text!r}; by Δ: {right.text!r}")

# %% joined_lengths
runs = results("transformer", "question_windows")["metrics"]
rules = {
    "smallest Δ": "delta",
    "smallest Δ, τ of one window": "short threshold",
    "highest score": "score",
}
figure, (axes,) = panels(1)
for label, key in rules.items():
    found = [runs[f"joined, {passages}"][key] for passages in range(1, 6)]
    axes.plot(range(1, 6), [100 * sum(f1) / len(f1) for f1 in found], label=label)
axes.set(xlabel="passages in a text", ylabel="F1 in %", xticks=range(1, 6))
legend(figure)
plt.show()

# %% joined_cure
raised = [window._replace(score=window.score + 100) for window in each[0][:1]]
raised += each[0][1:]  # the same constant for all scores of a window
assert by_delta(raised).text == by_delta(each[0]).text  # Δ does not see it
assert by_score(raised).text == each[0][0].text  # the other rule follows it

# %% dropped_types
wrapped = PeftModel.from_pretrained(
    AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm")),
    weights("transformer", "question_reader"),
).eval()
example = test[0]
read = tokenizer(example.question, example.context, return_tensors="pt")
with torch.inference_mode():
    by_adapter = wrapped(**read).start_logits  # with input_ids, token_type_ids, …
    by_merged = reader(**read).start_logits
assert not torch.allclose(by_adapter, by_merged, atol=0.1)
print("start score of [CLS]:")
print(f"adapter {by_adapter[0, 0]:.1f}, merged {by_merged[0, 0]:.1f}")

# %% dropped_types_cure
del read["token_type_ids"]
with torch.inference_mode():
    assert torch.allclose(wrapped(**read).start_logits, by_adapter)  # never read them
    assert torch.allclose(reader(**read).start_logits, by_adapter, atol=1e-3)

# %% peeking
said = predict(reader, tokenizer, test)
print("questions  gain in F1")
gains = {}
for size in (13, 26, 65):
    gain = []
    for at in range(0, len(test), size):
        part, rest = slice(at, at + size), [*range(at), *range(at + size, len(test))]
        peeked = best_threshold(said[part], test[part])
        honest = best_threshold([said[n] for n in rest], [test[n] for n in rest])
        f1 = [scores(said[part], test[part], tau)["f1"] for tau in (peeked, honest)]
        gain.append(f1[0] - f1[1])
    assert min(gain) >= 0  # by construction: it can only look better
    gains[size] = sum(gain) / len(gain)
    print(f"{size:9}  {gains[size]:10.1f}")

# %% numbers values
print(f"types_move = {(by_adapter - by_merged).abs().max():.1f}")  # tolerance 30%
print(f"decoded_kept = {100 * kept / len(answered):.0f}")
print(f"sliced_kept = {100 * sliced / len(answered):.0f}")
chinese = "".join(dict.fromkeys(e.context for e in test if not e.kind.isascii()))
letters = [letter for letter in chinese if "\u4e00" <= letter <= "\u9fff"]
unknown = sum(tokenizer.tokenize(letter) == ["[UNK]"] for letter in letters)
print(f"unknown = {100 * unknown / len(letters):.0f}")
print(f"lost = {lost}")
print(f"answerable = {len(longer)}")
groups = [example.group for example in question_examples("validation", 260)]


def less(key, other, lengths):  # mean difference and its 95 % interval
    parts = [(runs[f"joined, {n}"][key], runs[f"joined, {n}"][other]) for n in lengths]
    pairs = [zip(ours, theirs, strict=True) for ours, theirs in parts]
    gaps = zip(*([100 * (a - b) for a, b in pair] for pair in pairs), strict=True)
    return interval([sum(gap) / len(gap) for gap in gaps], groups)


for name, key, lengths in (
    ("rule", "score", range(2, 6)),
    ("rule_four", "score", [4]),
    ("short", "short threshold", range(2, 6)),
):
    found = less("delta", key, lengths)
    for part, value in zip(("mean", "low", "high"), found, strict=True):
        print(f"{name}_{part} = {value:.1f}")
print(f"five_windows = {runs['joined, 5']['windows']:.1f}")
for size, gain in gains.items():
    print(f"gain_{size} = {gain:.1f}")  # tolerance 30%
