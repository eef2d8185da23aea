"""What the page on fine-tuning says of Trainer, of checkpoints and of its task."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, RandomSampler
from transformers import Trainer, TrainingArguments, get_linear_schedule_with_warmup, set_seed

from llm_tutorial.data.documentation import LIBRARIES
from llm_tutorial.data.splits import key_of
from llm_tutorial.transformer.checkpoints import (
    STATE,
    JsonLines,
    last_whole_checkpoint,
    read_lines,
    small_classifier,
    small_trainer,
)
from llm_tutorial.transformer.finetune import check_labels, library_summaries, losses

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def trained(folder, callbacks=(), resume=None, **arguments):
    trainer = small_trainer(folder, callbacks, **{"max_steps": 8, "save_strategy": "no"} | arguments)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 18 steps, eight to an epoch, with checkpoints at 6, 12 and the end."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, losses(trained(folder, max_steps=18, save_strategy="steps", save_steps=6))


# --- the task ---


def test_no_sentence_stands_in_two_splits_or_in_two_libraries():
    sets = [library_summaries("train", 400), library_summaries("validation", 60), library_summaries("test", 135)]
    keys = [{key_of(text) for text, _ in each} for each in sets]
    assert [len(each) for each in keys] == [1600, 240, 540]  # none twice
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]


def test_the_libraries_are_equally_frequent_and_their_names_are_taken_out():
    found = library_summaries("test", 20)
    assert sorted(label for _, label in found) == sorted([0, 1, 2, 3] * 20)
    assert not any(name in text.lower() for text, _ in found for name in ("numpy", "scipy", "sklearn", "python"))
    assert len(LIBRARIES) == 4


def test_too_many_summaries_and_an_unknown_split_are_refused_in_both_languages():
    with pytest.raises(ValueError, match=r"(?s)summaries of .*不足 9999"):
        library_summaries("test", 9999)
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        library_summaries("dev")


@pytest.mark.parametrize("labels", [4, -1, [0, 7]])
def test_a_label_out_of_range_is_named(labels):
    with pytest.raises(ValueError, match=r"(?s)example 1 has the label .*样本 1 的标签"):
        check_labels([{"labels": 0}, {"labels": labels}], num_labels=4)
    check_labels([{"labels": [-100, 3]}], num_labels=4)


# --- the loop ---


def by_hand(clip=1.0, decay=0.1, decay_all=False, warmup=2, seed=42, order_seed=42):
    model = small_classifier()
    trainer = small_trainer(tempfile.mkdtemp())
    set_seed(seed)
    order = torch.Generator()
    sampler = RandomSampler(trainer.train_dataset, generator=order)
    batches = DataLoader(trainer.train_dataset, 16, sampler=sampler, collate_fn=trainer.data_collator)
    groups = [{"params": [], "weight_decay": each} for each in (decay, 0.0)]
    for name, parameter in model.named_parameters():
        spared = ("bias" in name or "LayerNorm" in name) and not decay_all
        groups[spared]["params"].append(parameter)
    optimizer = torch.optim.AdamW(groups, lr=1e-2, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, 16)
    history = []
    model.train()
    for epoch in range(2):
        order.manual_seed(order_seed + epoch)
        for batch in batches:
            loss = model(**batch).loss
            loss.backward()
            clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            history.append(loss.item())
    return history


@pytest.fixture(scope="module")
def by_trainer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer")
    return losses(trained(folder, max_steps=16, learning_rate=1e-2, weight_decay=0.1, warmup_steps=2))


def test_the_loop_gives_the_trainers_losses(by_trainer):
    assert by_hand() == pytest.approx(by_trainer, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"clip": 0.2}, {"decay": 0.0}, {"decay_all": True}, {"warmup": 0}, {"seed": 0}, {"order_seed": 0}],
)
def test_what_is_left_out_of_the_loop_shows(by_trainer, wrong):
    assert by_hand(**wrong) != pytest.approx(by_trainer, abs=1e-5)


def test_a_new_trainer_seeds_the_whole_program(tmp_path):
    torch.manual_seed(7)
    small_trainer(tmp_path)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(42))


# --- accumulation ---


def test_a_head_that_ignores_the_count_multiplies_loss_and_gradient(tmp_path):
    batch = {"per_device_train_batch_size": 16}
    parts = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    right = trained(tmp_path, max_steps=2, model=NO_DROPOUT, **batch)
    wrong = trained(tmp_path, max_steps=2, model=NO_DROPOUT, **parts)
    cured = small_trainer(tmp_path, max_steps=2, save_strategy="no", model=NO_DROPOUT, **parts)
    cured.model_accepts_loss_kwargs = False
    cured.train()
    own = small_trainer(tmp_path, max_steps=2, save_strategy="no", model=NO_DROPOUT, **parts)
    own.compute_loss_func = lambda outputs, labels, num_items_in_batch: (
        F.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch
    )
    own.train()
    assert losses(own) == pytest.approx(losses(right), rel=1e-5)
    norms = [trainer.state.log_history[0]["grad_norm"] for trainer in (right, wrong, cured)]
    assert losses(wrong)[0] == pytest.approx(4 * losses(right)[0], rel=1e-5)
    assert norms[1] == pytest.approx(4 * norms[0], rel=1e-4)
    assert losses(cured) == pytest.approx(losses(right), rel=1e-5)
    assert norms[2] == pytest.approx(norms[0], rel=1e-4)


# --- checkpoints ---

JOB = """
import sys
from llm_tutorial.transformer.checkpoints import JsonLines, small_trainer
folder, batch, dropout, steps, save, cured = sys.argv[1:]
model = {"hidden_dropout_prob": float(dropout), "attention_probs_dropout_prob": float(dropout)}
trainer = small_trainer(folder, [JsonLines(folder + "/log.jsonl")], model=model, max_steps=int(steps),
                        per_device_train_batch_size=int(batch), save_steps=int(save), use_cpu=True)
if cured == "cured":
    trainer.model_accepts_loss_kwargs = False
trainer.train()
"""


def environment():
    source = str(Path(__file__).parents[2] / "src")
    return os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}


def logged(folder, name="loss"):
    return [entry[name] for entry in read_lines(Path(folder) / "log.jsonl") if name in entry]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a matter of POSIX")
def test_a_run_killed_with_kill_9_goes_on_to_the_same_losses(tmp_path):
    arguments = [str(tmp_path), "16", "0.1", "40", "4", "cured"]
    job = subprocess.Popen([sys.executable, "-c", JOB, *arguments], env=environment(), stderr=subprocess.DEVNULL)
    while len(logged(tmp_path)) < 7:
        assert job.poll() is None
        time.sleep(0.005)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    done = len(logged(tmp_path))
    assert done < 40
    log = JsonLines(tmp_path / "log.jsonl")
    checkpoint = last_whole_checkpoint(tmp_path)
    assert checkpoint is not None
    again = trained(tmp_path, [log], checkpoint, max_steps=40)
    uninterrupted = losses(trained(tmp_path / "other", max_steps=40))
    assert losses(again) == pytest.approx(uninterrupted, abs=1e-6)
    assert logged(tmp_path) == losses(again)  # the log has each step once


@pytest.mark.parametrize("lost", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "position"])
def test_each_part_of_a_checkpoint_is_needed(whole, lost, tmp_path):
    folder, uninterrupted = whole
    damaged = tmp_path / "checkpoint-6"
    shutil.copytree(folder / "checkpoint-6", damaged)
    if lost == "position":
        found = losses(trained(tmp_path, resume=damaged, max_steps=18, ignore_data_skip=True))
    else:
        (damaged / lost).unlink()
        found = losses(trained(tmp_path, resume=damaged, max_steps=18))
    assert found[:6] == uninterrupted[:6]  # from the file
    assert found[6:] != pytest.approx(uninterrupted[6:], abs=1e-4)


def test_a_whole_checkpoint_gives_the_same_losses(whole, tmp_path):
    folder, uninterrupted = whole
    assert last_whole_checkpoint(folder).name == "checkpoint-18"
    for step in (6, 12):
        found = losses(trained(tmp_path, resume=folder / f"checkpoint-{step}", max_steps=18))
        assert found == pytest.approx(uninterrupted, abs=1e-6)


@pytest.mark.parametrize("content", [None, "", '{"global_st', '{"global_step": 5}', "[]"])
def test_a_half_written_checkpoint_is_passed_over(tmp_path, content):
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-5" / STATE).write_text('{"global_step": 5}')
    if content is not None:
        (tmp_path / "checkpoint-10" / STATE).write_text(content)
    (tmp_path / "checkpoint-best").mkdir()
    assert last_whole_checkpoint(tmp_path).name == "checkpoint-5"


def test_no_checkpoint_is_none(tmp_path):
    assert last_whole_checkpoint(tmp_path) is None
    assert last_whole_checkpoint(tmp_path / "nowhere") is None


def test_trainer_itself_takes_the_half_written_one(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoint-18" / STATE).unlink()
    with pytest.raises(FileNotFoundError, match=STATE):
        trained(tmp_path, resume=True, max_steps=18)
    found = losses(trained(tmp_path, resume=last_whole_checkpoint(tmp_path), max_steps=18))
    assert found == pytest.approx(whole[1], abs=1e-6)


@pytest.mark.parametrize(("size", "first"), [(8, 48), (18, 108)])
def test_a_changed_batch_size_repeats_examples_or_leaves_some_out(whole, size, first, tmp_path):
    seen = []
    trainer = small_trainer(tmp_path, max_steps=7, save_strategy="no", per_device_train_batch_size=size)
    places = {tuple(example["input_ids"]): place for place, example in enumerate(trainer.train_dataset)}
    collate = trainer.data_collator

    def noting(examples):
        seen.extend(places[tuple(example["input_ids"])] for example in examples)
        return collate(examples)

    trainer.data_collator = noting
    trainer.train(resume_from_checkpoint=whole[0] / "checkpoint-6")  # 6 batches of 16: 96 examples
    order = torch.randperm(120, generator=torch.Generator().manual_seed(42)).tolist()
    assert seen[:8] == order[first : first + 8]  # 6 batches of the other size were skipped


def test_the_best_checkpoint_survives_only_if_trainer_knows_which_it_is(tmp_path):
    often = {"max_steps": 6, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}

    def kept(folder, **more):
        falling = iter([3.0, 2.0, 1.0])  # the first evaluation is the best
        trainer = small_trainer(folder, save_total_limit=1, **often, **more)
        trainer.compute_metrics = lambda prediction: {"score": next(falling)}
        trainer.train()
        return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))

    assert kept(tmp_path / "unknown") == [6]
    assert kept(tmp_path / "known", metric_for_best_model="score", load_best_model_at_end=True) == [2]


# --- the log ---


def test_a_line_cut_off_is_left_out(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_lines(file) == [{"step": 1, "loss": 2.0}]
    assert read_lines(tmp_path / "none") == []


def test_a_fresh_run_starts_a_fresh_log(tmp_path):
    file = tmp_path / "runs" / "log.jsonl"
    for _ in range(2):
        trained(tmp_path, [JsonLines(file)], max_steps=2)
        assert [entry["step"] for entry in read_lines(file) if "loss" in entry] == [1, 2]


def test_nothing_is_reported_to_a_service(tmp_path):
    assert TrainingArguments(str(tmp_path)).report_to == []


def test_a_loss_that_is_not_a_number_is_logged_as_zero_unless_asked(tmp_path):
    high = {"learning_rate": 1e20, "max_steps": 4}
    hidden = losses(trained(tmp_path, **high))
    shown = losses(trained(tmp_path, logging_nan_inf_filter=False, **high))
    assert hidden[-1] == 0.0
    assert np.isnan(shown[-1])


# --- several processes ---


def two_processes(folder, cured):
    script = folder / "job.py"
    script.write_text(JOB)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    command += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    command += [str(script), str(folder), "8", "0", "8", "100", cured]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "checkpoint-8" / "rng_state_1.pth").exists()  # there were two


def test_two_processes_give_the_losses_of_one_while_batches_are_full(tmp_path):
    two_processes(tmp_path, "cured")
    one = losses(trained(tmp_path / "one", max_steps=8, per_device_train_batch_size=16, model=NO_DROPOUT))
    assert logged(tmp_path)[:7] == pytest.approx(one[:7], abs=1e-5)
    assert logged(tmp_path)[7] != pytest.approx(one[7], abs=1e-4)  # 8 examples left, filled up to 16


def test_without_the_cure_two_processes_double_loss_and_gradient(tmp_path):
    two_processes(tmp_path, "not cured")
    one = trained(tmp_path / "one", max_steps=1, per_device_train_batch_size=16, model=NO_DROPOUT)
    assert logged(tmp_path)[0] == pytest.approx(2 * losses(one)[0], rel=1e-5)
    assert logged(tmp_path, "grad_norm")[0] == pytest.approx(2 * one.state.log_history[0]["grad_norm"], rel=1e-4)


def test_the_cpu_switch_of_accelerate_starts_one_process_whatever_it_is_asked(tmp_path):
    script = tmp_path / "count.py"
    script.write_text("import os\nprint('world:', os.environ.get('WORLD_SIZE'))\n")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
    launch += ["--mixed_precision=no", "--dynamo_backend=no", str(script)]
    done = subprocess.run(launch, env=environment(), capture_output=True, text=True)
    assert "world: None" in done.stdout, done.stderr[-2000:]


# --- sixteen bits, and less memory ---


def test_checkpointing_and_bfloat16_change_little():
    from llm_tutorial.memory import saved_tensor_bytes

    ids = torch.randint(1000, (8, 32), generator=torch.Generator().manual_seed(0))
    model = small_classifier().train()
    batch = {"input_ids": ids, "labels": torch.tensor([0, 1, 2, 3] * 2)}

    def gradient():
        torch.manual_seed(0)
        model.zero_grad()
        model(**batch).loss.backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])

    kept, plain = saved_tensor_bytes(model, lambda: model(**batch)), gradient()
    with torch.autocast("cpu", torch.bfloat16):
        short = gradient()
    assert nn.functional.cosine_similarity(plain, short.float(), dim=0) > 0.99
    model.activation_checkpointing_enable()
    assert saved_tensor_bytes(model, lambda: model(**batch)) < kept / 3
    assert torch.allclose(gradient(), plain, atol=1e-6)


def test_on_a_cpu_trainer_computes_in_bfloat16_but_not_in_float16(tmp_path):
    exact, short, half = (
        losses(trained(tmp_path, max_steps=3, warmup_steps=0, use_cpu=True, **kind))
        for kind in ({}, {"bf16": True}, {"fp16": True})
    )
    assert short == pytest.approx(exact, abs=0.05)
    assert short != exact
    assert half == exact  # silently float32


# --- what older tutorials write ---


@pytest.mark.parametrize(
    "retired",
    [
        {"evaluation_strategy": "epoch"},
        {"warmup_ratio": 0.1},
        {"group_by_length": True},
        {"logging_dir": "logs"},
        {"no_cuda": True},
        {"overwrite_output_dir": True},
    ],
)
def test_retired_arguments_are_refused(retired, tmp_path):
    (name,) = retired
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        TrainingArguments(str(tmp_path), **retired)


def test_the_old_name_of_activation_checkpointing_warns(tmp_path):
    with pytest.warns(FutureWarning, match="Use `activation_checkpointing` instead"):
        TrainingArguments(str(tmp_path), gradient_checkpointing=True)


def test_trainer_takes_no_tokenizer_any_more(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'tokenizer'"):
        Trainer(small_classifier(), TrainingArguments(str(tmp_path)), tokenizer=None)
