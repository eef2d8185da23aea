# %% setup
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch
from gymnasium.utils.env_checker import check_env
from safetensors.torch import load, save
from torch.nn import functional as F

from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, GREY, label_lines, panels, use_style
from llm_tutorial.rl.actor_critic import actor_critic_loss
from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.dialogue.belief import hear_answer, hear_values, no_belief
from llm_tutorial.rl.dialogue.domain import SLOTS, confusion, names, timetable
from llm_tutorial.rl.dialogue.environment import DialogueEnvironment, DialogueVectorEnv
from llm_tutorial.rl.dialogue.policies import ByNoise, HandWritten, evaluate, greedy
from llm_tutorial.rl.dialogue.simulator import (
    BOOK,
    CONFIRM,
    HANG_UP,
    OPEN,
    REQUEST,
    SUMMARY,
    Dialogues,
    Users,
)
from llm_tutorial.rl.dialogue.training import new_agent
from llm_tutorial.rl.dialogue.words import record, system_says, user_says, values
from llm_tutorial.rl.rollout import Collector, whole_episodes
from llm_tutorial.tables import table

torch.manual_seed(0)
np.random.seed(0)
use_style()

# %% loop_drawing
diagram = Diagram(width=24, height=12)
boxes = {
    "user": (5, 8.8, ["user", "goal and agenda"], COLOURS[1]),
    "channel": (19, 8.8, ["channel", "mishears"], GREY),
    "belief": (19, 2.6, ["belief", "a probability", "for each value"], COLOURS[2]),
    "policy": (5, 2.6, ["policy", "chooses the question"], COLOURS[0]),
}
nodes = {
    name: diagram.box(x, y, lines, width=8.8, colour=colour)
    for name, (x, y, lines, colour) in boxes.items()
}
diagram.arrow(nodes["user"], nodes["channel"])
diagram.arrow(nodes["channel"], nodes["belief"])
diagram.arrow(nodes["belief"], nodes["policy"])
diagram.arrow(nodes["policy"], nodes["user"])
diagram.text(12, 10.6, "what is said")
diagram.text(16, 5.7, "what is heard")
diagram.text(12, 0.7, "observation")
diagram.text(7.4, 5.7, "action")
plt.show()

# %% environment
environment = DialogueEnvironment(noise=0.3)
check_env(environment, skip_render_check=True)  # Gymnasium's own test of its contract

policy = HandWritten(confirm=0.8, ask=0.5, summary=True)
observation, info = environment.reset(seed=1)
over, total = False, 0.0
while not over:
    action = policy(observation[None])[0]
    observation, reward, terminated, truncated, info = environment.step(action)
    over, total = terminated or truncated, total + reward
print(info, "reward:", total)

# %% one_dialogue
goal, turns = record(policy, noise=0.3, seed=8)
print("wanted:", values(tuple(goal)))
for turn in turns:
    print(f"\nsystem: {system_says(turn)}")
    print(f"user:   {user_says(turn)}")
    if user_says(turn, heard=True) != user_says(turn):
        print(f"heard:  {user_says(turn, heard=True)}")
print(turns[-1].ended)


# %% agenda
class User:  # one that says nothing unasked, and always corrects
    def __init__(self, goal, order, patience):
        self.goal, self.order, self.patience = goal, list(order), patience
        self.stack, self.agreed = list(order), set()  # top first

    def reply(self, action, best):  # best: the values that the system has in mind
        slot, answer, useless = (action - 1) % 4, None, False
        if action == OPEN:
            useless = not self.stack
            self.stack = self.stack or list(self.order)  # says it all again
            said = {self.stack[0]}
        elif action < CONFIRM:
            useless, said = slot not in self.stack, {slot}
        else:
            asked = range(4) if action == SUMMARY else [slot]
            wrong = [each for each in asked if best[each] != self.goal[each]]
            answer, said = not wrong, set(wrong[:1])
            useless = all(each in self.agreed for each in asked)
            self.agreed |= set(asked) if answer else set()
        self.stack = [each for each in self.stack if each not in said]
        self.patience -= 1 + useless
        return said, answer


quiet = Dialogues(200, noise=0.0, users=Users(talk=0.0, correct=1.0), seed=0)
users = [
    User(*each)
    for each in zip(quiet.goal, quiet.agenda.argsort(1), quiet.patience, strict=True)
]
for _ in range(8):  # the library has the same user, for many dialogues at once
    actions = np.random.randint(0, BOOK, 200)
    quiet.step(actions)
    for i, user in enumerate(users):
        said, answer = user.reply(actions[i], quiet.best[i])
        assert said == set(np.flatnonzero(quiet.said[i]))
        assert answer is None or answer == quiet.answer[i]
        assert user.patience == quiet.patience[i]


# %% bayes
def bayes(b, heard, confidence, noise, slot=0):  # b: (values,), what is believed so far
    mistaken = noise * confusion()[slot, :, heard]  # if another value was said
    odds = (confidence / (1 - confidence)) ** 2  # Beta(4, 2) against Beta(2, 4)
    likelihood = np.where(np.arange(len(b)) == heard, (1 - noise) * odds, mistaken)
    return likelihood * b / (likelihood * b).sum()


def bayes_answer(b, yes, came, noise, q=0.6):  # to "is it the likeliest?"
    swapped = noise / 2  # yes and no are swapped less often
    right = 0.0 if came else 1 - swapped if yes else swapped
    wrong = (q if came else 1 - q) * (swapped if yes else 1 - swapped)
    likelihood = np.where(np.arange(len(b)) == b.argmax(), right, wrong)
    return likelihood * b / (likelihood * b).sum()


budapest, noise = names()[0].index("Budapest"), 0.3
by_hand, belief = [no_belief(1)[0, 0]], no_belief(1)
level, asked = np.array([noise]), np.arange(4)[None] == 0
for confidence in (0.5, 0.6):  # heard twice
    by_hand.append(bayes(by_hand[-1], budapest, confidence, noise))
    heard = np.array([[budapest, -1, -1, -1]])  # -1: nothing
    belief = hear_values(belief, heard, np.full((1, 4), confidence), level)
for yes, came in ((True, False), (False, False), (False, True), (True, True)):
    answered = bayes_answer(by_hand[2], yes, came, noise)
    library = hear_answer(belief, asked, np.array([int(yes)]), level, asked & came)
    assert np.allclose(library[0, 0], answered, atol=1e-5)
    if not came:
        by_hand.append(answered)
shown = [f"{b[budapest]:.2f}" for b in by_hand]
print("Budapest:", " → ".join(shown[:3]), f"; yes: {shown[3]}, no: {shown[4]}")

# %% belief_figure
figure, axes = panels(2, height=2.8)
for panel, slot in zip(axes, (1, 2), strict=True):
    track = np.array([no_belief(1)[0, slot], *(turn.belief[slot] for turn in turns)])
    track[:, [v for v in range(12) if track[:, v].max() < 0.3]] = np.nan
    for v in range(12):
        if not np.isnan(track[0, v]):
            colour = COLOURS[0] if v == goal[slot] else GREY
            name = names()[slot][v]
            panel.plot(range(len(track)), track[:, v], color=colour, label=name)
    panel.set(xlabel="turn", title=f"belief: {SLOTS[slot]}", ylim=(0, 1.02))
    label_lines(panel)
    for text in panel.texts:
        text.set_gid("verbatim")
plt.show()


# %% trusting
def trusting(observations):  # asks for each slot once, and books the likeliest
    times_heard = observations[:, :20].reshape(-1, 4, 5)[..., 4]
    turn, runs = np.rint(20 * observations[:, 20]).astype(int), observations[:, 22] > 0
    book = np.where(runs, BOOK, REQUEST + turn % 4)  # no such train: asks again
    return np.where(times_heard.all(1), book, REQUEST + times_heard.argmin(1))


believed = {}
for noise in (0.0, 0.1, 0.2, 0.3, 0.4):
    naive, careful, misled = (
        evaluate(each, noise, count=1000, seed=2, told=told)["success"]
        for each, told in ((trusting, None), (policy, None), (policy, 0.05))
    )
    believed[f"{noise:.0%}"] = [
        100 * each for each in ((1 - noise) ** 4, naive, careful, misled)
    ]
heads = [
    "noise", "four values right, in %", "asks once, success in %",
    "asks again when unsure", "the same, told that the noise is 5 %",
]  # fmt: skip
table(believed, heads, ".0f").show()
for four, naive, careful, _ in list(believed.values())[1:]:
    assert four + 5 < naive < careful - 5


# %% by_hand
def written_by_hand(belief, heard, turn, runs, confirm=0.8, ask=0.5):
    """belief: the largest of each slot, (slots,); runs: there is such a train"""
    if turn == 0:
        return OPEN
    unknown = (belief < ask) | ~heard
    if unknown.any():
        return REQUEST + unknown.argmax()
    doubtful = belief < confirm
    if doubtful.sum() > 1:
        return SUMMARY  # all four in one question
    if doubtful.any() or not runs:
        return CONFIRM + belief.argmin()
    return BOOK


dialogues = DialogueVectorEnv(200, noise=0.3).dialogues
for _ in range(4):  # the library has the same rule, for many dialogues at once
    seen, top = dialogues.observation(), dialogues.belief.max(-1)
    exists = timetable()[tuple(dialogues.belief.argmax(-1).T)]
    actions, heard = policy(seen), dialogues.times_heard > 0
    for one in range(200):
        own = written_by_hand(top[one], heard[one], dialogues.turn[one], exists[one])
        assert own == actions[one]
    dialogues.step(actions)


# %% imitate
agent = new_agent()  # policy and critic: two hidden layers of 32 each
optimizer = agent.optimizer(3e-3)
found = {"random weights": evaluate(greedy(agent), count=500, seed=1)}
teacher = ByNoise({0.0: policy})
shown = whole_episodes(DialogueVectorEnv(1024), teacher, seed=0)  # (turns, 1024, …)
observations, actions = shown.observations[shown.valid], shown.actions[shown.valid]
returns = returns_to_go(shown.rewards, shown.ended)[shown.valid]
for _ in range(300):
    some = torch.randint(len(actions), (1024,))
    logits, values_now = (
        agent.actor(observations[some]),
        agent.value(observations[some]),
    )
    copy = F.cross_entropy(logits, actions[some], label_smoothing=0.1)
    loss = copy + (values_now - returns[some]).square().mean() / 100  # and the critic
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
found["after imitation"] = evaluate(greedy(agent), count=500, seed=1)

# %% learn
envs = DialogueVectorEnv(256)  # one call of NumPy for 256 dialogues, noise 0 to 0.4
collector = Collector(envs, seed=0)
for _ in range(40):
    piece = collector.steps(agent, 8)  # 8 turns of each
    loss = actor_critic_loss(agent, piece, discount=1.0, decay=0.95)
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], 0.5)
    optimizer.step()
found["after 40 updates of RL"] = evaluate(greedy(agent), count=500, seed=1)
for name, each in found.items():
    print(f"{name}: reward {each['reward']:.1f}, success {each['success']:.0%}")
assert found["after 40 updates of RL"]["reward"] > found["random weights"]["reward"]

# %% saved
saved = save(agent.state_dict())  # safetensors: bytes for a file
again = new_agent()
again.load_state_dict(load(saved))
seen = envs.dialogues.observation()
assert (greedy(again)(seen) == greedy(agent)(seen)).all()
print(f"{len(saved) / 1000:.0f} kB")

# %% transcripts
for seed in (6, 11):
    goal, turns = record(policy, noise=0.3, seed=seed)
    print(values(tuple(goal)), "|", values(tuple(goal), "zh"))
    for turn in turns:
        english, chinese = (system_says(turn, each) for each in ("en", "zh"))
        print(f"system: {english} | {chinese}")
        for what, heard in (("user", False), ("heard", True)):
            english, chinese = (user_says(turn, each, heard) for each in ("en", "zh"))
            if english and (not heard or english != user_says(turn)):
                print(f"{what}: {english} | {chinese}")
    print(f"({turns[-1].ended})\n")

# %% corrections
rows = {}
for name, knows in (("ignores corrections", False), ("knows them", True)):
    found = [
        evaluate(policy, noise, count=2000, seed=3, corrections=knows)
        for noise in (0.2, 0.4)
    ]
    rows[name] = [each[key] for each in found for key in ("reward", "success")]
heads = ["belief", "reward, noise 20 %", "success", "reward, noise 40 %", "success"]
table(rows, heads, (".1f", ".0%", ".1f", ".0%")).show()
assert rows["knows them"][2] > rows["ignores corrections"][2] + 0.5

# %% cut
loops = lambda observations: np.full(len(observations), OPEN)  # noqa: E731
patient = Users(patience=(100, 100))
found = evaluate(loops, noise=0.0, users=patient, count=100)
print({name: found[name] for name in ("turns", "cut", "success")})

# %% dialogue_values values
print(f"actions = {environment.action_space.n}")
print(f"observation = {environment.observation_space.shape[0]}")
print(f"trusting_40 = {believed['40%'][1]:.0f}")  # tolerance 10%
print(f"careful_40 = {believed['40%'][2]:.0f}")  # tolerance 10%
print(f"limit = {found['turns']:.0f}")

# %% bad_input
environment.reset(seed=0)
environment.step(HANG_UP)
for wrong in (
    lambda: environment.step(OPEN),
    lambda: DialogueEnvironment(noise=1.5).reset(),
):
    try:
        wrong()
    except (gymnasium.error.ResetNeeded, ValueError) as error:
        print(str(error).splitlines()[0])
