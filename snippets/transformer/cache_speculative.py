# %% setup
import statistics

import torch
from torch import nn
from transformers import DynamicCache, logging
from transformers.generation.utils import _speculative_sampling

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import GREY, legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer import speculative as library
from llm_tutorial.transformer.speculative import shared_copy

use_style()
torch.set_grad_enabled(False)
logging.set_verbosity_error()  # how the library calls an assistant is out of date
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
END = model.generation_config.pad_token_id = tokenizer.eos_token_id


def prompt_ids(prompt):
    talk = [{"role": "user", "content": prompt}]
    options = {"add_generation_prompt": True, "return_tensors": "pt"}
    return tokenizer.apply_chat_template(talk, **options)["input_ids"]


# %% accept
def accept(guesses, q, p, chance):  # q: (guess, vocabulary), p: (guess + 1, vocabulary)
    for i, x in enumerate(guesses):
        u = torch.rand((), generator=chance).item()
        if u * q[i, x] >= p[i, x]:  # refused, with probability 1 - p / q
            rest = (p[i] - q[i]).clamp(min=0)  # multinomial divides by the sum
            return [*guesses[:i], int(torch.multinomial(rest, 1, generator=chance))]
    return [*guesses, int(torch.multinomial(p[-1], 1, generator=chance))]


# %% distributions
early = library.early_exit(model, 28)  # 28 of 30 blocks, as a draft
ids = prompt_ids("Write a short story about a lighthouse keeper.")
begun = tokenizer("The old keeper climbed the stairs and saw a", return_tensors="pt")
ids = torch.cat([ids, begun.input_ids], 1)
p, q = (net(ids).logits[0, -1].softmax(-1) for net in (model, early))
likely = torch.cat([p.topk(8).indices, q.topk(8).indices]).unique()
p, q = (each[likely] / each[likely].sum() for each in (p, q))  # (16,) or fewer
chance, overlap = torch.Generator().manual_seed(0), torch.minimum(p, q).sum()
drawn = torch.multinomial(q, 100_000, replacement=True, generator=chance)
kept = torch.rand(100_000, generator=chance) * q[drawn] < p[drawn]
assert abs(kept.float().mean() - overlap) < 0.01
print(f"kept: {kept.float().mean():.3f}, by the formula {overlap:.3f}")


# %% chi_square
def from_p(guesses, q, p, chance):  # wrong: draws from p, not from the rest
    if torch.rand((), generator=chance).item() * q[0, guesses[0]] < p[0, guesses[0]]:
        return guesses
    return [int(torch.multinomial(p[0], 1, generator=chance))]


def upside_down(guesses, q, p, chance):  # wrong: min(1, q / p)
    return accept(guesses, p[:1], torch.cat([q, p[1:]]), chance)


def unscaled(guesses, q, p, chance):  # wrong: q is too small by 5 %
    return accept(guesses, q / 1.05, p, chance)


rules = {
    "min(1, p / q), rest": accept,
    "min(1, p / q), then p": from_p,
    "min(1, q / p)": upside_down,
    "every guess": lambda guesses, q, p, chance: guesses,
    "q 5 % too small": unscaled,
}
DRAWS, rows = 4000, {}
for name, rule in rules.items():
    chance = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(q, DRAWS, replacement=True, generator=chance)
    both = torch.stack([p, p])
    first = [rule([x], q[None], both, chance)[0] for x in drawn.tolist()]
    seen = torch.bincount(torch.tensor(first), minlength=len(p)).double()
    common = DRAWS * p >= 5  # tokens too rare for the test are one class
    expected, seen = (
        torch.cat([each[common], each[~common].sum()[None]])
        for each in (DRAWS * p.double(), seen)
    )
    statistic = ((seen - expected) ** 2 / expected).sum()
    freedom = torch.tensor(len(expected) - 1.0)
    chance_of_it = torch.special.gammaincc(freedom / 2, statistic / 2).item()
    rows[name] = [statistic.item(), chance_of_it]
    assert (chance_of_it > 0.01) == (rule in (accept, unscaled))  # too small a fault
table(rows, ["rule", "chi-square", "p-value"], [".0f", ".2g"]).show()
print(f"degrees of freedom: {freedom:.0f}")

# %% same_as_transformers
for seed in range(200):  # the same distributions, the same guess, the same chance
    torch.manual_seed(seed)
    guess = torch.multinomial(q, 1)
    state = torch.get_rng_state()
    theirs, _ = _speculative_sampling(
        guess[None], q.log()[None, None], 1, torch.stack([p, p]).log()[None]
    )
    torch.set_rng_state(state)
    ours = accept(guess.tolist(), q[None], torch.stack([p, p]), None)
    assert theirs[0].tolist() == ours


# %% speculate
def probabilities(logits, temperature):  # 0: all weight on the first choice
    if temperature == 0:
        return nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits / temperature).softmax(-1)


def speculate(model, ids, draft, new_tokens, temperature=0.0, chance=None):
    text = ids[0].tolist()
    start, cache = len(text), DynamicCache(config=model.config)
    model(ids[:, :-1], past_key_values=cache)  # all of the text but its last token
    passes = 0
    while len(text) - start < new_tokens and END not in text[start:]:
        guesses, q = draft(text)
        fed = torch.tensor([[text[-1], *guesses]], device=model.device)
        logits = model(fed, past_key_values=cache).logits[0]  # (guess + 1, vocabulary)
        kept = accept(guesses, q, probabilities(logits, temperature), chance)
        cache.crop(len(kept) - len(guesses) - 1)  # forget the guesses that were refused
        text += kept
        passes += 1
    written = text[start : start + new_tokens]
    return written[: written.index(END) + 1] if END in written else written, passes


# %% lookup differs="greedy text near a tie"
vocabulary = model.config.vocab_size


def prompt_lookup(text, count=7, longest=2):
    for n in range(longest, 0, -1):  # last tokens, which stood somewhere before?
        for start in range(len(text) - n):
            if text[start : start + n] == text[-n:]:
                guesses = text[start + n : start + n + count]
                one_hot = nn.functional.one_hot(torch.tensor(guesses), vocabulary)
                return guesses, one_hot.float()
    return [], None


passage = documented_objects("test")[2].body[:300]
ids = prompt_ids(f"Repeat this text word for word:\n\n{passage}")
greedy = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
guessed, passes = speculate(model, ids, prompt_lookup, 24)
assert guessed == greedy.tolist()
print(f"{len(guessed)} tokens in {passes} passes")

options = {"max_new_tokens": 24, "do_sample": False}
theirs = model.generate(ids, prompt_lookup_num_tokens=7, **options)
assert theirs[0, ids.shape[1] :].tolist() == guessed


# %% int8
class Int8Linear(nn.Module):
    def __init__(self, weight):  # (out, in)
        super().__init__()
        self.scale = weight.abs().amax(1) / 127  # one a row
        self.weight = (weight / self.scale[:, None]).round().to(torch.int8)

    def forward(self, x):  # (…, in)
        scale = x.abs().amax(-1, keepdim=True) / 127  # one a token
        whole = (x / scale).round().to(torch.int8).flatten(0, -2)
        products = torch._int_mm(whole, self.weight.T)  # 8-bit in, 32-bit out
        return products.unflatten(0, x.shape[:-1]) * scale * self.scale


small = shared_copy(model)
for parent in list(small.modules()):
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.Linear):
            setattr(parent, name, Int8Linear(child.weight))


# %% model_draft differs="greedy text near a tie"
class ModelDraft:
    def __init__(self, model, count, temperature=0.0, chance=None):
        self.model, self.count, self.chance = model, count, chance
        self.temperature, self.cache = temperature, DynamicCache(config=model.config)

    def __call__(self, text):
        read = self.cache.get_seq_length()
        known = min(read, len(text) - 1)
        self.cache.crop(known - read)  # its own refused guesses must go as well
        fed, guesses, q = text[known:], [], []
        for _ in range(self.count):
            ids = torch.tensor([fed], device=self.model.device)
            logits = self.model(ids, past_key_values=self.cache).logits[0, -1]
            q.append(probabilities(logits, self.temperature))
            fed = [int(torch.multinomial(q[-1], 1, generator=self.chance))]
            guesses += fed
        return guesses, torch.stack(q)


ids = prompt_ids("What is the capital of France?")
guessed, passes = speculate(model, ids, ModelDraft(small, count=3), 24)
greedy = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
assert guessed == greedy.tolist()
assert guessed[-1] == END  # in the middle of a pass

small.generation_config.num_assistant_tokens = 3
small.generation_config.assistant_confidence_threshold = 0.0  # never stops early
theirs = model.generate(ids, assistant_model=small, max_new_tokens=24, do_sample=False)
assert theirs[0, ids.shape[1] :].tolist() == guessed
print(f"{len(guessed)} tokens in {passes} passes:", repr(tokenizer.decode(guessed)))

# %% sampled differs="text near a tie"
ids, chance = prompt_ids("Describe a harbour."), torch.Generator().manual_seed(0)
draft = ModelDraft(small, count=3, temperature=0.5, chance=chance)
guessed, passes = speculate(model, ids, draft, 16, temperature=0.7, chance=chance)
print(f"{len(guessed)} tokens in {passes} passes:", repr(tokenizer.decode(guessed)))
assert library.speculate(model, ids, library.ModelDraft(small, 3), 8).passes < 8

# %% worth
runs = results("transformer", "cache")["metrics"]
COUNTS = {"lookup": (3, 7, 15), "int8": (1, 2, 3, 5), "15 blocks": (2,)}
figure, axes = panels(2)
for panel, task, title in zip(
    axes, ("copy", "free"), ("copying", "free text"), strict=True
):
    for name, counts in COUNTS.items():
        speeds = [[line[0] for line in runs[task][f"{name}, {n}"]] for n in counts]
        middle = [statistics.median(each) for each in speeds]
        (line,) = panel.plot(counts, middle, label=name)
        bars = [
            [m - min(each) for m, each in zip(middle, speeds, strict=True)],
            [max(each) - m for m, each in zip(middle, speeds, strict=True)],
        ]
        panel.errorbar(counts, middle, bars, color=line.get_color(), lw=1, marker="")
    panel.axhline(1, color=GREY, lw=1, ls="--", marker="")
    panel.set(title=title, xlabel="guesses", ylabel="speed", ylim=(0, None))
    panel.set_xticks((1, 3, 5, 7, 15))
legend(figure, ncols=3)


# %% measured
def summary(task, name):  # kept share, tokens a pass, median speed, its range
    speeds = [line[0] for line in runs[task][name]]
    tokens = passes = guesses = kept = 0
    for _, *counts in runs[task][name]:
        if counts:
            tokens, passes = tokens + counts[0], passes + counts[1]
            guesses, kept = guesses + counts[2], kept + counts[3]
    a_pass = tokens / passes if passes else 0
    middle = statistics.median(speeds)
    return kept / guesses if guesses else 0, a_pass, middle, min(speeds), max(speeds)


rows = {}
for name in runs["copy"]:
    row = []
    for task in ("copy", "free"):
        share, a_pass, middle, low, high = summary(task, name)
        counted = [f"{100 * share:.0f}", f"{a_pass:.1f}"] if a_pass else ["", ""]
        row += [*counted, f"{middle:.2f} [{low:.2f}, {high:.2f}]"]
    rows[name] = row
columns = ["draft, guesses"]
for task in ("copying", "free text"):
    columns += [f"{task}: kept, %", "tokens a pass", "speed"]
table(rows, columns).show()


# %% formula
def at_once(kind, k):  # time of a pass over k tokens, in steps
    run = runs[f"{k} at once"]
    pairs = zip(run[kind], run["one"], strict=True)
    return statistics.median(a / b for a, b in pairs)


rows, draft = {}, at_once("int8", 1)
for task in ("copy", "free"):
    same = [row[1] for row in runs[f"agreement, {task}"]["int8"]]
    a = sum(same) / len(same)  # share of guesses that are the model's first choice
    for count in (1, 2, 3, 5):
        tokens = sum(a**i for i in range(count + 1))
        speed = tokens / (at_once("text", count + 1) + count * draft)
        _, a_pass, measured, _, _ = summary(task, f"int8, {count}")
        rows[f"{task}, {count}"] = [a, tokens, a_pass, speed, measured]
        assert abs(speed - measured) < 0.1
off = max(abs(row[3] - row[4]) for row in rows.values())
columns = ["guesses", "a", "tokens, formula", "measured", "speed, formula", "measured"]
table(rows, columns, ".2f").show()

# %% values values
print(f"formula_off = {off:.2f}")
for name in runs["copy"]:
    key = name.replace("15 blocks", "half").replace(", ", "_").replace(" ", "_")
    for task in ("copy", "free"):
        share, a_pass, middle, low, high = summary(task, name)
        print(f"{key}_{task} = {middle:.2f}")
        print(f"{key}_{task}_low = {low:.2f}")
        print(f"{key}_{task}_high = {high:.2f}")
        if a_pass:
            print(f"{key}_{task}_kept = {100 * share:.0f}")
            print(f"{key}_{task}_pass = {a_pass:.1f}")
for task in ("copy", "free"):
    for name, values in runs[f"agreement, {task}"].items():
        key = name.replace("15 blocks", "half")
        overlap, same = (
            sum(column) / len(values) for column in zip(*values, strict=True)
        )
        print(f"{key}_{task}_overlap = {overlap:.2f}")
        print(f"{key}_{task}_same = {same:.2f}")

# %% crop_forgotten differs="greedy text near a tie"
ids = prompt_ids(f"Repeat this text word for word:\n\n{passage}")
text, cache = ids[0].tolist(), DynamicCache(config=model.config)
start = len(text)
model(ids[:, :-1], past_key_values=cache)
while len(text) - start < 24:
    guesses, q = prompt_lookup(text)
    fed = torch.tensor([[text[-1], *guesses]])
    p = probabilities(model(fed, past_key_values=cache).logits[0], 0)
    text += accept(guesses, q, p, None)  # and no crop
print("without crop:", repr(tokenizer.decode(text[start:][:24])))
print(f"cache {cache.get_seq_length()}, text {len(text)}")
right, _ = speculate(model, ids, prompt_lookup, 24)
assert text[start:][:24] != right
print("with it:     ", repr(tokenizer.decode(right)))
