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
ENGLISH = "Copy absolute path"
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
        shown = total * (step if ids[-1] == END else 1)  # with length penalty 1
        axes.text(x, y + 0.12, token, ha="center", color=colour, fontsize=10)
        axes.text(x, y - 0.3, f"{shown:.1f}", ha="center", color=colour, fontsize=8)
axes.set_axis_off()
verbatim(axes.texts)

# %% equal differs="beams near a tie"
asked = [m.english for m in data["message"] if 20 < len(m.english) < 45][::90]
compared = 0
for english in asked:
    source, next_log_p = reader(model, english)
    for beams, penalty, stop in itertools.product(
        (2, 4), (0.0, 1.0, 2.0), (False, True, "never")
    ):
        (score, ids), *_ = beam_search(next_log_p, beams, penalty, stop, 31)[0]
        theirs = model.generate(
            **source,
            num_beams=beams,
            length_penalty=penalty,
            early_stopping=stop,
            max_length=32,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        assert theirs.sequences[0, 1 : len(ids) + 1].tolist() == ids
        assert abs(theirs.sequences_scores[0].item() - score) < 1e-4
        compared += 1
print(f"{compared} searches, same tokens and scores")

# %% empty_translation differs="scores of a trained model" tolerance="30%"
alive_best = [0.0] + [alive[0][0] for alive, _ in history[: len(best) - 1]]
assert all(a > b for a, b in itertools.pairwise(alive_best))  # it only ever falls
pairs = sorted(data["validation"], key=lambda m: -len(m.chinese))[:100]
batch = collate(tokenizer, pairs)
with torch.no_grad():
    log_p = model(**batch).logits.log_softmax(-1)  # (pair, token, vocabulary)
said = batch["labels"] != -100
of_people = log_p.gather(-1, (batch["labels"] * said)[..., None])[..., 0]
of_people = (of_people * said).sum(1)  # (pair,)
of_nothing = log_p[:, 0, END]  # the end token at once
shorter = 100 * (of_nothing > of_people).double().mean().item()
print(f"the empty translation is likelier than people's in {shorter:.0f} of 100")

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
length.set_ylabel("characters, people’s = 1")

# %% width
rows = {}
for name in ("1 beam", "2 beams, 0.0", "4 beams, 0.0", "8 beams, 0.0", "4 beams, 1.0"):
    rows[name.replace(", ", ", α = ")] = [
        over_seeds([run[name][measure] for run in seeds["smoothed"]], form)
        for measure, form in (("chrf", ".1f"), ("length", ".2f"), ("empty", ".1f"))
    ]
table(rows, ["smoothed", "chrF", "length", "empty, %"]).show()

# %% sweep_values values
for key, name in (
    ("1 beam", "greedy"),
    ("4 beams, 0.0", "beams_4_none"),
    ("4 beams, 1.0", "beams_4_one"),
    ("8 beams, 0.0", "beams_8_none"),
):
    for variant, found in seeds.items():
        values = [run[key] for run in found]
        print(f"chrf_{variant}_{name} = {mean(v['chrf'] for v in values):.1f}")
        print(f"length_{variant}_{name} = {mean(v['length'] for v in values):.2f}")
        print(f"empty_{variant}_{name} = {mean(v['empty'] for v in values):.1f}")
print(f"empty_likelier = {shorter:.0f}")  # tolerance 30%
