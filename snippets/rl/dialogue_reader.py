# %% setup
import torch

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.rl.dialogue.reader import LABELS, label_scores, read_by_rule
from llm_tutorial.tables import table

torch.manual_seed(0)
model, tokenizer = load_model(), load_tokenizer()

# %% answers
CHOSEN_ON = {  # what the form of the prompt was chosen on
    "yes": [
        "Yes.", "That's right.", "Certainly.", "Yep, that one.", "I agree.",
        "Very good.",
    ],
    "no": [
        "No.", "That's wrong.", "Not at all.", "You got it wrong.",
        "I meant another one.", "Please correct that.",
    ],
    "other": [
        "To Berlin.", "On Sunday.", "Good morning.", "I need a ticket.",
        "In the afternoon.", "Can you hear me?",
    ],
}  # fmt: skip
TEST = {
    "yes": [
        "That's it.", "Absolutely.", "You got it.", "Indeed.", "Perfect.", "Go ahead.",
        "Sounds good.", "Of course.", "Mm-hm.", "Spot on.", "Precisely.", "I do.",
        "By all means.", "Fine with me.", "It is.", "Yeah, that's the one.",
    ],
    "no": [
        "No way.", "Never.", "You misheard me.", "I said something else.", "Hardly.",
        "Try again.", "That is a mistake.", "Absolutely not.", "It is another city.",
        "Please change that.", "You've mixed that up.", "Not quite.", "Neither.",
        "I wouldn't say so.", "Far from it.", "That isn't it.",
    ],
    "other": [
        "On Monday in the evening.", "From Paris, please.", "I'm going to Vienna.",
        "Could you repeat that?", "What time is it?", "Hello there.", "Two tickets.",
        "I am leaving from Belgrade.", "In the morning.", "Wednesday.", "To Prague.",
        "Just a moment.", "Is there a dining car?", "Who is this?",
        "Next week, on Friday.", "I have a heavy suitcase.",
    ],
}  # fmt: skip


def flat(sets):
    pairs = [(text, label) for label, texts in sets.items() for text in texts]
    return [text for text, _ in pairs], [label for _, label in pairs]


texts, labels = flat(TEST)
assert not set(texts) & set(flat(CHOSEN_ON)[0])

# %% few_shots differs="a label near a tie"
SHOTS = (
    ("Yes, please.", "yes"), ("No, thanks.", "no"), ("From Rome.", "other"),
    ("Correct.", "yes"), ("That is not right.", "no"), ("On Tuesday.", "other"),
    ("Exactly.", "yes"), ("Wrong.", "no"), ("How much is it?", "other"),
)  # fmt: skip
form = "{} ->"
prefix = "".join(f"{text} -> {label}\n" for text, label in SHOTS)


def label_scores_by_hand(text):  # the model may answer nothing but a label
    ids = tokenizer(prefix + form.format(text), return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
    first = [tokenizer(" " + label).input_ids[0] for label in LABELS]
    return logits[first].log_softmax(-1)  # (labels,)


scores = label_scores(model, tokenizer, prefix, texts, form)  # (texts, labels)
assert torch.allclose(scores[0], label_scores_by_hand(texts[0]), atol=1e-2)
empty = label_scores(model, tokenizer, prefix, ["N/A"], form)  # what it says to nothing

# %% reader_table differs="a label near a tie"
found = {
    "list of words": [read_by_rule(text) for text in texts],
    "SmolLM2, nine examples": [LABELS[i] for i in scores.argmax(1)],
    "the same, calibrated": [LABELS[i] for i in (scores - empty).argmax(1)],
    "always other": ["other"] * len(texts),
}


def count(name, label, read):  # of the answers that are `label`, those read as `read`
    pairs = zip(labels, found[name], strict=True)
    return sum(pair == (label, read) for pair in pairs)


rows = {
    name: [
        f"{count(name, label, read)}"
        for label, read in (
            ("yes", "yes"), ("no", "no"), ("other", "other"),
            ("no", "yes"), ("yes", "no"), ("other", "no"),
        )
    ]
    for name in found
}  # fmt: skip
heads = [
    "of 16 each", "yes right", "no right", "other right",
    "no read as yes", "yes as no", "other as no",
]  # fmt: skip
table(rows, heads).show()
assert count("list of words", "no", "yes") == 0 < count(list(found)[1], "no", "yes")


# %% reader_bayes differs="a label near a tie"
def after_yes(belief, if_right, if_wrong):  # Bayes' rule for one value
    return belief * if_right / (belief * if_right + (1 - belief) * if_wrong)


for name, right, wrong in (
    ("channel, noise 0.3", 0.85, 0.15),
    *((name, count(name, "yes", "yes") / 16, count(name, "no", "yes") / 16)
      for name in list(found)[1:3]),
):  # fmt: skip
    print(f"{name}: a yes takes a belief of 0.60 to {after_yes(0.6, right, wrong):.2f}")

# %% reader_examples differs="a label near a tie"
for text, label, read in zip(
    texts, labels, found["SmolLM2, nine examples"], strict=True
):
    if label != read:
        print(f"{text!r}: {label}, read as {read}")

# %% reader_values values differs="a label near a tie" tolerance="30%"
print(f"texts = {len(texts)}")
for short, name in zip(("rule", "shots", "calibrated"), found, strict=False):
    right = sum(count(name, label, label) for label in LABELS)
    print(f"right_{short} = {right}")
    print(f"sold_{short} = {count(name, 'no', 'yes')}")
share = right / len(texts)
print(f"interval = {100 * 1.96 * (share * (1 - share) / len(texts)) ** 0.5:.0f}")
