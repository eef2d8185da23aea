# %% setup
import tempfile

import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    MarianConfig,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)
from transformers.trainer_pt_utils import LabelSmoother

from llm_tutorial.data.messages import PLACEHOLDER
from llm_tutorial.data.splits import key_of
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, GREY, heatmap, panels, use_style, verbatim
from llm_tutorial.results import weights
from llm_tutorial.transformer.translation import (
    fill_placeholders,
    number_placeholders,
    program_of,
    translate,
    translation_config,
    translation_data,
    translation_tokenizer,
)

use_style()

# %% architecture
BLUE, ORANGE, GREEN = COLOURS[:3]
diagram = Diagram(width=25, height=20.5)
source = diagram.text(5.5, 0.8, "Save ⟨0⟩ [END]")
written = diagram.text(18, 0.8, "[PAD] 保存 ⟨0⟩")
encoder = diagram.box(5.5, 6.8, ["self-attention", "feed-forward"], 8, 4.2, BLUE)
own = diagram.box(18, 4.9, "causal self-attention", 10.5, colour=BLUE)
cross = diagram.box(18, 9, "cross-attention", 10.5, colour=ORANGE)
feed_forward = diagram.box(18, 13, "feed-forward", 10.5, colour=BLUE)
head = diagram.box(18, 16.6, "output head", 10.5, colour=GREEN)
labels = diagram.text(18, 19.7, "保存 ⟨0⟩ [END]")
diagram.text(5.5, 10, "encoder × 2", weight="bold")
diagram.axes.add_patch(
    Rectangle((12.1, 3.2), 11.8, 11.5, facecolor="none", edgecolor=GREY, linestyle="--")
)
diagram.text(8.4, 14, "decoder × 2", weight="bold")
diagram.text(8.6, 19.2, ["labels: what each", "place is to say"], fontsize=9)
for start, end in (
    (source, encoder),
    (written, own),
    (own, cross),
    (cross, feed_forward),
    (feed_forward, head),
    (head, labels),
):
    diagram.arrow(start, end)
diagram.arrow(encoder, cross, via=[(10.9, 6.8), (10.9, 9)], color=ORANGE)
verbatim(text for text in diagram.axes.texts if "⟨0⟩" in text.get_text())

# %% data
data = translation_data()
for name, part in data.items():
    print(f"{name:10}", len(part), sorted({program_of(message) for message in part}))
seen = {key_of(text) for m in data["train"] for text in (m.english, m.chinese)}
for test in ("validation", "message", "catalogue"):
    for message in data[test]:
        assert key_of(message.english) not in seen
        assert key_of(message.chinese) not in seen
every = [message for part in data.values() for message in part]
print("关闭 translates", sorted({m.english for m in every if m.chinese == "关闭"}))
print("name:", sorted({program_of(m) for m in every if key_of(m.english) == "name"}))


# %% data_values values
def bare(text):  # without its placeholders
    return key_of(PLACEHOLDER.sub("", text))


seen = {bare(text) for m in data["train"] for text in (m.english, m.chinese)} - {""}
for test in ("message", "catalogue"):
    near = [m for m in data[test] if {bare(m.english), bare(m.chinese)} & seen]
    print(f"bare_{test} = {len(near)}")

# %% numbered
tokenizer = translation_tokenizer(data["train"])  # 3,000 tokens for both languages
pair = next(m for m in data["train"] if "%(" in m.english and len(m.english) < 40)
english = number_placeholders(pair.english, pair.english)
chinese = number_placeholders(pair.chinese, pair.english)
both = tokenizer([english], text_target=[chinese])
assert fill_placeholders(chinese, pair.english) == pair.chinese  # the way back
print(pair.english, "|", pair.chinese)
print([tokenizer.decode(token) for token in both["input_ids"][0]])
print([tokenizer.decode(token) for token in both["labels"][0]])

# %% model
config = translation_config(tokenizer)
assert isinstance(config, MarianConfig)
torch.manual_seed(0)
model = AutoModelForSeq2SeqLM.from_config(config).eval()
print(type(model).__name__, f"{model.num_parameters():,} parameters")


# %% forward
def attend(layer, x, source, mask):  # (batch, query, D), (batch, key, D)
    q, k, v = (
        project(y).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for project, y in (
            (layer.q_proj, x),  # queries come from one text,
            (layer.k_proj, source),  # keys and values from another,
            (layer.v_proj, source),  # or from the same
        )
    )  # (batch, head, token, d)
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (batch, head, query, key)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return layer.out_proj((weights @ v).transpose(1, 2).flatten(2))


def embed(stack, ids):
    places = stack.embed_positions.weight[: ids.shape[1]]  # sines and cosines
    return stack.embed_tokens(ids) * config.d_model**0.5 + places


def feed_forward(layer, x):
    inner = F.gelu(layer.fc1(x))
    return layer.final_layer_norm(x + layer.fc2(inner))


def encode(model, ids, mask):  # both (batch, source)
    x, readable = embed(model.model.encoder, ids), mask.bool()[:, None, None]
    for layer in model.model.encoder.layers:
        x = layer.self_attn_layer_norm(x + attend(layer.self_attn, x, x, readable))
        x = feed_forward(layer, x)
    return x  # (batch, source, D)


def decode(model, ids, source, mask):  # ids: (batch, target)
    x, readable = embed(model.model.decoder, ids), mask.bool()[:, None, None]
    past = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    for layer in model.model.decoder.layers:
        x = layer.self_attn_layer_norm(x + attend(layer.self_attn, x, x, past))
        crossed = attend(layer.encoder_attn, x, source, readable)
        x = layer.encoder_attn_layer_norm(x + crossed)
        x = feed_forward(layer, x)
    return x @ model.lm_head.weight.T + model.final_logits_bias  # (…, vocabulary)


# %% shift
def shift_right(labels, start, padding):  # (batch, target)
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = start
    return shifted.masked_fill(shifted == -100, padding)


short = (m for m in data["train"] if len(m.english) < 30)
pairs = [m for m in short if "%" not in m.english and "{" not in m.english][:4]
english, chinese = [m.english for m in pairs], [m.chinese for m in pairs]
batch = tokenizer(english, text_target=chinese, padding=True, return_tensors="pt")
labels = batch["labels"].masked_fill(batch["labels"] == tokenizer.pad_token_id, -100)
inputs = shift_right(labels, config.decoder_start_token_id, config.pad_token_id)
for name, row in (("the decoder reads", inputs[3]), ("and is to say", labels[3])):
    tokens = [tokenizer.decode(t) if t >= 0 else "–" for t in row.tolist()]
    print(f"{name:18}", *tokens, sep=" | ")
assert torch.equal(inputs, model.prepare_decoder_input_ids_from_labels(labels))


# %% equal
ids, mask = batch["input_ids"], batch["attention_mask"]
with torch.no_grad():
    logits = decode(model, inputs, encode(model, ids, mask), mask)
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels)
assert torch.allclose(logits, theirs.logits, atol=1e-5)
# teacher forcing: all places at once, as if each prefix had been read alone
with torch.no_grad():
    for length in range(1, inputs.shape[1] + 1):
        alone = decode(model, inputs[:, :length], encode(model, ids, mask), mask)
        assert torch.allclose(alone[:, -1], logits[:, length - 1], atol=1e-5)


# %% smoothing
def smoothed_loss(logits, labels, epsilon):  # (…, vocabulary), (…)
    said = labels != -100
    log_p = logits.log_softmax(-1)[said]  # (tokens, vocabulary)
    right = log_p.gather(1, labels[said][:, None])[:, 0]
    return ((1 - epsilon) * -right - epsilon * log_p.mean(1)).mean()


loss = smoothed_loss(logits, labels, 0.0)
assert torch.allclose(loss, theirs.loss)  # what model(labels=…) gives
for epsilon in (0.0, 0.1, 0.3):
    loss = smoothed_loss(logits, labels, epsilon)
    assert torch.allclose(loss, LabelSmoother(epsilon)(theirs, labels), atol=1e-5)
    flat = logits.flatten(0, 1), labels.flatten()
    assert torch.allclose(
        loss, F.cross_entropy(*flat, label_smoothing=epsilon), atol=1e-5
    )

# %% smoothed_optimum
epsilon, size = 0.1, len(tokenizer)
free = torch.zeros(1, size, requires_grad=True)
target = torch.tensor([7])
optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = smoothed_loss(free, target, epsilon)
    loss.backward()
    return loss


optimizer.step(closure)
p = free.softmax(-1)[0]
gap = (free[0, 7] - free[0, 8]).item()
assert abs(p[7].item() - (1 - epsilon + epsilon / size)) < 1e-3
assert abs(gap - torch.tensor(1 + size * (1 - epsilon) / epsilon).log().item()) < 0.05

# %% smoothing_values values
print(f"right_token = {p[7].item():.3f}")  # tolerance 1%
print(f"logit_gap = {gap:.1f}")  # tolerance 2%

# %% collator
collate = DataCollatorForSeq2Seq(tokenizer, model=model)
features = [tokenizer(m.english, text_target=m.chinese) for m in pairs]
collated = collate(features)
assert torch.equal(collated["labels"], labels)
assert torch.equal(collated["decoder_input_ids"], inputs)

# %% overfit
torch.manual_seed(0)
surer = translation_config(tokenizer, dropout=0.0)
learner = AutoModelForSeq2SeqLM.from_config(surer)
arguments = Seq2SeqTrainingArguments(
    tempfile.mkdtemp(),
    max_steps=80,
    per_device_train_batch_size=4,
    learning_rate=2e-3,
    lr_scheduler_type="constant",
    label_smoothing_factor=0.1,
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    use_cpu=True,
)
trainer = Seq2SeqTrainer(
    learner, arguments, data_collator=collate, train_dataset=features
)
trainer.remove_callback(PrinterCallback)
trainer.train()
for message, text in zip(pairs, translate(learner, tokenizer, pairs), strict=True):
    print(message.english, "→", text)
    assert text == message.chinese

# %% trained differs="text near a tie"
folder = weights("transformer", "translation")
model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
for test in ("message", "catalogue"):
    chosen = [m for m in data[test] if 12 < len(m.english) < 40][::120]
    for message, text in zip(chosen, translate(model, tokenizer, chosen), strict=True):
        print(f"{message.english} → {text}   [{message.chinese}]")

# %% cross_attention
ENGLISH = "The file path to open"
watched = AutoModelForSeq2SeqLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager"
)
source = tokenizer([ENGLISH], return_tensors="pt")
written = watched.generate(**source, max_length=64, do_sample=False)
with torch.no_grad():
    seen = watched(**source, decoder_input_ids=written[:, :-1], output_attentions=True)
weights_ = seen.cross_attentions[-1][0].mean(0)  # (target, source)
columns = [tokenizer.decode(token).strip() for token in source.input_ids[0]]
rows = [tokenizer.decode(token) for token in written[0, 1:]]
figure, (axes,) = panels(height=3)
heatmap(axes, weights_, rows, columns, limits=(0, 1), form=".1f")
axes.tick_params(axis="x", rotation=30)
verbatim([*axes.get_xticklabels(), *axes.get_yticklabels()])
assert torch.allclose(weights_.sum(1), torch.ones(len(rows)), atol=1e-5)


# %% count
def by_formula(sizes):
    width = sizes.d_model
    square, inner = width**2, 2 * width * sizes.encoder_ffn_dim
    encoder = sizes.encoder_layers * (4 * square + inner)
    decoder = sizes.decoder_layers * (8 * square + inner)
    return sizes.vocab_size * width + encoder + decoder


opus = MarianConfig(  # the sizes of Helsinki-NLP/opus-mt-en-zh
    vocab_size=65_001,
    d_model=512,
    encoder_layers=6,
    decoder_layers=6,
    encoder_ffn_dim=2048,
    decoder_ffn_dim=2048,
    encoder_attention_heads=8,
    decoder_attention_heads=8,
    pad_token_id=65_000,
    max_position_embeddings=512,
    decoder_start_token_id=65_000,
)
for name, sizes in (("ours", config), ("opus-mt-en-zh", opus)):
    with torch.device("meta"):
        exact = AutoModelForSeq2SeqLM.from_config(sizes).num_parameters()
    print(f"{name:14}{exact:12,} by formula {by_formula(sizes):12,}")
    assert abs(by_formula(sizes) / exact - 1) < 0.04

# %% count_values values
print(f"parameters = {model.num_parameters():,}")
numbers = 2 * opus.decoder_layers * opus.d_model  # of one token, keys and values
print(f"cache_mb = {5 * (64 + 64) * numbers * 4 / 1e6:.0f}")  # 5 beams, float32
for name, part in data.items():
    print(f"{name}_messages = {len(part):,}")
