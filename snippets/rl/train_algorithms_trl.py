"""TRL's GRPOTrainer: the same model, adapter, rule, prompts and batch, one seed."""

import os
import time
from pathlib import Path

from datasets import Dataset
from peft import LoraConfig
from transformers import set_seed
from trl import GRPOConfig, GRPOTrainer

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.rl.sentences import MAX_NEW_TOKENS, measured
from llm_tutorial.rl.three_words import (
    held_out_triples,
    prompt_of,
    three_words,
    triples,
)
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS

STEPS, PROMPTS, ANSWERS, RANK, RATE = 8, 8, 8, 8, 1e-3

long_run = LongRun("algorithms_trl", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
held_out = held_out_triples()
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}
rule = three_words()


def reward(prompts, completions, **kwargs):
    return [
        rule(prompt, text) for prompt, text in zip(prompts, completions, strict=True)
    ]


def run_trl(run: str) -> dict:
    state = long_run.state_of(run)
    config = GRPOConfig(
        output_dir=str(state),
        max_steps=int(os.environ.get(PROBED_STEPS, STEPS)),
        learning_rate=RATE,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
        gradient_accumulation_steps=4,
        num_generations=ANSWERS,
        max_completion_length=MAX_NEW_TOKENS,
        loss_type="grpo",
        beta=0.0,
        temperature=1.0,
        top_k=0,
        logging_steps=1,
        save_steps=1,
        save_total_limit=1,
        seed=0,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        weight_decay=0.0,
    )
    set_seed(0)
    trainer = GRPOTrainer(
        model=load_model(),
        reward_funcs=reward,
        args=config,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        peft_config=LoraConfig(
            r=RANK,
            lora_alpha=4 * RANK,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    start = time.process_time()
    trainer.train(resume_from_checkpoint=any(state.glob("checkpoint-*")))
    curve = [
        {
            "reward": log["reward"],
            "silent": log["frac_reward_zero_std"],
            "entropy": log["entropy"],
        }
        for log in trainer.state.log_history
        if "reward" in log
    ]
    rewards = [each["reward"] for each in curve]
    rewards += rewards[-1:] * (STEPS - len(rewards))
    core = (time.process_time() - start) / len(curve)
    return {"losses": rewards, "curve": curve, "core": core} | measured(
        trainer.model, tokenizer, long_run.few(held_out), answers=2
    )


long_run.measure("TRL", lambda: run_trl("TRL"))
long_run.finish(seeds=[0], steps=STEPS)
