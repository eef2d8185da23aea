# %% setup
import itertools
from statistics import mean

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutput

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    COLOURS,
    GREY,
    label_lines,
    panels,
    spread,
    use_style,
    verbatim,
)
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.translation import (
    collate,
    number_placeholders,
    translation_data,
)

use_style()
folder = weights("transformer", "translation")
model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
END = tokenizer.eos_token_id
data = translation_data()


# %% beam_search
def beam_search(
    next_log_p, beams, length_penalty=1.0, early_stopping=False, longest=63
):
    alive, finished, history = [(0.0, [])], [], []
    for length in range(1, longest + 1):
        log_p = next_log_p([ids for _, ids in alive])  # (alive, vocabulary)
        totals = torch.tensor([total for total, _ in alive])[:, None] + log_p
        best = totals.flatten().topk(2 * beams)  # twice as many: half may end
        continued = []
        for rank, (total, place) in enumerate(
            zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ):
            row, token = divmod(place, log_p.shape[1])
            ids = [*alive[row][1], token]
            if token != END and length < longest:
                continued.append((total, ids))
            elif rank < beams:
                finished.append((total / length**length_penalty, ids))
        alive = continued[:beams]
        finished = sorted(finished, key=lambda scored: -scored[0])[:beams]
        history.append((list(alive), list(finished)))
        if not alive:
            break
        if len(finished) == beams:
            hopeful = early_stopping == "never" and length_penalty > 0
            reach = longest if hopeful else length
            if early_stopping is True:
                break
            if alive[0][0] / reach**length_penalty <= finished[-1][0]:
                break
    return finished, history


# %% next_log_p
@torch.no_grad()
def reader(model, english):
    source = tokenizer([number_placeholders(english, english)], return_tensors="pt")
    states = model.get_encoder()(**source).last_hidden_state  # read once

    def next_log_p(prefixes):
        ids = torch.tensor([[tokenizer.pad_token_id, *ids] for ids in prefixes])
        encoded = BaseModelOutput(states.expand(len(ids), -1, -1))
        with torch.no_grad():
            logits = model(encoder_outputs=encoded, decoder_input_ids=ids).logits
        return logits[:, -1].log_softmax(-1)  # (prefix, vocabulary)

    return source, next_log_p


# %% tree
ENGLISH = "The file path to open"
finished, history = beam_search(reader(model, ENGLISH)[1], 3, length_penalty=1.0)
best = finished[0][1]
figure, (axes,) = panels(height=3.4)
place = {(): (0.0, 0.0)}
for step, (alive, done) in enumerate(history, 1):
    ended = [(total, ids) for total, ids in done if len(ids) == step]
    rows = [*alive, *ended] if step < len(history) else ended
    for rank, (total, ids) in enumerate(rows):
        x, y = place[tuple(ids)] = (step, -rank)
        colour = COLOURS[1] if ids == best[:step] else GREY
        axes.plot(
            *zip(place[tuple(ids[:-1])], (x, y), strict=True),
            color=colour,
            marker="",
            lw=1.2,
        )
        token = "■" if ids[-1] == END else tokenizer.decode(ids[-1]).strip()
        axes.text(x, y + 0.12, token, ha="center", color=colour, fontsize=10)
        axes.text(x, y - 0.3, f"{total:.1f}", ha="center", color=colour, fontsize=8)
axes.set_axis_off()
verbatim(axes.texts)

# %% equal differs="beams near a tie"
some = [m.english for m in data["message"] if 20 < len(m.english) < 45]
asked = [*some[::90], *some[5::120]]
compared = 0
for english in asked:
    source, next_log_p = reader(model, english)
    for beams, penalty, stop in itertools.product(
        (2, 4), (0.0, 1.0, 2.0), (False, True, "never")
    ):
        ours = beam_search(next_log_p, beams, penalty, stop, 31)[0]
        theirs = model.generate(
            **source,
            num_beams=beams,
            num_return_sequences=beams,
            length_penalty=penalty,
            early_stopping=stop,
            max_length=32,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        for (score, ids), row, other in zip(
            ours, theirs.sequences, theirs.sequences_scores, strict=True
        ):
            assert row[1 : len(ids) + 1].tolist() == ids
            assert abs(other.item() - score) < 1e-4
        compared += 1
print(f"{compared} searches of {len(asked)} sentences: same tokens, same scores")

# %% empty_translation differs="scores of a trained model" tolerance="30%"
alive_best = [0.0] + [alive[0][0] for alive, _ in history[: len(best) - 1]]
assert all(a > b for a, b in itertools.pairwise(alive_best))  # it only ever falls
likelier, places = [], []  # by length of people's translation
pairs = sorted(data["validation"], key=lambda m: -len(m.chinese))
for start in range(0, len(pairs), 100):
    batch = collate(tokenizer, pairs[start : start + 100])
    with torch.no_grad():
        log_p = model(**batch).logits.log_softmax(-1)  # (pair, token, vocabulary)
    said = batch["labels"] != -100
    of_people = log_p.gather(-1, (batch["labels"] * said)[..., None])[..., 0]
    of_people = (of_people * said).sum(1)  # (pair,)
    of_nothing = log_p[:, 0, END]  # the end token at once
    likelier += (of_nothing > of_people).tolist()
    places += (log_p[:, 0] > of_nothing[:, None]).sum(1).tolist()
longest, all_of_them = 100 * mean(likelier[:100]), 100 * mean(likelier)
among_first = 100 * mean(place < 8 for place in places)
print(f"empty likelier than people's translation: {all_of_them:.0f}% of all,")
print(f"of the 100 longest {longest:.0f}%")
print(f"the end among the 8 likeliest first tokens: {among_first:.0f}% of all")

# %% sweep
runs = results("transformer", "translation")
seeds = {
    variant: by_seed(runs, f"{variant} sweep") for variant in ("plain", "smoothed")
}
PENALTIES = (0.0, 0.5, 1.0, 1.5, 2.0)
figure, (quality, length) = panels(2)
for axes, measure in ((quality, "chrf"), (length, "length")):
    for variant, found in seeds.items():
        values = [
            [run[f"4 beams, {alpha}"][measure] for alpha in PENALTIES] for run in found
        ]
        spread(axes, PENALTIES, values, variant)
    axes.set_xlabel("length penalty α")
    axes.set_xlim(0, 2.6)
    label_lines(axes)
quality.set_ylabel("chrF, validation")
_ = length.set_ylabel("characters, people’s = 1")

# %% width
rows = {}
for name in ("1 beam", "2 beams, 0.0", "4 beams, 0.0", "8 beams, 0.0", "4 beams, 1.0"):
    rows[name.replace(", ", ", α = ")] = [
        over_seeds([run[name][measure] for run in seeds["smoothed"]], form)
        for measure, form in (("chrf", ".1f"), ("length", ".2f"))
    ]
    assert all(run[name]["empty"] == 0 for run in seeds["smoothed"])
table(rows, ["smoothed", "chrF", "length, people’s = 1"]).show()

# %% sweep_values values
for name, key in (
    ("1 beam", "greedy"),
    ("2 beams, 0.0", "two"),
    ("4 beams, 0.0", "four"),
    ("8 beams, 0.0", "eight"),
    ("4 beams, 1.0", "four_one"),
    ("4 beams, 1.5", "four_one_and_a_half"),
):
    values = [run[name] for run in seeds["smoothed"]]
    print(f"chrf_{key} = {mean(v['chrf'] for v in values):.1f}")
    print(f"length_{key} = {mean(v['length'] for v in values):.2f}")
chosen = [
    max(PENALTIES, key=lambda alpha: run[f"4 beams, {alpha}"]["chrf"])
    for found in seeds.values()
    for run in found
]
print(f"runs = {len(chosen)}")
print(f"runs_with_one = {chosen.count(1.0)}")
print(f"runs_with_half = {chosen.count(0.5)}")
print(f"swept = {len(data['validation'][::3])}")
print(f"empty_likelier = {all_of_them:.0f}")  # tolerance 30%
print(f"empty_likelier_longest = {longest:.0f}")  # tolerance 30%
print(f"end_among_first = {among_first:.0f}")  # tolerance 30%
