# %% setup
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table
from llm_tutorial.transformer.question_answering import interval, predict
from llm_tutorial.transformer.question_data import question_examples

logging.set_verbosity_error()
tokenizer = load_tokenizer("minilm")
base = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm"))
adapter = weights("transformer", "question_reader")
reader = PeftModel.from_pretrained(base, adapter).merge_and_unload().eval()
examples = question_examples("test", 26)

# %% sweep
runs = results("transformer", "question_windows")["metrics"]
settings = {
    "128, 48, 40": "window 128",
    "max_length 64, stride 24": "window 64",
    "max_length 256": "window 256",
    "stride 8": "overlap 8",
    "max_answer 5": "answer 5",
    "max_answer 120": "answer 120",
}
asked = question_examples("validation", 260)
groups, difference, rows = [each.group for each in asked], {}, {}
for name, key in settings.items():
    f1 = runs[key]["f1"]
    parts = {True: [], False: []}
    for value, example in zip(f1, asked, strict=True):
        parts[bool(example.answer)].append(value)
    less = zip(f1, runs["window 128"]["f1"], strict=True)
    difference[key] = interval([100 * (a - b) for a, b in less], groups)
    rows[name] = [
        runs[key]["windows"],
        *(100 * sum(part) / len(part) for part in (f1, parts[True], parts[False])),
        "{:+.1f} [{:+.1f}, {:+.1f}]".format(*difference[key]),
    ]
rows["128, 48, 40"][-1] = "–"
head = ["", "windows", "F1", "F1 if answerable", "refused if not", "F1 less default"]
table(rows, head, ["d", ".1f", ".1f", ".1f", ""]).show()

# %% save
plain = AutoTokenizer.from_pretrained(
    model_folder("minilm"), model_input_names=["input_ids", "attention_mask"]
)
with tempfile.TemporaryDirectory() as folder:
    reader.save_pretrained(folder)
    plain.save_pretrained(folder)
    saved = {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
    again = AutoModelForQuestionAnswering.from_pretrained(folder)
    read = AutoTokenizer.from_pretrained(folder)
print(*saved, sep="\n")
assert predict(again, read, examples[:2]) == predict(reader, tokenizer, examples[:2])
pair = read(examples[0].question, examples[0].context, return_tensors="pt")
assert set(pair) == {"input_ids", "attention_mask"}

# %% adapter_file
from safetensors.torch import load_file

trained = load_file(adapter / "adapter_model.safetensors")
assert {name.split(".")[-1] for name in trained if "qa_outputs" in name} == {
    "weight",
    "bias",
}

# %% batch
alone = predict(reader, tokenizer, examples, batch_size=1)
together = predict(reader, tokenizer, examples, batch_size=16)
assert [each.text for each in alone] == [each.text for each in together]
for one, other in zip(alone, together, strict=True):
    assert abs(one.no_answer - other.no_answer) < 1e-3

# %% lower_precision
half = AutoModelForQuestionAnswering.from_pretrained(
    model_folder("minilm"), dtype=torch.bfloat16
)
half.load_state_dict(reader.state_dict())  # rounded on the way
rounded = predict(half, tokenizer, examples)

# %% numbers values
same = sum(one.text == other.text for one, other in zip(alone, rounded, strict=True))
print(f"same_answers = {same}")  # tolerance 20%
print(f"read_in_bfloat16 = {len(examples)}")
pairs = zip(alone, rounded, strict=True)
moved = max(abs(one.no_answer - other.no_answer) for one, other in pairs)
print(f"delta_moves = {moved:.2f}")  # tolerance 90%
print(f"sweep_questions = {len(groups)}")
for run in settings.values():
    for name, value in zip(("less", "low", "high"), difference[run], strict=True):
        print(f"{run.replace(' ', '_')}_{name} = {value:.1f}")
print(f"saved_megabytes = {saved['model.safetensors'] / 1e6:.0f}")
size = (adapter / "adapter_model.safetensors").stat().st_size
print(f"adapter_megabytes = {size / 1e6:.1f}")
room = 128 - 12 - 3  # a question of twelve tokens
count = -(-(1000 - 48) // (room - 48))
print(f"windows_for_1000 = {count}")
N = sum(p.numel() for p in reader.bert.encoder.parameters())
print(f"gigaflops = {2 * N * count * 128 / 1e9:.0f}")
