# %% setup
import math
import tempfile
from threading import Thread

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TextIteratorStreamer,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, panels, use_style, verbatim
from llm_tutorial.tables import table
from llm_tutorial.transformer import sampling

use_style()
torch.set_grad_enabled(False)
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")

# %% logits
prompts = ["The capital of France is", "She opened the door and saw a"]
begin = tokenizer.bos_token
both = tokenizer(
    [begin + text for text in prompts], return_tensors="pt", padding=True,
    padding_side="left",
)  # fmt: skip
logits = model(**both).logits[:, -1]  # (2, 49152)

# %% kept
rules = {
    "top-k 5": sampling.TopK(5),
    "top-p 0.9": sampling.TopP(0.9),
    "min-p 0.1": sampling.MinP(0.1),
}
figure, axes = panels(2, height=3.2)
figure.get_layout_engine().set(wspace=0.12)
for panel, text, z in zip(axes, prompts, logits, strict=True):
    p, tokens = z.softmax(-1).topk(10)
    panel.barh(range(10), p, 0.7, facecolor=(COLOURS[0], 0.7), edgecolor=COLOURS[0])
    panel.set_yticks(
        range(10), [repr(tokenizer.decode(token))[1:-1] for token in tokens]
    )
    verbatim(panel.get_yticklabels())
    verbatim([panel.set_title(f"{text} …", fontsize=9, loc="right")])
    panel.set(ylim=(9.6, -0.6), xlabel="probability")
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    for column, (name, rule) in enumerate(rules.items()):
        stays = rule(None, z[None])[0, tokens].isfinite()
        place = {"transform": panel.get_yaxis_transform(), "clip_on": False}
        x = 1.06 + 0.13 * column
        panel.plot(
            [x] * 10, range(10), "s", color=COLOURS[column], fillstyle="none", **place
        )
        panel.plot(
            [x] * int(stays.sum()), stays.nonzero(), "s", color=COLOURS[column], **place
        )
        panel.text(
            x, 9.9, name.split()[0], rotation=40, ha="right", va="top", fontsize=8,
            color=COLOURS[column], transform=panel.get_yaxis_transform(),
        )  # fmt: skip

# %% counts_values values
for heat in (1.0, 0.5, 2.0):
    for name, rule in rules.items():
        left = rule(None, sampling.Temperature(heat)(None, logits)).isfinite().sum(-1)
        key = f"{name.split()[0].replace('-', '_')}_{heat:g}".replace(".", "_")
        print(f"certain_{key} = {left[0]}")  # tolerance 10%
        print(f"open_{key} = {left[1]}")  # tolerance 10%
print(f"paris = {logits[0].softmax(-1).max():.2f}")
print(f"likeliest_open = {logits[1].softmax(-1).max():.2f}")


# %% processors
class Temperature(LogitsProcessor):
    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, input_ids, scores):  # (row, token), (row, vocabulary)
        return scores / self.temperature


class TopK(LogitsProcessor):
    def __init__(self, k):
        self.k = k

    def __call__(self, input_ids, scores):
        last = scores.topk(self.k).values[:, -1:]  # the lowest that stays
        return scores.masked_fill(scores < last, -torch.inf)


class TopP(LogitsProcessor):
    def __init__(self, p):
        self.p = p

    def __call__(self, input_ids, scores):
        rising, order = scores.sort(-1)
        removed = rising.softmax(-1).cumsum(-1) <= 1 - self.p  # from the least up
        removed[:, -1] = False  # the likeliest stays
        return scores.masked_fill(removed.scatter(1, order, removed), -torch.inf)


class MinP(LogitsProcessor):
    def __init__(self, p):
        self.p = p

    def __call__(self, input_ids, scores):
        p = scores.softmax(-1)
        return scores.masked_fill(p < self.p * p.amax(-1, True), -torch.inf)


class RepetitionPenalty(LogitsProcessor):
    def __init__(self, penalty, skip=0):  # skip: tokens at the start that do not count
        self.penalty, self.skip = penalty, skip

    def __call__(self, input_ids, scores):
        seen = input_ids[:, self.skip :]
        z = scores.gather(1, seen)  # of all tokens that stand in the text
        z = torch.where(z < 0, z * self.penalty, z / self.penalty)
        return scores.scatter(1, seen, z)


# %% equal
pairs = (
    (Temperature(0.7), TemperatureLogitsWarper(0.7)),
    (TopK(50), TopKLogitsWarper(50)),
    (TopP(0.9), TopPLogitsWarper(0.9)),
    (MinP(0.1), MinPLogitsWarper(0.1)),
    (RepetitionPenalty(1.2), RepetitionPenaltyLogitsProcessor(1.2)),
)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for ours, theirs in pairs:
        scores = logits.to(dtype)
        left = ours(both.input_ids, scores)
        assert left.dtype is dtype and left.equal(theirs(both.input_ids, scores))


# %% loop
def write(ids, processors=(), max_new_tokens=20, do_sample=False):  # one text
    cache = None
    for _ in range(max_new_tokens):
        new = ids if cache is None else ids[:, -1:]
        output = model(new, past_key_values=cache, use_cache=True)
        cache, scores = output.past_key_values, output.logits[:, -1].float()
        for processor in processors:
            scores = processor(ids, scores)
        if do_sample:
            token = scores.softmax(-1).multinomial(1)
        else:
            token = scores.argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], 1)  # (1, token)
        if token == tokenizer.eos_token_id:
            break
    return ids


# %% equals_generate
door = tokenizer([begin + prompts[1]], return_tensors="pt")
greedy = model.generate(**door, max_new_tokens=20, do_sample=False)
assert write(door.input_ids).equal(greedy)
torch.manual_seed(0)
ours = write(door.input_ids, [Temperature(0.8), TopK(40), TopP(0.95)], do_sample=True)
torch.manual_seed(0)
theirs = model.generate(
    **door, max_new_tokens=20, do_sample=True, temperature=0.8, top_k=40, top_p=0.95
)
assert ours.equal(theirs)

# %% samples differs="sampled text"
settings = {
    "greedy": {"do_sample": False},
    "temperature 0.7": {"do_sample": True, "temperature": 0.7, "top_k": 0},
    "temperature 1": {"do_sample": True, "top_k": 0},
    "temperature 2": {"do_sample": True, "temperature": 2.0, "top_k": 0},
    "temperature 2, min-p 0.1": {
        "do_sample": True, "temperature": 2.0, "top_k": 0, "min_p": 0.1
    },
}  # fmt: skip
for name, setting in settings.items():
    torch.manual_seed(1)
    ids = model.generate(**door, max_new_tokens=24, **setting)[0]
    print(f"{name}:\n   ", repr(tokenizer.decode(ids[1:])))

# %% entropy
z = logits[1].double()  # (vocabulary,)


def entropy(temperature):
    p = (z / temperature).softmax(-1)
    return -(p * p.log()).sum()


for heat in (0.5, 1.0, 2.0):
    p = (z / heat).softmax(-1)
    variance = (p * z.square()).sum() - (p * z).sum() ** 2
    slope = (entropy(heat + 1e-5) - entropy(heat - 1e-5)) / 2e-5
    assert slope.isclose(variance / heat**3, rtol=1e-5) and slope > 0

# %% thresholds
heated = Temperature(2.0)(None, logits.double())
by_score = heated >= heated.amax(-1, True) + math.log(0.1)  # no softmax needed
assert by_score.equal(MinP(0.1)(None, heated).isfinite())

# %% order
rows = {}
for heat in (0.5, 1.0, 2.0):
    hot = Temperature(heat)
    for place, order in enumerate(("{}, then the rule", "the rule, then {}")):
        rows[order.format(f"temperature {heat:g}")] = [
            LogitsProcessorList([rule, hot] if place else [hot, rule])(None, logits)[1]
            .isfinite()
            .sum()
            .item()
            for rule in rules.values()
        ]
table(rows, ["tokens left", *rules], ",").show()

# %% shift
penalty, ids = RepetitionPenalty(1.2), both.input_ids
repeat = ids[0, -1]  # " is", once more
for shift in (-10, 0, 10):
    moved = logits + shift  # the same probabilities
    assert moved.softmax(-1).allclose(logits.softmax(-1), atol=1e-5)
    z, lowered = moved[0, repeat], penalty(ids, moved)[0, repeat]
    print(f"zero moved by {shift:+}: the logit {z:.2f} falls by {z - lowered:.2f}")

# %% defaults
with tempfile.TemporaryDirectory() as folder:
    chosen = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=0, min_p=0.05,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    chosen.save_pretrained(folder)  # generation_config.json
    again = GenerationConfig.from_pretrained(folder)
again.update(max_new_tokens=1, output_scores=True, return_dict_in_generate=True)
output = model.generate(**door, generation_config=again)
print(int(output.scores[0].isfinite().sum()), "tokens were left by the file's min_p")

# %% seeds
options = {"max_new_tokens": 8, "do_sample": True, "top_k": 0}
torch.manual_seed(0)
alone = model.generate(**door, **options)
torch.manual_seed(0)
assert model.generate(**door, **options).equal(alone)  # the seed decides
torch.manual_seed(0)
pair = model.generate(
    **{key: value.repeat(2, 1) for key, value in door.items()}, **options
)
assert not pair[0].equal(alone[0])  # the neighbour draws from the same stream

# %% streaming
streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
options = {"max_new_tokens": 40, "stop_strings": ["."], "tokenizer": tokenizer}
thread = Thread(
    target=model.generate, kwargs={**door, **options, "streamer": streamer}
)  # fmt: skip
thread.start()
pieces = list(streamer)  # each as soon as it is ready
thread.join()
print(pieces)
assert "".join(pieces).count(".") == 1 and pieces[-1].endswith(".")
