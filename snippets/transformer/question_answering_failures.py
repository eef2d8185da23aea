# %% setup
import torch
from peft import PeftModel
from transformers import AutoModelForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.results import weights
from llm_tutorial.transformer.question_answering import (
    best_span,
    best_threshold,
    collate,
    predict,
    scores,
    windows,
)
from llm_tutorial.transformer.question_data import lengthened, question_examples

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

# %% independent
cuts = windows(tokenizer, test)
with torch.inference_mode():
    out = reader(**collate(cuts, tokenizer.pad_token_id))
backwards = 0
for start, end in zip(out.start_logits, out.end_logits, strict=True):
    first, last = int(start.argmax()), int(end.argmax())  # each on its own
    backwards += last < first

# %% independent_cure
for cut, start, end in zip(cuts, out.start_logits, out.end_logits, strict=True):
    length = len(cut.offsets)  # without padding
    allowed = torch.tensor([span is not None for span in cut.offsets])
    first, last, _ = best_span(start[:length], end[:length], allowed)
    assert first <= last and cut.offsets[first] and cut.offsets[last]

# %% truncated
longer = [example for example in lengthened(test[:65]) if example.answer]
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
    lost += end_of_text < example.start + len(example.answer)

# %% truncated_cure
holding = {cut.example for cut in windows(tokenizer, longer) if cut.start}
assert len(holding) == len(longer) > lost > 0

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

# %% dropped_types_cure
del read["token_type_ids"]
with torch.inference_mode():
    assert torch.allclose(wrapped(**read).start_logits, by_adapter)  # never read them
    assert torch.allclose(reader(**read).start_logits, by_adapter, atol=1e-3)

# %% threshold
validation = question_examples("validation", 130)
told, said = (predict(reader, tokenizer, part) for part in (validation, test))
honest = best_threshold(told, validation)
gains = []
for at in range(0, len(test), 26):  # small tests, as one has at first
    part = said[at : at + 26], test[at : at + 26]
    gains.append(
        scores(*part, best_threshold(*part))["f1"] - scores(*part, honest)["f1"]
    )
assert min(gains) >= 0 < max(gains)  # it can only look better

# %% numbers values
print(f"types_move = {(by_adapter - by_merged).abs().max():.1f}")  # tolerance 30%
print(f"decoded_kept = {100 * kept / len(answered):.0f}")
print(f"sliced_kept = {100 * sliced / len(answered):.0f}")
chinese = "".join(dict.fromkeys(e.context for e in test if not e.kind.isascii()))
letters = [letter for letter in chinese if "\u4e00" <= letter <= "\u9fff"]
unknown = sum(tokenizer.tokenize(letter) == ["[UNK]"] for letter in letters)
print(f"unknown = {100 * unknown / len(letters):.0f}")
print(f"questions = {len(test)}")
print(f"backwards = {backwards}")  # tolerance 30%
print(f"lost = {lost}")
print(f"answerable = {len(longer)}")
print(f"few = {len(part[1])}")
all_at_once = scores(said, test, best_threshold(said, test))["f1"]
gap_all = all_at_once - scores(said, test, honest)["f1"]
print(f"gap_all = {gap_all:.1f}")  # tolerance 50%
print(f"gap = {sum(gains) / len(gains):.1f}")  # tolerance 30%
