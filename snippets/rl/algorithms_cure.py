# %% setup
import matplotlib.pyplot as plt
import torch
from peft import PeftModel

from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import label_lines, panels, spread, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.rl.sampling import merged, sample
from llm_tutorial.rl.sentences import frame
from llm_tutorial.rl.three_words import held_out_triples, prompt_of, three_words
from llm_tutorial.tables import over_seeds, table

use_style()
cure = results("rl", "algorithms_cure")
RUNS = {name: by_seed(cure, name) for name in ("no KL", "KL 0.005", "KL 0.02")}
untrained = results("rl", "algorithms_grpo")["metrics"]["untrained"]
won = results("rl", "algorithms_pool")["metrics"]["untrained"]


# %% cures
figure, axes = panels(columns=2, height=2.6)
steps = range(1, cure["steps"] + 1)
for name, runs in RUNS.items():
    paid = [[step["reward"] for step in run["curve"]] for run in runs]
    frames = [[step["frames"] for step in run["transcript"]] for run in runs]
    spread(axes[0], steps, paid, name)
    spread(axes[1], steps, frames, name)
axes[0].set(xlabel="step", title="what the rule pays")
axes[1].set(xlabel="step", title="share of different frames", ylim=(0, 1.05))
for axis in axes:
    label_lines(axis)
plt.show()


# %% cured
KEYS = ["greedy", "sampled", "frames"]
rows = {"untrained": [f"{100 * untrained[key]:.0f}" for key in KEYS]}
rows["untrained"] += [f"{untrained[key]:.2f}" for key in ("prompted", "english")]
rows["its own successes"] = ["", "", ""]
rows["its own successes"] += [f"{won[key]:.2f}" for key in ("prompted", "english")]
for name, runs in RUNS.items():
    rows[name] = [over_seeds([100 * run[k] for run in runs], ".0f") for k in KEYS]
    rows[name] += [
        over_seeds([run[key] for run in runs], ".2f") for key in ("prompted", "english")
    ]
columns = ["", "greedy, %", "sampled, %", "frames, %", "nats, prompted", "nats, alone"]
table(rows, columns).show()

# %% cured_values values
held = RUNS["KL 0.02"]
for name, runs in RUNS.items():
    short = name.replace(" 0.", "_").replace(" ", "_")
    print(f"sampled_{short} = {100 * sum(r['sampled'] for r in runs) / len(runs):.0f}")
    print(f"greedy_{short} = {100 * sum(r['greedy'] for r in runs) / len(runs):.0f}")
    print(f"frames_{short} = {100 * sum(r['frames'] for r in runs) / len(runs):.0f}")
    second = runs[0]["transcript"][1]["core"]  # the same answers in all runs
    print(f"core_{short} = {second:.0f}")  # tolerance 50%
(free,), (weak,) = RUNS["no KL"], RUNS["KL 0.005"]
stop = range(3, 7)  # steps 4 to 7
print(f"stop_reward = {min(free['curve'][n]['reward'] for n in stop):.2f}")
print(f"stop_frames = {100 * min(free['transcript'][n]['frames'] for n in stop):.0f}")
print(f"stop_most = {100 * max(free['transcript'][n]['frames'] for n in stop):.0f}")
at = max(range(12), key=lambda n: weak["curve"][n]["reward"])
print(f"weak_best = {weak['curve'][at]['reward']:.2f}")
print(f"weak_best_frames = {100 * weak['transcript'][at]['frames']:.0f}")
print(f"late_free = {free['curve'][-1]['reward']:.2f}")
print(f"late_frames = {100 * free['transcript'][-1]['frames']:.0f}")
print(f"late_reward = {sum(r['curve'][-1]['reward'] for r in held) / len(held):.2f}")
print(f"most_kl = {max(step['kl_answer'] for r in held for step in r['curve']):.0f}")
print(f"late_kl = {sum(r['curve'][-1]['kl_answer'] for r in held) / len(held):.0f}")
print(
    f"list_step = {1 + min(range(12), key=lambda n: held[1]['transcript'][n]['room'])}"
)
print(f"lists = {100 - 100 * min(step['room'] for step in held[1]['transcript']):.0f}")
print(f"lists_later = {100 - 100 * held[1]['transcript'][-1]['room']:.0f}")
print(f"best_reward = {max(step['reward'] for step in held[1]['curve']):.2f}")
print(f"last_reward = {held[1]['curve'][-1]['reward']:.2f}")
print(f"alone = {sum(r['english'] for r in held) / len(held):.1f}")
print(f"successes = {won['successes']}")
print(f"won_alone = {won['english']:.1f}")
print(f"prompted = {sum(r['prompted'] for r in held) / len(held):.1f}")
print(f"won_prompted = {won['prompted']:.1f}")
print(f"weak_alone = {weak['english']:.1f}")
print(f"weak_reward = {weak['curve'][-1]['reward']:.2f}")

# %% live differs="sampled tokens near a tie"
tokenizer = load_tokenizer()
adapter = weights("rl", "algorithms_cure") / "adapter"
model = PeftModel.from_pretrained(load_model(), adapter)
prompts = [prompt_of(triple) for triple in held_out_triples()[:8]]
torch.manual_seed(0)
with merged(model):
    groups = sample(model, tokenizer, prompts, answers=4, max_new_tokens=24)
flat = [answer for group in groups for answer in group]
reward = three_words().score(flat).total.view(len(groups), -1)
for group, row in zip(groups, reward, strict=True):
    print(f"{row[0]:.2f}  {group[0].text}")
frames = {frame(answer.prompt, answer.text) for answer in flat}
assert len(frames) > 0.8 * len(flat) and reward.mean() > 0.8
