"""Writing as an environment: Gymnasium's contract, its ends, its refusals, and a model that acts in it."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from transformers import LlamaConfig, LlamaForCausalLM

from llm_tutorial.models import load_tokenizer
from llm_tutorial.rl.text_environment import RewardError, TextEnvironment, answer_log_probs, checked_reward, write

TOKENIZER = load_tokenizer()


def length(prompt: str, answer: str) -> float:
    return float(len(answer))


def environment(reward=length, limit: int = 4, prompts=("one two", "three")) -> TextEnvironment:
    return TextEnvironment(TOKENIZER, prompts, reward, max_new_tokens=limit)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    return LlamaForCausalLM(config).eval()


def test_it_passes_the_checker_of_gymnasium_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment(), skip_render_check=True)


def test_copies_run_side_by_side() -> None:
    envs = gymnasium.vector.SyncVectorEnv([environment] * 3)
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (3, envs.single_observation_space.shape[0])
    _, rewards, *_ = envs.step(np.full(3, TOKENIZER.eos_token_id))
    assert rewards.tolist() == [0, 0, 0]  # empty answers, of length 0


def test_rewards_come_at_the_end_alone() -> None:
    world = environment()
    world.reset(seed=0)
    ids = TOKENIZER(" yes yes").input_ids
    steps = [world.step(token) for token in [*ids, world.end]]
    assert [step[1] for step in steps] == [0, 0, len(" yes yes")]
    assert [step[2] for step in steps] == [False, False, True]
    assert not any(step[3] for step in steps)
    assert steps[-1][4] == {"prompt": world.prompt, "answer": " yes yes", "cut": False}


def test_the_limit_ends_the_task_pays_and_says_so() -> None:
    world = environment(limit=2)
    world.reset(seed=0)
    world.step(TOKENIZER(" yes").input_ids[0])
    _, reward, terminated, truncated, info = world.step(TOKENIZER(" no").input_ids[0])
    assert (reward, terminated, truncated, info["cut"]) == (7, True, False, True)


def test_an_end_token_at_the_limit_is_no_cut() -> None:
    world = environment(limit=1)
    world.reset(seed=0)
    assert world.step(world.end)[4]["cut"] is False


def test_seeds_choose_prompts_and_options_override_them() -> None:
    world = environment(prompts=[f"prompt {i}" for i in range(20)])
    drawn = [world.reset(seed=seed)[1]["prompt"] for seed in range(10)]
    assert len(set(drawn)) > 3
    assert [world.reset(seed=seed)[1]["prompt"] for seed in range(10)] == drawn
    assert world.reset(options={"prompt": 7})[1]["prompt"] == "prompt 7"


def test_after_the_end_and_before_a_reset_nothing_can_be_written() -> None:
    world = environment()
    with pytest.raises(gymnasium.error.ResetNeeded, match="请调用 reset"):
        world.step(5)
    world.reset(seed=0)
    world.step(world.end)
    with pytest.raises(gymnasium.error.ResetNeeded):
        world.step(5)


def test_a_token_that_does_not_exist_is_refused() -> None:
    world = environment()
    world.reset(seed=0)
    for token in (-1, len(TOKENIZER)):
        with pytest.raises(gymnasium.error.InvalidAction, match="词元"):
            world.step(token)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "much"])
def test_a_reward_that_is_no_number_names_the_answer(value: object) -> None:
    world = environment(reward=lambda prompt, answer: value)
    world.reset(seed=0)
    world.step(TOKENIZER(" yes").input_ids[0])
    with pytest.raises(RewardError, match=r"(?s)' yes'.*奖励"):
        world.step(world.end)


def test_a_reward_that_raises_names_the_answer_and_the_error() -> None:
    with pytest.raises(RewardError, match=r"'sure'.*ZeroDivisionError"):
        checked_reward(lambda prompt, answer: 1 / 0, "", "sure")


def test_prompts_that_cannot_be_answered_are_refused() -> None:
    with pytest.raises(ValueError, match="没有提示词"):
        environment(prompts=[])
    with pytest.raises(ValueError, match="没有词元"):
        environment(prompts=["fine", ""])
    with pytest.raises(ValueError, match=r"(?s)context of 8.*上下文"):
        TextEnvironment(TOKENIZER, ["one two three four five six"], length, max_new_tokens=4, context=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_writes_and_is_given_the_probabilities_it_drew_from(model: LlamaForCausalLM, dtype) -> None:
    torch.manual_seed(0)
    answer = write(model.to(dtype), environment(limit=6), seed=0)
    assert len(answer.ids) == len(answer.log_probs) <= 6
    assert answer.reward == len(answer.text)
    again = answer_log_probs(model, answer.prompt_ids, answer.ids)
    assert torch.allclose(again, torch.tensor(answer.log_probs), atol=1e-4 if dtype == torch.float32 else 0.1)
    shifted = answer_log_probs(model, [5, *answer.prompt_ids], answer.ids)
    assert not torch.allclose(shifted, torch.tensor(answer.log_probs), atol=1e-3)


def test_an_answer_to_nothing_has_no_probability(model: LlamaForCausalLM) -> None:
    with pytest.raises(ValueError, match="没有词元"):
        answer_log_probs(model, [], [1])


def test_log_probabilities_have_gradients(model: LlamaForCausalLM) -> None:
    answer_log_probs(model.float(), [1, 2], [3]).sum().backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
