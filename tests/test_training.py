"""The helper for long runs: interrupted, probed, on two processes; always the same result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = """
import json, sys
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from llm_tutorial.lora.inject import add_lora
from llm_tutorial.packing import Example
from llm_tutorial.training import fit, linear_decay

torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
))
add_lora(model, rank=4, dropout=0.1)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

def batch_at(step):
    ids = torch.randint(50, (4, 6), generator=torch.Generator().manual_seed(step)).tolist()
    return [Example(row[: 3 + place % 4 + 1], 2) for place, row in enumerate(ids)]

state = Path(sys.argv[2]) if len(sys.argv) > 2 else None
losses = fit(model, batch_at, optimizer, 60, linear_decay(optimizer, 60), state=state, save_every=5)
from accelerate import PartialState
if PartialState().is_main_process:
    Path(sys.argv[1]).write_text(json.dumps(losses))
    print("processes:", PartialState().num_processes)
"""


def environment(**extra: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | extra


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.py"
    path.write_text(RUN)
    return path


@pytest.fixture(scope="module")
def uninterrupted(script) -> list[float]:
    result = script.with_name("whole.json")
    subprocess.run([sys.executable, script, result], env=environment(), check=True, capture_output=True)
    return json.loads(result.read_text())


def test_a_run_killed_and_started_again_gives_the_same_losses(script, uninterrupted, tmp_path):
    command = [sys.executable, script, tmp_path / "losses.json", tmp_path / "state"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "state" / "state.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "losses.json").exists(), "the run ended before it could be killed"
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    assert json.loads((tmp_path / "losses.json").read_text()) == pytest.approx(uninterrupted, rel=1e-6)


def test_two_processes_give_the_losses_of_one(script, tmp_path):
    plain = script.with_name("plain.py")  # dropout draws differ between processes
    plain.write_text(RUN.replace("dropout=0.1", "dropout=0.0"))
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    subprocess.run([sys.executable, plain, one], env=environment(), check=True, capture_output=True)
    # --cpu would start one process, whatever number is asked for
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launch += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    on_cpus = environment(ACCELERATE_USE_CPU="1")
    result = subprocess.run([*launch, plain, two], env=on_cpus, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "processes: 2" in result.stdout
    assert json.loads(two.read_text()) == pytest.approx(json.loads(one.read_text()), rel=1e-4)


def test_a_probe_takes_the_first_steps_and_has_a_loss_for_each_of_the_others(script, uninterrupted, tmp_path):
    answer = tmp_path / "losses.json"
    probe = environment(LLM_TUTORIAL_PROBED_STEPS="4")
    subprocess.run([sys.executable, script, answer, tmp_path / "state"], env=probe, check=True, capture_output=True)
    losses = json.loads(answer.read_text())
    assert losses[:4] == pytest.approx(uninterrupted[:4], rel=1e-6)
    assert losses[4:] == losses[3:4] * 56
    assert not (tmp_path / "state").exists()
