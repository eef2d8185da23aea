# %% setup
import torch
from tqdm import tqdm

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.rl.grpo import group_advantages, grpo_loss
from llm_tutorial.rl.rewards import Part, Rubric
from llm_tutorial.rl.sampling import sample
from llm_tutorial.rl.scoring import check_scores, group_scores
from llm_tutorial.rl.sentences import policy
from llm_tutorial.rl.text_environment import RewardError
from llm_tutorial.rl.three_words import (
    prompt_of,
    three_words,
    triples,
)
from llm_tutorial.tables import table

tokenizer = load_tokenizer()
rule = three_words()
prompt = prompt_of(("engine", "farmer", "lamp"))

# %% rule
answers = [
    "The farmer repaired the engine by the light of a lamp.",
    "The farmer repaired the engine.",
    "A lamp, an engine, a farmer.",
    "The phrase refers to a farmer. His engine and his lamp are",
]
rows = {}
for answer in answers:
    parts = rule.parts_of(prompt, answer)
    rows[answer] = [*parts.values(), rule(prompt, answer)]
table(rows, ["answer", *rule.parts, "reward"], ".2f").show()
assert rows[answers[0]][-1] > 1 - 1e-6  # a sentence
assert rows[answers[2]][-1] > 1 - 1e-6  # no sentence, and the rule does not see it

# %% groups differs="sampled tokens near a tie"
torch.manual_seed(0)
model = load_model()
prompts = [prompt_of(triple) for triple in triples(3)]
groups = sample(model, tokenizer, prompts, answers=8, max_new_tokens=24)
flat = [answer for group in groups for answer in group]
rewards = rule.score(flat).total.view(len(groups), -1)  # (prompts, answers)
for group, row in zip(groups, rewards, strict=True):
    best = int(row.argmax())
    print(
        f"{row[best]:.2f} of {row.mean():.2f} ± {row.std():.2f}  {group[best].text!r}"
    )

# %% step differs="sampled tokens near a tie"
model = policy(model, rank=8)  # PEFT's LoRA in all linear layers
free = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(free, lr=1e-3, weight_decay=0.0)
prompts = [prompt_of(triple) for triple in triples(4)]

for step in tqdm(range(2)):
    batch = prompts[2 * step : 2 * step + 2]
    groups = sample(model, tokenizer, batch, answers=4, max_new_tokens=24)  # write
    flat = [answer for group in groups for answer in group]
    reward = rule.score(flat).total.view(len(batch), -1)  # score: (prompts, answers)
    advantage = group_advantages(reward).flatten()  # credit: (answers,)
    now = group_scores(model, groups)  # log-probabilities (answers, tokens)
    check_scores(now, groups)  # the same as when the answers were written
    loss = grpo_loss(
        now.log_probs, now.log_probs.detach(), advantage, now.mask, longest=24
    )
    loss.backward()  # update
    torch.nn.utils.clip_grad_norm_(free, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: reward {reward.mean():.2f}")

# %% silent differs="sampled tokens near a tie"
hard = Rubric({"exact": Part(1.0, lambda prompt, answer: answer == "12 17 35 58 90")})
question = "<|im_start|>user\nSort these numbers: 58 12 90 35 17<|im_end|>\n"
question += "<|im_start|>assistant\n"
torch.manual_seed(0)
with model.disable_adapter():
    (group,) = sample(model, tokenizer, [question], answers=8, max_new_tokens=16)
reward = hard.score(group).total
print("sorting:", reward.tolist(), group_advantages(reward[None]).tolist()[0])
whole = (rewards == 1).float()  # of the three prompts above: all or nothing
for name, each in (("all or nothing", whole), ("by parts", rewards)):
    print(f"{name}: {(each.std(1) < 1e-6).sum()} of {len(each)} groups silent")

# %% mismatch differs="sampled tokens near a tie"
torch.manual_seed(0)
hot = sample(
    model, tokenizer, prompts[:1], answers=4, max_new_tokens=12, temperature=1.5
)
with torch.no_grad():
    scores = group_scores(model, hot)
try:
    check_scores(scores, hot)
except ValueError as error:
    print(str(error).splitlines()[0])
else:
    raise AssertionError("the temperature went unnoticed")


# %% broken_reward
def vowels(prompt, answer, least=0):
    return sum(letter in "aeiou" for letter in answer) / max(len(answer), least)


try:
    Rubric({"vowels": Part(1.0, vowels)})("", "")
except RewardError as error:
    print(str(error).splitlines()[0])
cured = Rubric({"vowels": Part(1.0, lambda *text: vowels(*text, least=1))})
print(cured("", ""))
