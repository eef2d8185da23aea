# %% setup
import math

import torch
from peft import PeftModel
from transformers import AutoModelForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.results import weights
from llm_tutorial.transformer.question_answering import best_span, predict
from llm_tutorial.transformer.question_data import lengthened, question_examples

logging.set_verbosity_error()
torch.manual_seed(0)
tokenizer = load_tokenizer("minilm")
base = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm"))
trained = PeftModel.from_pretrained(base, weights("transformer", "question_reader"))
reader = trained.merge_and_unload().eval()


# %% cut
def cut(question, passage, max_length=128, overlap=48):
    """Windows of token ids, each with the offsets of its passage tokens."""
    asked = tokenizer(question, add_special_tokens=False).input_ids
    read = tokenizer(passage, add_special_tokens=False, return_offsets_mapping=True)
    room = max_length - len(asked) - 3  # [CLS] question [SEP] part [SEP]
    assert room > overlap, "the question leaves no room for new tokens"
    CLS, SEP, found = tokenizer.cls_token_id, tokenizer.sep_token_id, []
    for at in range(0, max(len(read.input_ids) - overlap, 1), room - overlap):
        part = slice(at, at + room)
        ids = [CLS, *asked, SEP, *read.input_ids[part], SEP]
        found.append((ids, len(asked) + 2, read.offset_mapping[part]))
    return found


# %% same_as_tokenizer
examples = question_examples("validation", 65)
long_passage = "\n\n".join(dict.fromkeys(example.context for example in examples[:13]))
question = examples[0].question
mine = cut(question, long_passage)
theirs = tokenizer(
    question, long_passage, truncation="only_second", max_length=128, stride=48,
    return_overflowing_tokens=True,
)  # fmt: skip
assert [ids for ids, _, _ in mine] == theirs.input_ids

# %% count
tokens = len(tokenizer(long_passage, add_special_tokens=False).input_ids)
room = 128 - len(tokenizer(question, add_special_tokens=False).input_ids) - 3
assert len(mine) == math.ceil((tokens - 48) / (room - 48))


# %% answer
@torch.inference_mode()
def answer(question, passage, **options):
    """The best span of the window in which “no answer” beats it least; by how much."""
    said = []
    for ids, first, offsets in cut(question, passage, **options):
        out = reader(torch.tensor([ids]))
        start, end = out.start_logits[0], out.end_logits[0]
        allowed = torch.zeros(len(ids), dtype=torch.bool)
        allowed[first : first + len(offsets)] = True
        left, right, score = best_span(start, end, allowed)
        delta = float(start[0] + end[0]) - score  # of this window: [CLS] against span
        said.append((delta, offsets[left - first][0], offsets[right - first][1]))
    delta, left, right = min(said)
    return passage[left:right], delta


# %% same_as_batches
longer = lengthened(examples[:8], 4)
for example, said in zip(longer, predict(reader, tokenizer, longer), strict=True):
    text, delta = answer(example.question, example.context)
    assert text == said.text and abs(delta - said.no_answer) < 1e-3

# %% anywhere
fact = """frobnicate(x)
Frobnicate the given value.
Raises LookupError if there is nothing to frobnicate."""
asked = "Which exception does `frobnicate` raise?"
others = [example.context for example in examples if example.kind == "purpose"] * 2
found = set()
places = range(0, len(others) + 1, 2)
for place in places:
    text = "\n\n".join([*others[:place], fact, *others[place:]])
    found.add(answer(asked, text)[0])
assert found == {"LookupError"}

# %% anywhere_values values
print(f"windows_of_long_text = {len(cut(asked, text))}")
print(f"places = {len(places)}")
