# %% setup
import matplotlib.pyplot as plt
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)

from llm_tutorial.adherence import real_pictures
from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.plotting import image_grid, use_style, verbatim
from llm_tutorial.tables import table
from llm_tutorial.transformer.drawing import (
    draw,
    drawing_config,
    image_token_loss,
    load_artist,
)
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

use_style()
torch.set_grad_enabled(False)
vq, (artist, tokenizer) = load_image_tokenizer(), load_artist()
named = {prompt(picture): picture for picture in openmoji()}
WORDS = len(tokenizer)  # ids from here on are image tokens


def pixels(images):
    """From 0 to 1, channels last; 9 levels of each colour are light to load."""
    return ((images + 1) * 4).round().div(8).permute(0, 2, 3, 1).numpy()


def grid(rows, row_labels=(), column_labels=(), size=0.62):
    """Rows of codes as pictures."""
    shown = [pixels(vq.decode(codes)) for codes in rows]
    figure = image_grid(shown, row_labels, column_labels, size)
    verbatim(figure.axes[0].get_yticklabels() if row_labels else [])
    plt.show()


# %% row
name = "woman cook with dark skin tone"
ids = tokenizer(name, return_tensors="pt").input_ids
codes = vq.encode(real_pictures([named[name]]))
row = torch.cat([ids, WORDS + codes], 1)  # (1, words + 64)
print(tokenizer.convert_ids_to_tokens(ids[0]), "then", row[0, -64:][:5].tolist(), "…")

logits = artist(row).logits[0, -65:-1]  # before each image token
nats = nn.functional.cross_entropy(logits[:, WORDS:], codes[0])
nats_of_chance = torch.tensor(512.0).log()
assert nats < nats_of_chance

# %% row_values values
print(f"words = {WORDS}")
print(f"vocabulary = {artist.config.vocab_size}")
print(f"parameters = {artist.num_parameters()}")
print(f"nats_of_chance = {nats_of_chance:.2f}")


# %% train differs="sums of floating-point numbers"
def loss_of(model, ids, mask, codes):
    logits = model(ids, attention_mask=mask).logits[:, -65:-1, WORDS:]
    return nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten())


torch.manual_seed(0)
some = openmoji("train", "combination")[:16]
codes = vq.encode(real_pictures(some))  # (16, 64), to be predicted
model = LlamaForCausalLM(drawing_config(WORDS))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
losses = []
for _ in range(10):
    language = ("en", "zh")[torch.randint(2, ())]
    prompts = ["" if torch.rand(()) < 0.1 else prompt(p, language) for p in some]
    given = tokenizer(prompts, padding=True, return_tensors="pt")
    share = 0.7 * torch.rand(16, 1)  # of each picture
    random = torch.randint_like(codes, 512)
    read = torch.where(torch.rand(codes.shape) < share, random, codes)
    ids = torch.cat([given.input_ids, WORDS + read], 1)
    mask = torch.cat([given.attention_mask, torch.ones_like(codes)], 1)
    with torch.enable_grad():
        loss = loss_of(model, ids, mask, codes)
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
assert losses[-1] < losses[0] - 0.3
rows = list(zip(ids, mask, codes, strict=True))
summed = image_token_loss(model, rows, "cpu")  # what the long training used
assert torch.allclose(summed / codes.numel(), loss_of(model, ids, mask, codes))
print(" ".join(f"{loss:.2f}" for loss in losses))


# %% processors
class ImageTokensOnly(LogitsProcessor):
    def __call__(self, input_ids, scores):
        kept = scores.clone()
        kept[:, :WORDS] = -torch.inf
        return kept


class OurGuidance(LogitsProcessor):
    def __init__(self, scale, model, empty):
        self.scale, self.model, self.empty = scale, model, empty
        self.cache = None

    def __call__(self, input_ids, scores):
        new = input_ids[:, -1:] if self.cache else self.empty.expand(len(scores), -1)
        out = self.model(new, past_key_values=self.cache, use_cache=True)
        self.cache = out.past_key_values
        without = out.logits[:, -1].log_softmax(-1)
        return without + self.scale * (scores.log_softmax(-1) - without)


empty = tokenizer("", return_tensors="pt").input_ids  # begin and end: (1, 2)


def generate(prompts, processors, **settings):
    torch.manual_seed(0)
    given = tokenizer(prompts, padding=True, return_tensors="pt")  # on the left
    return artist.generate(
        **given, max_new_tokens=64, do_sample=True, top_k=0,
        logits_processor=LogitsProcessorList(processors), **settings,
    )[:, -64:]  # fmt: skip


def pictures_of(prompts, scale=3.0):
    guidance = [OurGuidance(scale, artist, empty)] if scale != 1 else []
    return generate(prompts, [*guidance, ImageTokensOnly()]) - WORDS


# %% cost
counted = []
hook = artist.register_forward_pre_hook(
    lambda model, args, kwargs: counted.append(kwargs["input_ids"].numel()),
    with_kwargs=True,
)
tokens_read = {}
for cached in (True, False):
    counted.clear()
    generate(["red apple"], [ImageTokensOnly()], use_cache=cached)
    tokens_read[cached] = sum(counted)
hook.remove()
t, n = 4, 64  # begin, red, apple, end; image tokens
assert tokens_read[True] == t + n - 1
assert tokens_read[False] == sum(t + step for step in range(n))
print(tokens_read)

# %% equal
prompts = ["green heart", "较深肤色的女厨师"]
ours = OurGuidance(3.0, artist, empty)
theirs = UnbatchedClassifierFreeGuidanceLogitsProcessor(
    3.0, artist, unconditional_ids=empty.expand(2, -1)
)
given = tokenizer(prompts, padding=True, return_tensors="pt")
ids, mask = given.input_ids, given.attention_mask
for _ in range(4):
    scores = artist(ids, attention_mask=mask).logits[:, -1]
    guided = ours(ids, scores)
    assert torch.allclose(guided, theirs(ids, scores), atol=1e-4)
    ids = torch.cat([ids, guided[:, WORDS:].argmax(-1, keepdim=True) + WORDS], 1)
    mask = torch.cat([mask, torch.ones(2, 1, dtype=mask.dtype)], 1)

by_library = generate(
    prompts, [ImageTokensOnly()], guidance_scale=3.0,
    negative_prompt_ids=empty.expand(2, -1),
)  # fmt: skip
assert torch.equal(by_library - WORDS, pictures_of(prompts))
assert torch.equal(draw(artist, tokenizer, prompts, guidance=3.0), pictures_of(prompts))

# %% guidance
asked = ["red apple", "woman cook with dark skin tone", "green heart", "绿心",
         "flag of Norway"]  # fmt: skip
scales = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
columns = [draw(artist, tokenizer, asked, scale, 0.6) for scale in scales]
rows = torch.stack(columns, 1)  # (prompt, scale, 64)
grid(rows, asked, [f"s = {scale:g}" for scale in scales])

# %% temperature
heats = (0.0, 0.3, 0.6, 1.0, 1.5)
cook = "woman cook with dark skin tone"
rows = [draw(artist, tokenizer, [cook] * 6, 2.0, heat) for heat in heats]
grid(rows, [f"T = {heat:g}" for heat in heats])

# %% held_out
kept_back = {prompt(picture) for picture in openmoji("test", "combination")}
held = ["green heart", "blue heart", "woman astronaut with dark skin tone",
        "teacher with medium skin tone", "man fairy with dark skin tone",
        "woman supervillain with dark skin tone"]  # fmt: skip
assert kept_back.issuperset(held)
chinese = [prompt(named[name], "zh") for name in held]
columns = {"real": vq.encode(real_pictures([named[name] for name in held]))}
for language, names in (("English", held), ("Chinese", chinese)):
    for seed in range(2):
        label = language if seed == 0 else " " * len(columns)
        columns[label] = draw(artist, tokenizer, names, 4.0, 0.6, seed)
labels = [key.strip() for key in columns]
grid(torch.stack(list(columns.values()), 1), held, labels, 0.85)

# %% words
loose = generate(["owl"] * 8, [])  # nothing keeps it to image tokens
words_share = (loose < WORDS).double().mean().item()
try:
    vq.decode(loose - WORDS)
except IndexError as error:
    print(f"IndexError: {error}; {100 * words_share:.0f} % are words")
assert (generate(["owl"] * 8, [ImageTokensOnly()]) >= WORDS).all()

# %% words_values values
print(f"words_share = {100 * words_share:.0f}")  # tolerance 30%

# %% padding
prompts = ["owl", "woman supervillain with medium-dark skin tone"]


def greedy(prompts, side):
    tokenizer.padding_side = side
    return draw(artist, tokenizer, prompts, 3.0, temperature=0)[0]


alone = greedy(prompts[:1], "left")
same = {
    side: (greedy(prompts, side) == alone).double().mean() for side in ("left", "right")
}
tokenizer.padding_side = "left"
assert same["left"] == 1
print({side: f"{share:.2f} of the tokens as alone" for side, share in same.items()})

# %% padding_values values
print(f"same_right = {100 * same['right']:.0f}")  # tolerance 90%


# %% larger
def cost(layers, width, tokens, parameters):
    """Multiplications of a guided picture, and bytes of both caches in 16 bits."""
    products = 2 * tokens * (parameters + layers * tokens * width)
    return products, 2 * 2 * 2 * layers * tokens * width


sizes = {  # layers, width, heads, image tokens, codes
    "ours": (5, 160, 5, 64, 3668),
    "LlamaGen-B": (12, 768, 12, 256, 16384),
    "LlamaGen-XL": (36, 1280, 20, 256, 16384),
    "LlamaGen-3B": (24, 3200, 32, 256, 16384),
}
rows = {}
for name, (layers, width, heads, tokens, codes) in sizes.items():
    inner = 3 * width if name == "ours" else 256 * -(-8 * width // 768)
    config = LlamaConfig(
        vocab_size=codes, hidden_size=width, intermediate_size=inner,
        num_hidden_layers=layers, num_attention_heads=heads, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta"):  # shapes without memory
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    products, cache = cost(layers, width, tokens, parameters)
    rows[name] = [
        f"{parameters / 1e6:.1f}", f"{tokens}", f"{products / 1e9:,.1f}",
        f"{cache / 2**20:.1f}",
    ]  # fmt: skip
assert rows["ours"][0] == f"{artist.num_parameters() / 1e6:.1f}"
columns = ["", "parameters, 10⁶", "image tokens", "multiplications, 10⁹",
           "cache, MiB"]  # fmt: skip
table(rows, columns).show()
