# %% removed
from transformers import pipeline

try:
    pipeline("question-answering")
except KeyError as error:
    said = error.args[0]
    print(said.replace(". ", ".\n"))
assert "has been removed from transformers" in said

# %% setup
import matplotlib.pyplot as plt
import torch
from peft import PeftModel
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_encoder, load_tokenizer, model_folder
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style, verbatim
from llm_tutorial.results import weights

torch.manual_seed(0)
use_style()
logging.set_verbosity_error()  # a new head is not in the checkpoint, and need not be

# %% load
tokenizer = load_tokenizer("minilm")
base = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm"))
adapter = weights("transformer", "question_reader")  # trained for this page
reader = PeftModel.from_pretrained(base, adapter).merge_and_unload().eval()
print(type(reader).__name__)

# %% ask
passage = """LinearSVR(...)
Linear Support Vector Regression.
dual : "auto" or bool, default="auto"
Select the algorithm to either solve the dual or primal optimization problem.
verbose : int, default=0
Enable verbose output."""

asked = "`dual` of `LinearSVR`"
questions = [
    f"What type is {asked}?",
    f"What is the default value of {asked}?",
    f"What does {asked} do?",
]
found = []
for question in questions:
    read = tokenizer(
        question, passage, return_tensors="pt",
        return_offsets_mapping=True, return_token_type_ids=False,
    )  # fmt: skip
    offsets = read.pop("offset_mapping")[0]  # characters that each token came from
    with torch.inference_mode():
        out = reader(**read)
    inside = torch.tensor([part == 1 for part in read.sequence_ids(0)])  # the passage
    start = out.start_logits[0].masked_fill(~inside, -torch.inf)
    end = out.end_logits[0].masked_fill(~inside, -torch.inf)
    after = torch.ones(len(start), len(start)).triu().bool()  # first <= last
    sums = (start[:, None] + end[None]).masked_fill(~after, -torch.inf)
    first, last = divmod(int(sums.argmax()), len(start))
    print(question[:16], "…", passage[offsets[first][0] : offsets[last][1]])
    found.append((start[inside].softmax(0), end[inside].softmax(0)))

# %% idea
tokens = tokenizer.tokenize(passage)
figure, each = panels(1, rows=3, height=2.6)
for axes, question, (start, end) in zip(each, questions, found, strict=True):
    place = torch.arange(len(start))
    for side, part, name, colour in ((-0.2, start, "start", 0), (0.2, end, "end", 1)):
        high = part > 0.005  # the others would not be seen
        axes.bar(place[high] + side, part[high], 0.4, label=name, color=COLOURS[colour])
    verbatim([axes.set_title(question.partition("`")[0] + "…", fontsize=8)])
    axes.set(ylabel="probability", ylim=(0, 1.05), xlim=(-1, len(tokens)))
    axes.set_xticks(place, tokens, rotation=90, fontsize=6)
    axes.grid(visible=False, axis="x")
    verbatim(axes.get_xticklabels())
legend(figure)
plt.show()

# %% architecture
diagram = Diagram(width=24, height=14)
encoder = diagram.box(12, 6.4, "encoder", 23, 2.4)
head = diagram.box(12, 10, "linear layer: two scores for every token", 23, 1.9)
for x, width, name in (
    (1.6, 2.4, "[CLS]"),
    (6.2, 5.6, "question"),
    (10.6, 2.4, "[SEP]"),
    (16.4, 8.2, "passage"),
    (22.2, 2.4, "[SEP]"),
):
    colour = COLOURS[0] if name == "passage" else GREY
    diagram.box(x, 2.8, name, width, colour=colour)
    diagram.arrow((x, 3.8), (x, 5.1))
for x, name in ((1.9, "no answer"), (14.6, "start"), (18.2, "end")):
    diagram.arrow((x, 7.7), (x, 9))
    diagram.arrow((x, 11), (x, 12.3))
    diagram.text(x, 13, name, color=COLOURS[1])
plt.show()


# %% head
class SpanHead(nn.Module):
    """An encoder, and for every token two scores: to begin the answer, to end it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.scores = nn.Linear(encoder.config.hidden_size, 2)  # w_start and w_end

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.encoder(**inputs).last_hidden_state  # (batch, token, hidden)
        start, end = self.scores(hidden).unbind(-1)  # (batch, token) each
        return start, end


model = SpanHead(load_encoder("minilm"))


# %% loss
def span_loss(start, end, first, last):
    # start, end: (batch, token) scores; first, last: (batch,) the right tokens
    return (F.cross_entropy(start, first) + F.cross_entropy(end, last)) / 2


# %% labels
def answer_tokens(offsets, inside, at, answer):
    # offsets: characters of each token; at: first character of the answer
    stop = at + len(answer)
    found = [
        token
        for token, (left, right) in enumerate(offsets)
        if inside[token] and left < stop and right > at  # shares a character
    ]
    whole = found and offsets[found[0]][0] <= at and offsets[found[-1]][1] >= stop
    return (found[0], found[-1]) if whole else (0, 0)  # 0: [CLS], no answer here


read = tokenizer(
    questions[0], passage, truncation="only_second", max_length=56, stride=8,
    return_overflowing_tokens=True, return_offsets_mapping=True,
)  # fmt: skip
right = '"auto" or bool'
at = passage.index(right)
for window, offsets in enumerate(read["offset_mapping"]):
    inside = [part == 1 for part in read.sequence_ids(window)]
    print("window", window, answer_tokens(offsets, inside, at, right))


# %% decode
def best_span(start, end, allowed, longest=40):
    # start, end: (token,) scores; allowed: (token,) True inside the passage
    place = torch.arange(len(start))
    length = place[None] - place[:, None]  # (first, last)
    valid = (length >= 0) & (length < longest) & allowed[:, None] & allowed[None]
    scores = (start[:, None] + end[None]).masked_fill(~valid, -torch.inf)
    first, last = divmod(int(scores.argmax()), len(start))
    return first, last, float(scores[first, last])


# %% by_hand
def brute_force(start, end, allowed, longest=40):
    spans = [
        (float(start[first] + end[last]), first, last)
        for first in range(len(start))
        for last in range(first, min(first + longest, len(start)))
        if allowed[first] and allowed[last]
    ]
    return max(spans)


for _ in range(50):
    start, end = torch.randn(2, 30)
    allowed = torch.arange(30) >= torch.randint(1, 29, ())
    first, last, score = best_span(start, end, allowed, longest=5)
    assert (score, first, last) == brute_force(start, end, allowed, longest=5)

# %% same_as_library
library = AutoModelForQuestionAnswering.from_pretrained(model_folder("minilm")).eval()
model.encoder.load_state_dict(library.bert.state_dict(), strict=False)  # without pooler
model.scores.load_state_dict(library.qa_outputs.state_dict())
model.eval()

texts = [passage, "It returns nothing."]
inputs = tokenizer(questions[:2], texts, padding=True, return_tensors="pt")
read = tokenizer(questions[0], passage, return_offsets_mapping=True)
inside = [part == 1 for part in read.sequence_ids(0)]
both = answer_tokens(read["offset_mapping"], inside, at, right)
first, last = torch.tensor([[token, 0] for token in both])  # 0: no answer
with torch.inference_mode():
    start, end = model(**inputs)
    theirs = library(**inputs, start_positions=first, end_positions=last)
assert torch.allclose(start, theirs.start_logits, atol=1e-5)
assert torch.allclose(end, theirs.end_logits, atol=1e-5)
assert torch.allclose(span_loss(start, end, first, last), theirs.loss, atol=1e-5)

# %% train
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
losses = []
for _ in range(8):
    loss = span_loss(*model(**inputs), first, last)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 2

# %% train_values values
print(f"loss_before = {losses[0]:.1f}")  # tolerance 30%
print(f"loss_after = {losses[-1]:.1f}")  # tolerance 90%
