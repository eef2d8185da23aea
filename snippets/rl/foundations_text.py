# %% setup
import matplotlib.pyplot as plt
import torch
from gymnasium.utils.env_checker import check_env

from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import COLOURS, label_lines, panels, use_style
from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.text_environment import (
    RewardError,
    TextEnvironment,
    answer_log_probs,
)
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
model, tokenizer = load_model(), load_tokenizer()

# %% loop_drawing
diagram = Diagram(width=24, height=8)
for x, lines, colour in (
    (5, ["policy", "the language model"], COLOURS[0]),
    (19, ["environment", "appends the token"], COLOURS[1]),
):
    diagram.box(x, 4, lines, width=8.6, colour=colour)
diagram.arrow((5, 5.35), (19, 5.35), via=[(5, 6.8), (19, 6.8)])
diagram.text(12, 7.4, "action: a token")
diagram.arrow((19, 2.65), (5, 2.65), via=[(19, 1.3), (5, 1.3)])
diagram.text(12, 0.6, "state: the text so far; at its end, a reward")
plt.show()


# %% environment differs="sampled tokens near a tie"
ANIMALS = ("whale", "shark", "dolphin", "octopus", "squid", "turtle", "crab", "fish")


def names_an_animal(prompt, answer):  # the rule that pays at the end
    return float(any(animal in answer.lower() for animal in ANIMALS))


question = "Name one animal of the sea."
turn = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
environment = TextEnvironment(tokenizer, [turn], names_an_animal, max_new_tokens=20)
check_env(environment, skip_render_check=True)  # Gymnasium's own test of its contract

observation, info = environment.reset(seed=0)
done = False
while not done:  # the loop of every environment, here with the model as policy
    ids = torch.from_numpy(observation[observation >= 0])[None]  # (1, tokens)
    with torch.no_grad():
        probabilities = model(ids).logits[0, -1].softmax(-1)  # pi(token | text)
    token = int(probabilities.multinomial(1))
    observation, reward, terminated, truncated, info = environment.step(token)
    done = terminated or truncated
print(repr(info["answer"]), reward)

# %% many differs="sampled tokens near a tie"
torch.manual_seed(1)
prompt = tokenizer(turn, return_tensors="pt").input_ids
written = model.generate(
    prompt.expand(32, -1), attention_mask=torch.ones(32, prompt.shape[1]).long(),
    do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=20,
    pad_token_id=tokenizer.pad_token_id or 0,
    return_dict_in_generate=True, output_logits=True,
)  # fmt: skip
answers = written.sequences[:, prompt.shape[1] :]  # (32, 20)
ended = (answers == environment.end).cumsum(1)
real = (ended - (answers == environment.end).long()) == 0  # up to the end token
texts = [
    tokenizer.decode(ids[mask], skip_special_tokens=True)
    for ids, mask in zip(answers, real, strict=True)
]
rewards = [names_an_animal(turn, text) for text in texts]
for text, reward in list(zip(texts, rewards, strict=True))[:5]:
    print(f"{reward:g}  {text!r}")

# %% log_probs
paid = min((len(text), i) for i, text in enumerate(texts) if rewards[i])[1]  # shortest
ids = answers[paid][real[paid]].tolist()
model.requires_grad_(False)
weight = model.model.norm.weight.requires_grad_()  # a small part of theta is enough
before = prompt[0].tolist()
logits = model(torch.tensor([before + ids])).logits[0]  # row i predicts token i + 1
log_probs = logits[len(before) - 1 : -1].log_softmax(-1)[range(len(ids)), ids]
assert torch.allclose(log_probs, answer_log_probs(model, before, ids))  # (tokens,)
drawn_from = torch.stack(written.logits, 1)[paid].log_softmax(-1)[range(len(ids)), ids]
assert torch.allclose(log_probs, drawn_from, atol=1e-2)  # as when it was written

# %% trajectory differs="sampled tokens near a tie"
rows = {
    f"t = {t}": [repr(tokenizer.decode([token])), f"{log_prob:.2f}", "0"]
    for t, (token, log_prob) in enumerate(zip(ids, log_probs.tolist(), strict=True))
}
rows[list(rows)[-1]][2] = "1"
rows["sentence"] = [repr(texts[paid]), f"{log_probs.sum():.2f}", "1"]
table(rows, ["", "action", "log π", "reward"]).show()


# %% two_views
def gradient(log_prob):
    return torch.autograd.grad(log_prob, weight, retain_graph=True)[0]  # (576,)


def token_by_token(gamma):  # each token credited with its own return
    last = torch.arange(len(ids)) == len(ids) - 1
    returns = returns_to_go(rewards[paid] * last.float(), last, gamma)
    return sum(G * gradient(each) for G, each in zip(returns, log_probs, strict=True))


sentence = rewards[paid] * gradient(log_probs.sum())  # one action
near = 1e-4 * sentence.abs().max()
assert torch.allclose(sentence, token_by_token(gamma=1.0), atol=near)
assert not torch.allclose(sentence, token_by_token(gamma=0.9), atol=100 * near)

# %% text_values values differs="sampled tokens near a tie" tolerance="60%"
print(f"answers = {len(texts)}")
print(f"paid = {sum(rewards):.0f}")
print(f"log_prob = {log_probs.sum():.1f}")

# %% weights
logits = torch.stack(written.logits, 1)  # (32, 20, vocabulary)


def ratios(temperature):  # pi(token) / mu(token), where mu is temperature 1
    behaviour, target = logits.log_softmax(-1), (logits / temperature).log_softmax(-1)
    ratio = (target - behaviour).gather(2, answers[..., None])[..., 0].exp()
    return torch.where(real, ratio, 1.0)  # an answer that has ended stays as it is


# %% weights_figure differs="sampled tokens near a tie" tolerance="60%"
figure, (axes,) = panels(height=2.8)
effective = {}
for temperature in (0.95, 0.9, 0.8):
    weights = ratios(temperature).cumprod(1)  # of the first 1, 2, … tokens
    sizes = weights.sum(0).square() / weights.square().sum(0)
    effective[temperature] = [sizes[0].item(), sizes[-1].item()]
    axes.plot(range(1, 21), sizes, marker="", label=f"{temperature}")
title = "effective number of 32 answers"
axes.set(xlabel="tokens", title=title, ylim=(0, 33), xticks=(1, 5, 10, 15, 20))
label_lines(axes)
plt.show()

# %% weights_values values differs="sampled tokens near a tie" tolerance="60%"
for temperature, (first, last) in effective.items():
    print(f"first_{temperature * 100:.0f} = {first:.1f}")
    print(f"last_{temperature * 100:.0f} = {last:.1f}")


# %% nan_reward
def careless(prompt, answer):  # mean length of the words after the first
    lengths = [len(word) for word in answer.split()[1:]]
    return torch.tensor(lengths, dtype=torch.float32).mean()


hasty = TextEnvironment(tokenizer, [turn], careless)
hasty.reset(seed=0)
try:
    hasty.step(environment.end)  # an empty answer
except RewardError as error:
    print(error)
