"""The dialogue: user, channel, belief, environments, policies, words, and the reader of answers."""

from itertools import product

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.dialogue import belief as beliefs
from llm_tutorial.rl.dialogue.domain import EXISTS, SIZES, confusion, names, timetable
from llm_tutorial.rl.dialogue.environment import DialogueEnvironment, DialogueVectorEnv
from llm_tutorial.rl.dialogue.policies import ByNoise, HandWritten, evaluate, greedy
from llm_tutorial.rl.dialogue.reader import LABELS, label_scores, read_by_rule
from llm_tutorial.rl.dialogue.simulator import (
    ACTIONS,
    BOOK,
    CONFIRM,
    HANG_UP,
    OPEN,
    REQUEST,
    SUMMARY,
    Dialogues,
    Reward,
    Users,
)
from llm_tutorial.rl.dialogue.training import agreement, imitate, new_agent
from llm_tutorial.rl.dialogue.words import record, system_says, user_says, values
from llm_tutorial.rl.rollout import Collector, whole_episodes

PATIENT = Users(patience=(100, 100))


def always(action):
    return lambda observations: np.full(len(observations), action)


def test_values_have_names_in_both_languages():
    english, chinese = names(), names("zh")
    assert [len(slot) for slot in english] == [len(slot) for slot in chinese] == list(SIZES)
    for one, other in zip(english, chinese, strict=True):
        assert len(set(one)) == len(one)
        assert len(set(other)) == len(other)
        assert not set(one) & set(other)


def test_a_misheard_value_is_another_one():
    for slot, size in enumerate(SIZES):
        matrix = confusion()[slot, :size, :size]
        assert np.allclose(matrix.sum(1), 1)
        assert np.allclose(np.diag(matrix), 0)
        assert not confusion()[slot, :, size:].any()


def test_the_environment_passes_gymnasiums_checker():
    check_env(DialogueEnvironment(), skip_render_check=True)


def test_the_same_seed_gives_the_same_dialogue():
    def play():
        environment = DialogueEnvironment(noise=0.4)
        seen = [environment.reset(seed=5)[0]]
        for action in (OPEN, REQUEST, SUMMARY, BOOK):
            observation, _, terminated, truncated, _ = environment.step(action)
            seen.append(observation)
            if terminated or truncated:
                break
        return np.concatenate(seen)

    assert np.array_equal(play(), play())


def test_a_copy_that_is_over_starts_anew_in_the_next_step():
    envs = DialogueVectorEnv(3, users=PATIENT)
    envs.reset(seed=0)
    *_, terminated, _, _ = envs.step(np.array([HANG_UP, OPEN, OPEN]))
    assert terminated.tolist() == [True, False, False]
    observation, reward, terminated, _, _ = envs.step(np.array([HANG_UP, OPEN, OPEN]))
    assert reward.tolist() == [0, -1, -1]
    assert not terminated.any()
    assert envs.dialogues.turn.tolist() == [0, 2, 2]
    assert observation[0, 20] == 0


def test_belief_after_values_is_bayes_rule():
    rng = np.random.default_rng(0)
    prior = rng.random((5, 4, 12)) * EXISTS
    prior /= prior.sum(-1, keepdims=True)
    heard = np.stack([rng.integers(size, size=5) for size in SIZES], axis=1)
    heard[0] = beliefs.NOTHING
    confidence, noise = rng.uniform(0.1, 0.9, (5, 4)), np.full(5, 0.3)
    after = beliefs.hear_values(prior, heard, confidence, noise)
    assert np.allclose(after[0], prior[0], atol=1e-4)
    beta = lambda x, a, b: x ** (a - 1) * (1 - x) ** (b - 1)  # noqa: E731
    for one, slot in product(range(1, 5), range(4)):
        wanted = np.zeros(12)
        for value in range(SIZES[slot]):
            right, wrong = beta(confidence[one, slot], 4, 2), beta(confidence[one, slot], 2, 4)
            said = (
                0.7 * right if value == heard[one, slot] else 0.3 * confusion()[slot, value, heard[one, slot]] * wrong
            )
            wanted[value] = prior[one, slot, value] * said
        assert np.allclose(after[one, slot], wanted / wanted.sum(), atol=1e-4)


@pytest.mark.parametrize("answer", [0, 1])
def test_belief_after_an_answer_has_the_marginals_of_the_joint(answer):
    prior = np.zeros((1, 4, 12))
    prior[0, :, :3] = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1], [0.9, 0.05, 0.05]]
    asked = np.array([[True, True, False, True]])
    after = beliefs.hear_answer(prior, asked, np.array([answer]), np.array([0.4]))
    joint = np.einsum("a,b,c->abc", *(prior[0, slot, :3] for slot in (0, 1, 3)))
    likelihood = np.full((3, 3, 3), 0.2 if answer else 0.8)  # yes and no are swapped with 0.2
    likelihood[0, 0, 0] = 1 - likelihood[0, 0, 0]
    joint = joint * likelihood / (joint * likelihood).sum()
    for axis, slot in enumerate((0, 1, 3)):
        wanted = joint.sum(tuple(other for other in range(3) if other != axis))
        assert np.allclose(after[0, slot, :3], wanted, atol=1e-4)
    assert np.allclose(after[0, 2], prior[0, 2], atol=1e-4)  # was not asked


def calibration_error(noise):
    """Largest gap between belief and share of right values, over bins, after two requests of every slot."""
    dialogues = Dialogues(3000, noise, PATIENT, seed=0)
    for _, slot in product(range(2), range(4)):
        dialogues.step(np.full(3000, REQUEST + slot))
    top, right = dialogues.belief.max(-1).ravel(), (dialogues.belief.argmax(-1) == dialogues.goal).ravel()
    gaps = []
    for low in (0.4, 0.6, 0.8, 0.95):
        some = (top >= low) & (top < low + 0.2)
        if some.sum() > 200:
            gaps.append(abs(top[some].mean() - right[some].mean()))
    return max(gaps)


def test_the_belief_is_calibrated_and_with_the_wrong_noise_it_is_not():
    assert calibration_error(0.4) < 0.06
    dialogues = Dialogues(3000, 0.4, PATIENT, seed=0)
    for slot in range(4):
        dialogues.step(np.full(3000, REQUEST + slot))
    belief = beliefs.hear_values(beliefs.no_belief(3000), dialogues.heard, dialogues.confidence, np.full(3000, 0.02))[
        :, 3
    ]
    said = dialogues.heard[:, 3] != beliefs.NOTHING
    top, right = belief.max(-1)[said], (belief.argmax(-1) == dialogues.goal[:, 3])[said]
    assert top.mean() - right.mean() > 0.1  # too sure


def gap_after_a_confirmation(corrections):
    """Belief less share of right values, where "yes" and a value were heard in answer over a bad line."""
    dialogues = Dialogues(4000, 0.4, PATIENT, seed=0, corrections=corrections)
    for action in (REQUEST, CONFIRM):
        dialogues.step(np.full(4000, action))
    top, right = dialogues.belief[:, 0].max(-1), dialogues.belief[:, 0].argmax(-1) == dialogues.goal[:, 0]
    some = (dialogues.heard_answer == 1) & (dialogues.heard[:, 0] != beliefs.NOTHING)
    return top[some].mean() - right[some].mean()


def test_a_belief_that_ignores_corrections_is_too_sure():
    assert abs(gap_after_a_confirmation(corrections=True)) < 0.06
    assert gap_after_a_confirmation(corrections=False) > 0.1


def test_a_value_that_comes_with_an_answer_makes_it_a_no():
    prior, asked = np.zeros((1, 4, 12)), np.array([[True, False, False, False]])
    prior[0, :, :2] = [0.7, 0.3]
    for answer in (0, 1):
        said = prior.copy(), asked, np.array([answer]), np.array([0.3])
        assert beliefs.hear_answer(*said, came=asked)[0, 0, 0] < 1e-4
    alone = beliefs.hear_answer(*said, came=~asked & False)  # a yes without a value
    right, wrong = 0.7 * 0.85, 0.3 * 0.15 * 0.4
    assert alone[0, 0, 0] == pytest.approx(right / (right + wrong), abs=1e-4)


def test_a_corrected_summary_leaves_the_other_slots_as_they_were():
    prior = np.zeros((1, 4, 12))
    prior[0, :, :3] = [[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1]]
    asked = np.ones((1, 4), dtype=bool)
    came = np.array([[False, False, True, False]])
    after = beliefs.hear_answer(prior, asked, np.array([0]), np.array([0.3]), came)
    for slot in (0, 1, 3):  # by the joint belief: the third is wrong for certain, and that explains the no
        assert np.allclose(after[0, slot], prior[0, slot], atol=1e-4)
    assert np.allclose(after[0, 2, :3], [0, 0.75, 0.25], atol=1e-4)


def test_a_wrong_noise_costs_success():
    rule = HandWritten(confirm=0.8, ask=0.5, summary=True)
    found = [evaluate(rule, 0.4, count=1000, told=told)["success"] for told in (None, 0.05)]
    assert found[0] > found[1] + 0.1


def test_agreement_counts_equal_actions():
    teacher = ByNoise({0.0: HandWritten()})
    assert agreement(HandWritten(), teacher, dialogues=50) == 1
    assert agreement(always(HANG_UP), teacher, dialogues=50) == 0


def test_without_noise_every_dialogue_of_the_hand_written_policy_succeeds():
    found = evaluate(HandWritten(), noise=0.0, count=300)
    assert found["success"] == 1
    assert found["reward"] == pytest.approx(20 - found["turns"])


def test_every_dialogue_ends_in_one_way():
    for policy in (HandWritten(), always(OPEN), always(BOOK), greedy(new_agent())):
        found = evaluate(policy, noise=0.3, count=200)
        assert sum(found[end] for end in ("success", "wrong", "lost", "gave_up", "cut")) == pytest.approx(1)


def test_a_train_that_does_not_run_is_not_booked():
    dialogues = Dialogues(200, noise=0.0, users=PATIENT, seed=0)
    dialogues.belief[:] = EXISTS / EXISTS.sum(1, keepdims=True)
    _, terminated, _ = dialogues.step(np.full(200, BOOK))  # from and to: the same city
    assert not terminated.any()
    assert not timetable()[0, 0].any()


def test_useless_questions_cost_patience():
    asked_twice, asked_well = (Dialogues(50, 0.0, Users((9, 9), talk=0.0), seed=0) for _ in range(2))
    for first, second in ((REQUEST, REQUEST), (REQUEST, REQUEST + 1)):
        dialogues = asked_twice if first == second else asked_well
        for action in (first, second):
            dialogues.step(np.full(50, action))
    assert (asked_twice.patience == 6).all()
    assert (asked_well.patience == 7).all()


def test_a_user_without_patience_hangs_up():
    found = evaluate(always(REQUEST), noise=0.0, users=Users(patience=(4, 4)), count=50)
    assert found["lost"] == 1
    assert found["turns"] < 5


def test_a_user_that_never_ends_is_cut():
    found = evaluate(always(OPEN), noise=0.0, users=PATIENT, count=50)
    assert found["cut"] == 1
    assert found["turns"] == 20


def test_goals_change_once_and_stay_possible():
    dialogues = Dialogues(300, 0.0, Users((100, 100), change=0.5), seed=0)
    before = dialogues.goal.copy()
    for _ in range(6):
        dialogues.step(np.full(300, OPEN))
    assert ((dialogues.goal != before).sum(1) <= 1).all()
    assert (dialogues.goal != before).any(1).mean() > 0.8
    assert timetable()[tuple(dialogues.goal.T)].all()


def test_a_yes_is_paid_where_the_reward_says_so():
    dialogues = Dialogues(100, 0.0, PATIENT, Reward(confirmed=3.0), seed=0)
    for slot in range(4):
        dialogues.step(np.full(100, REQUEST + slot))
    rewards, _, _ = dialogues.step(np.full(100, CONFIRM))
    assert (rewards == 2).all()


@pytest.mark.parametrize("noise", [1.0, -0.1, (0.4, 0.2)])
def test_noise_that_is_no_probability_is_refused(noise):
    with pytest.raises(ValueError, match="噪声"):
        Dialogues(1, noise)


def test_patience_that_is_no_range_is_refused():
    with pytest.raises(ValueError, match="耐心"):
        Dialogues(1, users=Users(patience=(5, 3)))


def test_calls_out_of_order_are_refused_in_both_languages():
    environment = DialogueEnvironment()
    with pytest.raises(gymnasium.error.ResetNeeded, match="请调用 reset"):
        environment.step(OPEN)
    environment.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match="没有编号为 12"):
        environment.step(ACTIONS)
    environment.step(HANG_UP)
    with pytest.raises(gymnasium.error.ResetNeeded, match="the dialogue is over"):
        environment.step(OPEN)


def test_a_policy_by_noise_is_that_of_the_nearest_rate():
    policy = ByNoise({0.0: always(OPEN), 0.4: always(BOOK)})
    quiet, loud = (Dialogues(3, noise, seed=0).observation() for noise in (0.1, 0.3))
    assert (policy(quiet) == OPEN).all()
    assert (policy(loud) == BOOK).all()


def test_imitation_acts_like_the_teacher():
    torch.manual_seed(0)
    teacher, agent = ByNoise({0.0: HandWritten()}), new_agent()
    imitate(agent, teacher, dialogues=512, steps=150)
    seen = whole_episodes(DialogueVectorEnv(200), teacher, seed=9)
    observations = seen.observations[seen.valid].numpy()
    assert (greedy(agent)(observations) == teacher(observations)).mean() > 0.6
    returns = returns_to_go(seen.rewards, seen.ended)[seen.valid]
    guesses = agent.value(seen.observations[seen.valid]).detach()
    assert (guesses - returns).square().mean() < returns.var()


def test_a_vector_environment_collects():
    rollout = Collector(DialogueVectorEnv(16), seed=0).steps(new_agent(), 10)
    assert rollout.ended.any()
    assert not rollout.valid.all()
    assert (~rollout.valid[1:] == rollout.ended[:-1]).all()


def test_transcripts_say_the_same_in_both_languages():
    goal, turns = record(HandWritten(confirm=0.8, ask=0.5, summary=True), noise=0.3, seed=6)
    assert turns[-1].ended == "wrong"
    assert values(tuple(goal)) == "from Bucharest to Paris on Sunday in the evening"
    for turn in turns:
        for say in (system_says, lambda turn, language: user_says(turn, language)):
            english, chinese = say(turn, "en"), say(turn, "zh")
            assert bool(english) == bool(chinese)
            assert not english or english != chinese


def test_the_rule_reads_words_and_misses_the_rest():
    assert [read_by_rule(text) for text in ("Yes.", "That's not it", "Don’t", "By all means")] == [
        "yes", "no", "no", "other",
    ]  # fmt: skip


class Words:
    """A tokenizer of whole words."""

    def __call__(self, text, return_tensors=None, add_special_tokens=True):
        ids = [sum(map(ord, word)) % 97 for word in text.split()]
        return type("Encoded", (), {"input_ids": torch.tensor([ids]) if return_tensors else ids})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_labels_are_scored_as_in_one_pass(dtype):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    model, words = LlamaForCausalLM(config).to(dtype).eval(), Words()
    scores = label_scores(model, words, "say yes or no", ["first text", "a second one"], "{} Answer:")
    ids = words("say yes or no a second one Answer:", return_tensors="pt").input_ids
    labels = [words(label).input_ids[0] for label in LABELS]
    wanted = model(ids).logits[0, -1, labels].float().log_softmax(-1)
    assert torch.allclose(scores[1], wanted, atol=1e-4 if dtype == torch.float32 else 0.05)
    assert scores.dtype == torch.float32
    assert torch.allclose(scores.exp().sum(1), torch.ones(2))


def test_labels_that_begin_alike_are_refused():
    same = type("Same", (), {"__call__": lambda self, text, **_: type("E", (), {"input_ids": [1]})})()
    with pytest.raises(ValueError, match="相同"):
        label_scores(torch.nn.Linear(1, 1), same, "", [], "{}")
