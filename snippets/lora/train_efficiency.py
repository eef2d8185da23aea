"""Sparse attention beside dense attention and beside FlexAttention, at all lengths.

Dense attention on one thread and on two, FlexAttention on one.
"""

from functools import partial
from pathlib import Path

import torch

from llm_tutorial.lora import bench
from llm_tutorial.lora.sparse import sparse_attention
from llm_tutorial.runs import LongRun, data_digest

THREADS, FLEX_LENGTHS = (1, 2), (1024, 2048, 4096, 8192, 16384)
SECONDS, LEAST = 6, 5  # for each ratio, and at least so many pairs of runs

long_run = LongRun("efficiency", Path(__file__))
configuration = bench.Configuration()
long_run.data = {"configuration": data_digest(configuration)}


def descend() -> dict:
    """Ten steps of descent through the attention: the same losses, the same code."""
    query, key, value = configuration.inputs(1000, grad=True)
    losses = []
    for _ in range(10):
        loss = (
            (sparse_attention(query, key, value, configuration.matrix(1000)) - 1)
            .square()
            .mean()
        )
        grads = torch.autograd.grad(loss, (query, key, value))
        pairs = zip((query, key, value), grads, strict=True)
        query, key, value = (
            (x - 2e3 * grad).detach().requires_grad_() for x, grad in pairs
        )
        losses.append(loss.item())
    return {"losses": losses}


def row(length: int) -> dict:
    return {
        "pairs": 1 / configuration.matrix(length).share,
        "forward": bench.forward(configuration, length, SECONDS, least=LEAST),
        "training": bench.training(configuration, length, SECONDS, least=LEAST),
        "own choice": bench.forward(
            configuration, length, SECONDS, dense_below=None, least=LEAST
        ),
    }


def flex(length: int) -> dict:
    """By the size of FlexAttention's blocks; on one thread."""
    ratios = bench.flex(configuration, length, SECONDS, least=LEAST)
    return {str(block): value for block, value in ratios.items()}


long_run.measure("descent", descend)
for threads in THREADS:
    torch.set_num_threads(threads)
    for length in bench.LENGTHS:
        print(
            threads,
            length,
            long_run.measure(
                f"{threads} threads, {length}", partial(row, length), timed=True
            ),
            flush=True,
        )
torch.set_num_threads(1)
for length in FLEX_LENGTHS:
    print(
        "flex",
        length,
        long_run.measure(f"flex, {length}", partial(flex, length), timed=True),
        flush=True,
    )
long_run.finish(
    seeds=[0],
    steps=10,
    tolerance=0.5,
    threads=list(THREADS),
    lengths=list(bench.LENGTHS),
    flex_lengths=list(FLEX_LENGTHS),
)
