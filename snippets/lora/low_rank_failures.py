# %% setup
import tempfile
from pathlib import Path

import torch
from torch import nn

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.adapter import load_adapter, save_adapter
from llm_tutorial.lora.inject import add_lora, lora_layers
from llm_tutorial.lora.task import batches, prompt
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import answer_loss, answer_tokens, encode
from llm_tutorial.results import weights
from llm_tutorial.training import fit

tokenizer = load_tokenizer("smollm2-135m")
pairs = cldr_pairs(8)
folder = Path(tempfile.mkdtemp())


def adapted(**options):
    torch.manual_seed(0)
    return add_lora(load_model("smollm2-135m"), rank=8, **options)


# %% diverging differs="a diverging run amplifies every rounding"
def train(rate: float, alpha: float = 32, steps: int = 6) -> list[float]:
    model = adapted(alpha=alpha)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    return fit(model, batches(tokenizer, pairs[:4], batch_size=4), optimizer, steps)


good, high = train(2e-3), train(1e-1)
print("rate 2e-3:", " ".join(f"{loss:.2f}" for loss in good))
print("rate 1e-1:", " ".join(f"{loss:.2f}" for loss in high))
assert good[-1] < good[0] / 2
assert max(high[1:]) > high[0]

# %% not_a_cure differs="a diverging run amplifies every rounding"
smaller = train(1e-1, alpha=32 / 50)
print("rate 1e-1, alpha divided by 50:", " ".join(f"{loss:.2f}" for loss in smaller))
assert max(smaller[1:]) > smaller[0]

# %% diverging_cure differs="training amplifies the rounding of a processor"
cured = train(3e-3)
print("rate 3e-3:", " ".join(f"{loss:.2f}" for loss in cured))
assert cured[-1] < cured[0] / 2


# %% unmasked_prompt
def examples(pairs, **options):
    return [encode(tokenizer, prompt(p.english), p.chinese, **options) for p in pairs]


model = load_model("smollm2-135m")
masked, unmasked = examples(pairs), examples(pairs, prompt_loss=True)
with torch.no_grad():
    of_answers = float(answer_loss(model, masked))
    of_all = float(answer_loss(model, unmasked))

# %% unmasked_prompt_values values
print(f"percent_of_loss_on_prompts = {100 * (1 - of_answers / of_all):.0f}")
print(f"prompt_tokens = {answer_tokens(unmasked) - answer_tokens(masked)}")
print(f"answer_tokens = {answer_tokens(masked)}")

# %% forgotten_eval tolerance="50%"
adapter = weights("lora", "low_rank") / "rank-8"
model = load_adapter(load_model("smollm2-135m"), adapter).eval()
held_out = examples(cldr_pairs(8, "held_out"))


@torch.no_grad()
def loss() -> float:
    return float(answer_loss(model, held_out)) / answer_tokens(held_out)


calm = loss()
assert loss() == calm  # the same again
torch.manual_seed(0)
model.train()
for dropout in (0.1, 0.5):
    for _, layer in lora_layers(model):
        layer.dropout.p = dropout
    noisy = [loss() for _ in range(3)]
    times = ", ".join(f"{value / calm:.2f}" for value in noisy)
    print(f"dropout {dropout} left on: {times} times the loss in eval mode")
    assert len({calm, *noisy}) == 4  # never the same
assert max(noisy) > 2 * calm

# %% lost_head
classifier = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
pretrained = {name: weight.clone() for name, weight in classifier.state_dict().items()}
add_lora(classifier, rank=2, target_modules=["0"])
classifier[2].requires_grad_(True)  # a new head, not named in modules_to_save
nn.init.normal_(classifier[2].weight)
save_adapter(classifier, folder / "forgotten")


def reload(name: str) -> nn.Module:
    fresh = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    fresh.load_state_dict(pretrained)
    return load_adapter(fresh, folder / name)


x = torch.randn(4, 16)
print(f"head_kept_without = {torch.allclose(reload('forgotten')(x), classifier(x))}")

# %% lost_head_cure
classifier = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
classifier.load_state_dict(pretrained)
add_lora(classifier, rank=2, target_modules=["0"], modules_to_save=["2"])
for parameter in classifier.parameters():
    if parameter.requires_grad:
        nn.init.normal_(parameter)
save_adapter(classifier, folder / "complete")
kept = torch.allclose(reload("complete")(x), classifier(x), atol=1e-6)
print(f"head_kept_with = {kept}")
