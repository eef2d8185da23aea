# %% setup
import random

from llm_tutorial.data.text import english_questions
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.results import results
from llm_tutorial.tables import table
from llm_tutorial.transformer.templates import WRAPPINGS, replies, says

model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
questions = english_questions()

# %% rendered
talk = [{"role": "user", "content": questions[0].question}]
text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
print(text)
ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True)["input_ids"]
assert tokenizer(text, add_special_tokens=False).input_ids == ids  # nothing is added
assert WRAPPINGS["its own"](tokenizer, questions[0].question) == text

# %% wrappings
for name, wrapping in WRAPPINGS.items():
    print(f"{name:21}", repr(wrapping(tokenizer, "Q?")))

# %% live differs="greedy text near a tie"
for name in ("its own", "begin token doubled", "no generation prompt", "none"):
    prompts = [WRAPPINGS[name](tokenizer, q.question) for q in questions[:2]]
    print(f"{name}:")
    for reply in replies(model, tokenizer, prompts, max_new_tokens=20):
        print("   ", repr(reply.text), "END" if reply.ended else "…")
assert says(replies(model, tokenizer, [text], max_new_tokens=20)[0].text, "Paris")


# %% scores
def interval(values):  # mean and its 95% bootstrap interval, over questions, in percent
    draw = random.Random(0)
    means = sorted(
        100 * sum(draw.choices(values, k=len(values))) / len(values)
        for _ in range(1000)
    )
    return 100 * sum(values) / len(values), means[25], means[974]


runs = results("transformer", "anatomy_templates")["metrics"]
own = runs["its own"]["right"]
rows, loss = {}, {}
for name, run in runs.items():
    right, low, high = interval(run["right"])
    # against its own template, question by question
    loss[name] = interval([a - b for a, b in zip(own, run["right"], strict=True)])
    ended = 100 * sum(run["ended"]) / len(run["ended"])
    empty = 100 * sum(length == 0 for length in run["characters"]) / len(own)
    lost = "" if name == "its own" else "{:.0f} [{:.0f}, {:.0f}]".format(*loss[name])
    rows[name] = [f"{right:.0f} [{low:.0f}, {high:.0f}]", lost, ended, empty]
columns = ["", "right, %", "lost, points", "ended, %", "empty, %"]
table(rows, columns, ["", "", ".0f", ".0f"]).show()

# %% scores_values values
for name, run in runs.items():
    key = name.lower().replace(" ", "_").replace("'s", "").replace(",", "")
    print(f"right_{key} = {100 * sum(run['right']) / len(own):.0f}")
    print(f"lost_{key} = {loss[name][0]:.0f}")
    print(f"low_{key} = {loss[name][1]:.0f}")
    print(f"high_{key} = {loss[name][2]:.0f}")
    print(f"gained_{key} = {-loss[name][0]:.0f}")
    print(f"gained_low_{key} = {-loss[name][2]:.0f}")
    print(f"gained_high_{key} = {-loss[name][1]:.0f}")
    print(f"ended_{key} = {100 * sum(run['ended']) / len(own):.0f}")
    empty = sum(length == 0 for length in run["characters"])
    print(f"empty_{key} = {100 * empty / len(own):.0f}")
    if empty < len(own):
        right_of_rest = 100 * sum(run["right"]) / (len(own) - empty)
        print(f"right_of_written_{key} = {right_of_rest:.0f}")
