"""Sampling, scoring and training of a language model: the same numbers by a plainer way, and what bad input says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from llm_tutorial.rl.methods import grpo, ppo, reinforce, rloo
from llm_tutorial.rl.pairs import best_of, examples, pair_loss, ranked_pairs
from llm_tutorial.rl.ppo import Critic
from llm_tutorial.rl.rewards import Part, Rubric
from llm_tutorial.rl.sampling import Completion, PromptError, draw, merged, sample
from llm_tutorial.rl.scoring import check_scores, group_scores, plain_scores
from llm_tutorial.rl.sentences import frame, has_room_for_a_verb, policy
from llm_tutorial.rl.text_environment import RewardError
from llm_tutorial.rl.three_words import HELD_OUT, WORDS, prompt_of, succeeded, three_words, triples
from llm_tutorial.rl.trainer import train

PROMPTS = ["A cat", "Two birds sat in", "The"]


def other_model(kind: str):
    from transformers import AutoModelForCausalLM, GPT2Config, Qwen2Config

    torch.manual_seed(0)
    config = {
        "gpt2": GPT2Config(vocab_size=49152, n_embd=16, n_layer=2, n_head=2, n_positions=64),
        "qwen2": Qwen2Config(
            vocab_size=49152, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1,
        ),
    }[kind]  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def test_answers_are_those_of_generate(tiny, tokenizer) -> None:
    for prompt, group in zip(PROMPTS, sample(tiny, tokenizer, PROMPTS, 2, 8, temperature=0), strict=True):
        ids = tokenizer(prompt, return_tensors="pt")
        theirs = tiny.generate(**ids, max_new_tokens=8, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        assert group[0].ids == group[1].ids == theirs[0, ids.input_ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_a_group_in_one_row_scores_as_rows_of_its_own(tiny, tokenizer, kind: str) -> None:
    model = tiny if kind == "llama" else other_model(kind)
    torch.manual_seed(0)
    groups = sample(model, tokenizer, PROMPTS, 3, 6)
    packed, plain = group_scores(model, groups, hidden=True), plain_scores(model, [c for g in groups for c in g])
    torch.testing.assert_close(packed.log_probs, plain.log_probs, atol=1e-4, rtol=0)
    assert packed.hidden.shape[:2] == packed.mask.shape
    check_scores(packed, groups)


def test_gradients_of_a_group_in_one_row_are_those_of_rows_of_their_own(tiny, tokenizer) -> None:
    torch.manual_seed(0)
    groups = sample(tiny, tokenizer, PROMPTS, 3, 6)
    found = []
    for scores in (group_scores(tiny, groups), plain_scores(tiny, [c for g in groups for c in g])):
        tiny.zero_grad()
        scores.log_probs.sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in tiny.parameters()]))
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-4)


def test_drawn_tokens_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3])
    token, log_prob = draw(probabilities.log().expand(20_000, 4))
    assert (token.bincount(minlength=4) / 20_000).tolist() == pytest.approx(probabilities.tolist(), abs=0.02)
    torch.testing.assert_close(log_prob, probabilities[token].log())


def test_ended_answers_leave_the_batch_and_stay_whole(tiny, tokenizer) -> None:
    """An end token made likely: answers of many lengths, each with one end token, its last."""
    with torch.no_grad():
        tiny.model.embed_tokens.weight[:, 0] = 0
    tiny.model.embed_tokens.weight.data[tokenizer.eos_token_id] *= 3
    torch.manual_seed(1)
    answers = [c for g in sample(tiny, tokenizer, PROMPTS, 16, 10) for c in g]
    for each in answers:
        assert len(each.ids) == len(each.log_probs) <= 10
        assert tokenizer.eos_token_id not in each.ids[:-1]
        assert each.cut == (each.ids[-1] != tokenizer.eos_token_id)
    packed = group_scores(tiny, [answers[:16]])
    check_scores(packed, [answers[:16]], tolerance=1e-3)


def test_a_mask_that_the_model_ignores_is_found(tiny, tokenizer) -> None:
    torch.manual_seed(0)
    groups = sample(tiny, tokenizer, PROMPTS, 3, 6)
    scores = group_scores(tiny, groups)
    wrong = scores._replace(log_probs=scores.log_probs.roll(1, 0))
    with pytest.raises(ValueError, match=r"mask of four dimensions(.|\n)*四维的掩码"):
        check_scores(wrong, groups)


def test_a_merged_adapter_writes_the_same_and_leaves_no_rounding(tiny, tokenizer) -> None:
    model = policy(tiny, rank=2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    before = {name: p.clone() for name, p in model.named_parameters()}
    plain = sample(model, tokenizer, PROMPTS, 1, 6, temperature=0)
    with merged(model):
        fast = sample(model, tokenizer, PROMPTS, 1, 6, temperature=0)
    assert [g[0].ids for g in plain] == [g[0].ids for g in fast]
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.requires_grad == ("lora" in name) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("prompt", "context", "says"), [("", None, "has no tokens"), ("word " * 30, 40, "context of 40")]
)
def test_a_prompt_that_is_empty_or_too_long_is_named(tiny, tokenizer, prompt: str, context, says: str) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        sample(tiny, tokenizer, ["fine", prompt], 2, 24, context=context)
    assert "提示词" in str(caught.value)


# --- training


def likes_a(prompt: str, answer: str) -> float:
    return sum(letter == "a" for letter in answer) / max(len(answer), 1)


def run(model, tokenizer, method, steps: int = 3, reward=likes_a, **options):
    torch.manual_seed(0)
    adapted = policy(model, rank=2)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    if method.critic:
        parameters += list(method.critic.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    rubric = Rubric({"a": Part(1.0, reward)})
    return train(adapted, tokenizer, lambda step: PROMPTS[:2], rubric.score, method, optimizer, steps, 4, 5, **options)


METHODS = {
    "reinforce": reinforce, "rloo": rloo, "grpo": grpo, "dapo": lambda: grpo("dapo", passes=2),
    "dr_grpo with kl": lambda: grpo("dr_grpo", kl_in_reward=0.05), "grpo with kl": lambda: grpo(kl_in_loss=0.05),
    "ppo": lambda: ppo(Critic(16), kl_in_reward=0.05),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_each_method_trains_and_records(small, letters, name: str) -> None:
    records = run(small, letters, METHODS[name]())
    assert len(records) == 3
    for record in records:
        assert all(torch.isfinite(torch.tensor(value)) for value in record.values())
        assert record["a"] == pytest.approx(record["reward"])
        assert 0 <= record["silent"] <= 1
        assert ("kl" in record) == ("kl" in name or name == "ppo")


def test_the_policy_learns_what_is_paid(small, letters) -> None:
    """The share of letters that are an a; a sign turned round would lower it."""
    reward = Rubric({"a": Part(1.0, likes_a)})
    model = policy(small, rank=4)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    records = train(model, letters, lambda step: PROMPTS[:2], reward.score, rloo(), optimizer, 30, 32, 4)
    first, last = (sum(r["reward"] for r in part) / 5 for part in (records[:5], records[-5:]))
    assert last > 1.5 * first


def test_equal_rewards_leave_the_policy_as_it_is(small, letters) -> None:
    adapted = policy(small, rank=2)
    before = [p.clone() for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    rubric = Rubric({"same": Part(0.3, lambda prompt, answer: 1.0)})
    records = train(adapted, letters, lambda step: PROMPTS, rubric.score, grpo(), optimizer, 1, 4, 4)
    assert records[0]["silent"] == 1.0
    after = [p for p in adapted.parameters() if p.requires_grad]
    for one, two in zip(before, after, strict=True):
        torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


@pytest.mark.parametrize("failure", ["nan", "raises"])
def test_a_reward_that_fails_at_step_two_loses_nothing(small, letters, tmp_path: Path, failure: str) -> None:
    calls = []

    def broken(prompt: str, answer: str) -> float:
        calls.append(answer)
        if len(calls) == 12:
            if failure == "raises":
                raise KeyError("no such judge")
            return float("nan")
        return likes_a(prompt, answer)

    import copy

    untouched = copy.deepcopy(small)
    with pytest.raises(RewardError, match="奖励"):
        run(small, letters, rloo(), reward=broken, state=tmp_path / "state")
    resumed = run(copy.deepcopy(untouched), letters, rloo(), state=tmp_path / "state")
    whole = run(untouched, letters, rloo())
    assert without_time(resumed) == without_time(whole)


def without_time(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_empty_answers_are_scored_and_learned_from(small, letters, monkeypatch) -> None:
    """Every third answer is the end token alone: one token and no text."""

    def ends(logits: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        token, _ = draw(logits, temperature)
        token[::3] = letters.eos_token_id
        return token, logits.log_softmax(-1).gather(1, token[:, None])[:, 0]

    monkeypatch.setattr("llm_tutorial.rl.sampling.draw", ends)
    torch.manual_seed(0)
    answers = [c for g in sample(small, letters, PROMPTS, 8, 4) for c in g]
    assert next(c.ids for c in answers if c.text == "") == [letters.eos_token_id]
    assert three_words()(prompt_of(("cat", "hat", "moon")), "") == 0.0
    records = run(small, letters, grpo())
    assert all(torch.isfinite(torch.tensor(list(record.values()))).all() for record in records)


KILLED = """
import sys, torch, pathlib
sys.path.insert(0, {here!r})
import conftest, test_language_policy as t
model = conftest.small.__wrapped__() if hasattr(conftest.small, "__wrapped__") else conftest.small._get_wrapped_function()()
records = t.run(model, conftest.Letters(), t.ppo(t.Critic(16)), steps=6, state=pathlib.Path({state!r}))
import json; print(json.dumps(t.without_time(records)))
"""


def test_a_run_that_was_killed_goes_on_to_the_same_numbers(small, letters, tmp_path: Path) -> None:
    state = tmp_path / "state"
    code = KILLED.format(here=str(Path(__file__).parent), state=str(state))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (state / "state.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (state / "state.json").exists()
    before = len(json.loads((state / "state.json").read_text())["losses"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    whole = run(small, letters, ppo(Critic(16)), steps=6)
    assert json.loads(done.stdout) == without_time(whole)
    assert 1 <= before <= 6


def test_other_settings_start_anew(small, letters, tmp_path: Path, capsys) -> None:
    import copy

    run(copy.deepcopy(small), letters, rloo(), state=tmp_path / "state")
    run(small, letters, rloo(kl_in_reward=0.1), state=tmp_path / "state")
    assert "starting anew" in capsys.readouterr().err


def test_a_kl_without_a_reference_is_refused(small, letters) -> None:
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    rubric = Rubric({"a": Part(1.0, likes_a)})
    with pytest.raises(ValueError, match=r"needs a reference(.|\n)*需要参考模型"):
        train(small, letters, lambda _: PROMPTS, rubric.score, rloo(0.1), optimizer, 1, 2, 4)


# --- answers drawn once


def completion(text: str, ids: list[int], log_prob: float = -1.0) -> Completion:
    return Completion("", [1], ids, [log_prob] * len(ids), text, ids[-1] != 2)


def test_pairs_are_best_against_worst() -> None:
    group = [completion("a", [5, 2]), completion("b", [6, 2], -2.0), completion("c", [7, 2])]
    pairs = ranked_pairs([group, group], torch.tensor([[0.2, 0.9, 0.0], [0.5, 0.5, 0.5]]))
    assert [(pair.chosen.text, pair.rejected.text) for pair in pairs] == [("b", "c")]
    assert pairs[0].reference_chosen == -4.0
    with pytest.raises(ValueError, match="no group"):
        ranked_pairs([group], torch.zeros(1, 3))


def test_the_loss_of_pairs_begins_at_log_two(tiny, tokenizer) -> None:
    torch.manual_seed(0)
    groups = sample(tiny, tokenizer, PROMPTS, 2, 5)
    pairs = ranked_pairs(groups, torch.tensor([[0.0, 1.0]] * 3))
    assert pair_loss(tiny, pairs).item() / 3 == pytest.approx(0.6931, abs=1e-3)


def test_best_of_n_is_the_mean_over_all_choices() -> None:
    import itertools

    rewards = torch.tensor([[0.1, 0.7, 0.3, 0.9, 0.2]])
    for count in range(1, 6):
        exact = [max(each) for each in itertools.combinations(rewards[0].tolist(), count)]
        assert best_of(rewards, count) == pytest.approx(sum(exact) / len(exact))
    with pytest.raises(ValueError, match="has 5 answers"):
        best_of(rewards, 6)


def test_examples_leave_out_what_was_cut_and_what_came_twice() -> None:
    found = examples([completion("a", [5, 2]), completion("a", [5, 2]), completion("b", [6, 6])])
    assert [each.input_ids for each in found] == [[1, 5, 2]]


# --- the task


PROMPT = prompt_of(("cat", "hat", "moon"))


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("The cat wore a hat under the moon.", 1.0),
        ("The cats wore hats under the moon!", 1.0),
        ('"The cat wore a hat under the moon."', 1.0),
        ("The catalogue had a hat under the moon.", 0.8),
        ("The cat wore a hat.", 0.8),
        ("The cat wore a hat. The moon rose.", 0.8),
        ("The cat wore a hat under the moon", 0.8),
        ("cat, hat, moon", 0.8),
        ("The cat wore a hat " + "very " * 20 + "near the moon.", 0.8),
        ("", 0.0),
    ],
)
def test_the_rule_of_three_words(answer: str, reward: float) -> None:
    assert three_words()(PROMPT, answer) == pytest.approx(reward)
    assert succeeded(three_words()(PROMPT, answer)) == (reward == 1.0)


def test_the_hack_is_paid_in_full_and_seen() -> None:
    for hack in ("A cat, a hat, a moon.", "The cat and the hat and the moon of the cat."):
        assert three_words()(PROMPT, hack) == pytest.approx(1.0)
        assert not has_room_for_a_verb(PROMPT, hack)
    assert has_room_for_a_verb(PROMPT, "The cat is in a hat on the moon.")
    other = prompt_of(("bed", "dog", "lamp"))
    assert frame(PROMPT, "A cat, a hat, a moon.") == frame(other, "A bed, a dog, a lamp.")


def test_no_held_out_word_is_trained_on() -> None:
    assert not set(WORDS) & set(HELD_OUT)
    assert len(set(WORDS)) == len(WORDS)
    assert len(HELD_OUT) >= 50
    assert len(set(triples(500))) == 500
    with pytest.raises(ValueError, match="no three words"):
        three_words()("Hello", "A cat.")


def test_parts_are_weighted_clipped_and_named() -> None:
    rubric = Rubric({"one": Part(2.0, lambda p, a: 1.0), "two": Part(-1.0, lambda p, a: len(a))}, low=-1.0, high=1.5)
    assert rubric("", "") == 1.5
    assert rubric("", "abcdef") == -1.0
    scored = rubric.score([completion("ab", [5, 2])])
    assert {name: value.tolist() for name, value in scored.parts.items()} == {"one": [1.0], "two": [2.0]}
