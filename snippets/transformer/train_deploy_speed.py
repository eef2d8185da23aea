"""How fast each way to run MiniLM is beside eager PyTorch; nothing is trained.

Needs a C++ compiler and, beside what the other scripts need,
`pip install torchao==0.18.0`.
"""

# %% settings
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch.export import Dim

from llm_tutorial.models import load_encoder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.deploy import (
    INPUTS,
    export_onnx,
    quantize_onnx,
    session,
)
from llm_tutorial.transformer.sentence import SentenceEncoder

SHAPES = {
    "1 × 16": (1, 16),
    "1 × 256": (1, 256),
    "16 × 128": (16, 128),
}  # texts × tokens
ROUNDS = 11
FROZEN = {"freezing": True}  # weights are constants: packed once
long_run = LongRun("deploy_speed", Path(__file__), probed_steps=1)
long_run.data = {"shapes": data_digest(list(SHAPES.items()))}
folder = Path(tempfile.mkdtemp())


# %% contestants
def make():  # files, once
    eager = SentenceEncoder(load_encoder("minilm")).eval()
    for name, model, opset in (
        ("opset 23", eager, 23),
        ("opset 20", eager, 20),
    ):
        path = export_onnx(model, folder / f"{name}.onnx", opset=opset)
        quantize_onnx(path, folder / f"{name} int8.onnx")
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def compiled_ahead(model, threads):  # AOTInductor writes the threads into its code
    path = str(folder / f"{threads} threads.pt2")
    ids = torch.ones(2, 8, dtype=torch.long)
    sizes = {0: Dim("batch", min=2, max=4096), 1: Dim("length", min=2, max=512)}
    with torch.no_grad():
        program = torch.export.export(
            model, (ids, torch.ones_like(ids)), dynamic_shapes=(sizes, sizes)
        )
        torch._inductor.aoti_compile_and_package(
            program, package_path=path, inductor_configs=FROZEN
        )
    return torch._inductor.aoti_load_package(path)


def contestants(threads):
    import torchao.quantization as ao  # not among the dependencies of this tutorial

    eager = SentenceEncoder(load_encoder("minilm")).eval()
    eight = SentenceEncoder(load_encoder("minilm")).eval()
    ao.quantize_(eight, ao.Int8DynamicActivationInt8WeightConfig())
    found = {
        "eager": eager,
        "torch.compile": torch.compile(
            lambda ids, mask: eager(ids, mask), dynamic=True, options=FROZEN
        ),  # a function each: what was compiled is kept with the code
        "torch.export, AOTInductor": compiled_ahead(eager, threads),
        "torchao int8, compiled": torch.compile(
            lambda ids, mask: eight(ids, mask), dynamic=True, options=FROZEN
        ),
    }
    for path in sorted(folder.glob("*.onnx")):
        ready = session(path, threads)
        found[f"ONNX {path.stem}"] = lambda ids, mask, ready=ready: ready.run(
            None, dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        )
    return found


# %% measure
@torch.inference_mode()
def race(threads):
    torch.set_num_threads(threads)
    torch._dynamo.reset()
    if not any(folder.iterdir()):  # a resumed run
        make()
    runs, found = contestants(threads), {}
    generator = torch.Generator().manual_seed(0)
    for shape, (batch, length) in SHAPES.items():
        ids = torch.randint(1000, 20000, (batch, length), generator=generator)
        mask = torch.ones_like(ids)
        entered = {}
        for name, run in runs.items():
            if batch == 1 and "AOTInductor" in name:
                continue  # exported for two texts or more
            start = time.perf_counter()
            run(ids, mask)
            entered[name] = time.perf_counter() - start
        rounds = []
        for _ in range(ROUNDS):
            times = {}
            for name in entered:
                start = time.perf_counter()
                for _ in range(max(1, 64 // (batch * length // 16))):
                    runs[name](ids, mask)
                times[name] = time.perf_counter() - start
            rounds.append({name: times["eager"] / times[name] for name in times})
        found[shape] = {
            name: [
                round(value, 3)
                for value in statistics.quantiles([r[name] for r in rounds], n=4)
            ]
            for name in entered
            if name != "eager"
        }
        print(threads, shape, found[shape], flush=True)
        print({name: round(seconds, 1) for name, seconds in entered.items()})
    return found


warnings.filterwarnings("ignore")  # torchao names libraries for GPUs
long_run.measure("sizes", make, timed=True)
for threads in (1, 2):
    name = f"threads {threads}"
    long_run.measure(name, lambda threads=threads: race(threads), timed=True)
long_run.finish(steps=0, tolerance=0.5)
