"""TRL's trainers write and score; our advantages of the rewards that they saw are theirs."""

from pathlib import Path

import pytest
import torch

from llm_tutorial.rl.grpo import group_advantages
from llm_tutorial.rl.rloo import rloo_advantages

SETTINGS = {
    "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 5, "use_cpu": True, "bf16": False,
    "report_to": [], "top_k": 0, "seed": 0, "gradient_checkpointing": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings", "ours"),
    [
        ("GRPO", {"scale_rewards": "group", "beta": 0.0}, group_advantages),
        ("GRPO", {"scale_rewards": "none", "beta": 0.0}, lambda rewards: group_advantages(rewards, scale=False)),
        ("RLOO", {"beta": 0.0, "normalize_advantages": False}, rloo_advantages),
    ],
)
def test_advantages_are_those_of_the_trainer(tiny, tokenizer, tmp_path: Path, kind: str, settings: dict, ours) -> None:
    import trl
    from datasets import Dataset

    seen: list[float] = []

    def reward(completions, **kwargs):
        seen.extend(len(set(text)) / 10 for text in completions)
        return seen[-len(completions) :]

    tokenizer.pad_token = tokenizer.eos_token
    prompts = ["A cat", "Two birds sat"]
    config = getattr(trl, f"{kind}Config")(output_dir=str(tmp_path), **SETTINGS, **settings)
    trainer = getattr(trl, f"{kind}Trainer")(
        model=tiny, reward_funcs=reward, args=config, processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
    )  # fmt: skip
    inputs = [{"prompt": prompt} for prompt in prompts for _ in range(4)]
    torch.manual_seed(0)
    theirs = trainer._generate_and_score_completions(inputs)["advantages"]
    expected = ours(torch.tensor(seen).view(2, 4)).flatten()
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(theirs.float(), expected, atol=1e-5, rtol=0)
