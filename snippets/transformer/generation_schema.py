# %% setup
import json

import torch
from jsonschema import validate
from transformers import LogitsProcessor

from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer.records import (
    RECORD_SCHEMA,
    record_prompt,
    record_tasks,
)
from llm_tutorial.transformer.schema import (
    SchemaAutomaton,
    SchemaProcessor,
    token_bytes,
)

use_style()
torch.set_grad_enabled(False)
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")

# %% drawing
BLUE, ORANGE = COLOURS[:2]
diagram = Diagram(width=25, height=11.6)
mono = {"gid": "verbatim", "family": "monospace", "fontsize": 9.5}


def chain(x, y, symbols, start):  # states from left to right, each after a byte
    for symbol in symbols:
        x += 2.2
        state = diagram.box(x, y, "", 0.9, 0.9, BLUE)
        diagram.arrow(start, state)
        flat = start.y == y
        diagram.text(
            x - (1.1 if flat else 2.1), y + (0.8 if flat else 0), symbol, **mono
        )
        start = state
    return start


first = diagram.box(1.2, 5.8, "", 0.9, 0.9, BLUE)
fork = chain(1.2, 5.8, '"', first)
red = chain(4.4, 8.3, "red", fork)
green = chain(4.4, 3.3, "green", fork)
last = diagram.box(19.4, 5.8, "", 0.9, 0.9, BLUE)
for state, y in ((red, 8.3), (green, 3.3)):
    diagram.arrow(state, last, via=[(19.4, y)])
    diagram.text(18.6, (y + 5.8) / 2, '"', **mono)
diagram.arrow(last, diagram.box(22.8, 5.8, "", 0.9, 0.9, BLUE))
diagram.text(21.1, 6.6, "end")
vocabulary = tokenizer.get_vocab()
for left, right, y, token in (
    (1.2, 3.4, 4.4, '"'),
    (3.4, 11, 9.7, "red"),
    (3.4, 11, 1.9, "gre"),
    (11, 15.4, 1.9, "en"),
):
    assert token in vocabulary
    line = {"color": ORANGE, "lw": 1.2, "marker": "|"}
    diagram.axes.plot([left + 0.3, right - 0.3], [y, y], **line)
    below = -0.9 if y < 5.8 else 0.8
    diagram.text((left + right) / 2, y + below, token, color=ORANGE, **mono)

# %% states
END = 256  # a symbol beside the 256 bytes: the text ends here


def literal(text, then):  # a state is a dictionary, byte -> state
    for byte in reversed(text.encode()):
        then = {byte: then}
    return then


def either(*options):
    merged = {}
    for option in options:
        for byte, then in option.items():
            known = merged.get(byte, then)
            merged[byte] = then if known is then else either(known, then)
    return merged


def string(longest, then):  # of ASCII; the library has all of Unicode
    state = close = literal('"', then)
    plain = [byte for byte in range(32, 127) if chr(byte) not in '"\\']
    for _ in range(longest):
        state = dict.fromkeys(plain, state) | close
    return {ord('"'): state}


def dumped(value):
    return json.dumps(value, ensure_ascii=False)  # "é" as it is, no escape


def build(schema, then):  # where a value begins; when it is complete: `then`
    if "enum" in schema:
        return either(*(literal(dumped(value), then) for value in schema["enum"]))
    match schema["type"]:
        case "boolean":
            return either(literal("true", then), literal("false", then))
        case "integer":
            numbers = range(schema["minimum"], schema["maximum"] + 1)
            return either(*(literal(str(number), then) for number in numbers))
        case "string":
            return string(schema["maxLength"], then)
        case "array":
            state = close = literal("]", then)
            for _ in range(schema["maxItems"] - 1):
                state = either(close, literal(", ", build(schema["items"], state)))
            return literal("[", either(close, build(schema["items"], state)))
        case "object":
            state = literal("}", then)
            for place, name in reversed([*enumerate(schema["properties"])]):
                key = ("{" if place == 0 else ", ") + dumped(name) + ": "
                state = literal(key, build(schema["properties"][name], state))
            return state


# %% tokens
texts = [tuple(text) for text in token_bytes(tokenizer)]  # of each token, its bytes
texts[tokenizer.eos_token_id] = (END,)


def after(state, symbols):  # None where a symbol leads nowhere
    for symbol in symbols:
        if symbol not in state:
            return None
        state = state[symbol]
    return state


def allowed(state):
    return [
        token
        for token, symbols in enumerate(texts)
        if symbols and after(state, symbols) is not None
    ]


schema = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green"]},
        "sizes": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 12},
            "maxItems": 2,
        },
        "name": {"type": "string", "maxLength": 6},
        "sold": {"type": "boolean"},
    },
    "required": ["colour", "sizes", "name", "sold"],
}
ended = {}
ended[END] = ended  # after its end a text in a batch goes on with the end token
start = build(schema, {END: ended})
for text in ('{"colour": ', '{"colour": "', '{"colour": "red", "sizes": [1'):
    tokens = allowed(after(start, text.encode()))
    print(text, "→", *(repr(tokenizer.decode(token)) for token in tokens[:12]))


# %% constraint
class Schema(LogitsProcessor):
    def __init__(self, start, prompt_length):
        self.start, self.prompt_length = start, prompt_length

    def __call__(self, input_ids, scores):  # (row, token), (row, vocabulary)
        masked = torch.full_like(scores, -torch.inf)
        for row, written in enumerate(input_ids[:, self.prompt_length :].tolist()):
            state = after(
                self.start, [byte for token in written for byte in texts[token]]
            )
            keep = allowed(state)
            masked[row, keep] = scores[row, keep]
        return masked


prompt = tokenizer([f"{tokenizer.bos_token}A toy as JSON:"], return_tensors="pt")
length = prompt.input_ids.shape[1]
options = {"max_new_tokens": 40, "do_sample": False}
ids = model.generate(**prompt, **options, logits_processor=[Schema(start, length)])
said = tokenizer.decode(ids[0, length:], skip_special_tokens=True)
validate(json.loads(said), schema)
print(said)

# %% equals_library
automaton = SchemaAutomaton(schema, tokenizer)
library = SchemaProcessor(automaton, length)
assert model.generate(**prompt, **options, logits_processor=[library]).equal(ids)
plain = [
    bool(text) and (text == (END,) or (max(text) < 127 and 92 not in text))
    for text in texts
]
place, known = start, automaton.start
for token in ids[0, length:].tolist():  # at every step, but for Unicode and backslashes
    theirs = automaton.allowed(known).nonzero()[0]
    assert [t for t in theirs if plain[t]] == [t for t in allowed(place) if plain[t]]
    place, known = after(place, texts[token]), automaton.walk([token], known)

# %% refused
for wrong in ({"type": "string", "pattern": "[a-z]+"}, {"type": "number"}):
    try:
        SchemaAutomaton(wrong, tokenizer)
    except ValueError as error:
        print(wrong, "→", str(error).splitlines()[0])

# %% limits differs="greedy text near a tie"
for limit in (automaton.fewest, 24, 28, 40):
    options = {"max_new_tokens": limit, "do_sample": False}
    constraint = [SchemaProcessor(automaton, length, limit)]
    ids = model.generate(**prompt, **options, logits_processor=constraint)[0, length:]
    validate(json.loads(tokenizer.decode(ids, skip_special_tokens=True)), schema)
    print(limit, "│".join(tokenizer.decode(token) for token in ids))
try:
    SchemaProcessor(automaton, length, automaton.fewest - 1)
except ValueError as error:
    print(str(error).splitlines()[0])

# %% task
task, shown = record_tasks("test")[5], record_tasks("train")[:3]
print(record_prompt(tokenizer, task, shown[:1]))

# %% live differs="greedy text near a tie"
records = SchemaAutomaton(RECORD_SCHEMA, tokenizer)
prompts = {count: record_prompt(tokenizer, task, shown[:count]) for count in (0, 3)}
written = {}
for count, prompt in prompts.items():
    inputs = tokenizer([prompt], return_tensors="pt")
    length = inputs.input_ids.shape[1]
    ids = model.generate(**inputs, max_new_tokens=70)[0, length:]
    print("free:  ", repr(tokenizer.decode(ids, skip_special_tokens=True)))
    kept = {
        "output_logits": True,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    constraint = SchemaProcessor(records, length, 100)
    written[count] = model.generate(
        **inputs, max_new_tokens=100, logits_processor=[constraint], **kept
    )
    ids = written[count].sequences[0, length:]
    print("schema:", repr(tokenizer.decode(ids, skip_special_tokens=True)))

# %% results
runs = results("transformer", "generation")["metrics"]
fields = ["valid", "name", "library", "parameters", "count", "all"]
rows, found = {}, {}


def percent(flags):
    return 100 * sum(flags) / len(flags)


for count in (0, 1, 3):
    for side in ("free", "schema"):
        found[side, count] = runs[f"records, {count} examples"][side]
tries = [found["free", 3]]
tries += [runs["records, 3 examples"][f"free, try {seed}"] for seed in range(3)]
found["tries", 3] = {  # the first reply that is valid is taken
    key: [
        next((t[key][task] for t in tries if t["valid"][task]), 0)
        for task in range(len(tries[0][key]))
    ]
    for key in fields
}
for (side, count), right in found.items():
    name = {"tries": "free, up to 3 more tries"}.get(side, side)
    rows[f"{name}, examples: {count}"] = [percent(right[key]) for key in fields]
single = [asked.record["count"] == 1 for asked in record_tasks("test")[:24]]
rows["always one parameter"] = ["", "", "", "", percent(single), ""]
table(rows, ["right, %", *fields], ".0f").show()

# %% results_values values
for (side, count), right in found.items():
    for key in fields:
        print(f"{side}_{count}_{key} = {percent(right[key]):.0f}")
    print(f"{side}_{count}_right = {sum(right['all'])}")
print(f"tasks = {len(single)}")
print(f"single = {sum(single)}")
print(f"several = {len(single) - sum(single)}")
whole = found["schema", 3]["all"]
print(f"single_right = {sum(w for w, one in zip(whole, single, strict=True) if one)}")
several_right = sum(w for w, one in zip(whole, single, strict=True) if not one)
print(f"several_right = {several_right}")
print(f"states = {len(records.table)}")
print(f"table_MB = {len(records.table) * 257 * 4 / 1e6:.1f}")
print(f"kept_MB = {256 * 4 * len(texts) / 1e6:.0f}")

# %% agreement differs="greedy text near a tie"
figure, axes = panels(2, height=2.6)
for panel, (count, run) in zip(axes, written.items(), strict=True):
    p = torch.cat(run.logits).softmax(-1)  # (written token, vocabulary)
    mass = p.masked_fill(torch.cat(run.scores).isinf(), 0).sum(-1)
    panel.bar(range(len(mass)), mass, color=(COLOURS[0], 0.7))
    panel.set(ylim=(0, 1), xlabel="token written", ylabel="probability allowed")
    panel.set_title(f"examples: {count}")
