"""How fast sparse attention is beside dense attention, as ratios measured in one run on this machine.

    python -m llm_tutorial.lora.bench --lengths 256 1024 4096 --threads 1

Each row interleaves the two, and takes the median of the ratios of neighbours: what slows the machine down slows both.
``--flex`` adds PyTorch's FlexAttention, compiled with the same mask, where there is a C++ compiler.
"""

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.sparse import sparse_attention
from llm_tutorial.timing import ratio

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
FLEX_BLOCKS = (32, 64, 128)


@dataclass(frozen=True)
class Configuration:
    """What is measured: the attention of one layer of the encoder that page ``practice`` uses."""

    heads: int = 4
    head_size: int = 64
    block_size: int = 64
    window: int = 1
    entities: int = 32

    def matrix(self, length: int) -> InteractionMatrix:
        """The interaction matrix at a length; its entities lie evenly spread."""
        count = min(self.entities, length)
        places = (torch.arange(count) * length // count)[None] if count else None
        return InteractionMatrix(length, self.block_size, self.window, places)

    def inputs(self, length: int, grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (1, heads, length, head_size), laid out as a projection leaves them."""
        generator = torch.Generator().manual_seed(0)
        shape = (1, length, self.heads, self.head_size)
        query, key, value = (
            torch.randn(shape, generator=generator).transpose(1, 2).requires_grad_(grad) for _ in range(3)
        )
        return query, key, value


def forward(
    configuration: Configuration,
    length: int,
    seconds: float = 2.0,
    dense_below: int | None = 0,
    least: int = 5,
) -> float:
    """Time of dense over sparse attention, forward.

    Args:
        configuration: What is measured.
        length: Tokens.
        seconds: To spend.
        dense_below: For `sparse_attention`: by blocks however short the sequence is, or ``None`` for its own choice.
        least: Pairs of runs at least.
    """
    inputs, matrix = configuration.inputs(length), configuration.matrix(length)
    query, key, value = (each.contiguous() for each in inputs)
    with torch.inference_mode():
        return ratio(
            lambda: F.scaled_dot_product_attention(query, key, value),
            lambda: sparse_attention(*inputs, matrix=matrix, dense_below=dense_below),
            seconds,
            least,
        )


def training(
    configuration: Configuration,
    length: int,
    seconds: float = 2.0,
    dense_below: int | None = 0,
    least: int = 5,
) -> float:
    """Time of dense over sparse attention, forward and backward; the arguments are those of `forward`."""
    inputs, matrix = configuration.inputs(length, grad=True), configuration.matrix(length)
    query, key, value = dense = tuple(each.detach().contiguous().requires_grad_() for each in inputs)
    grad = torch.ones(inputs[0].shape)
    return ratio(
        lambda: torch.autograd.grad(F.scaled_dot_product_attention(query, key, value), dense, grad),
        lambda: torch.autograd.grad(sparse_attention(*inputs, matrix=matrix, dense_below=dense_below), inputs, grad),
        seconds,
        least,
    )


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which ``torch.compile`` needs on a CPU: ``$CXX``, or else ``g++`` or ``clang++``."""
    named = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"]))


def entities_first(matrix: InteractionMatrix) -> tuple[Tensor, Callable[..., Tensor]]:
    """The layout that suits FlexAttention: entities in front, so that they fill few blocks.

    Args:
        matrix: Of one sequence, without related pairs.

    Returns:
        The order of the tokens (length,), and FlexAttention's ``mask_mod`` for tokens in this order.

    Example:
        >>> matrix = InteractionMatrix(6, block_size=2, window=0, entities=torch.tensor([[3]]))
        >>> entities_first(matrix)[0]
        tensor([3, 0, 1, 2, 4, 5])
    """
    entity = matrix.is_entity[0]
    order = torch.cat([entity.nonzero()[:, 0], (~entity).nonzero()[:, 0]])
    keeps = matrix.mask_mod()
    return order, lambda batch, head, query, key: keeps(batch, head, order[query], order[key])


def flex(
    configuration: Configuration,
    length: int,
    seconds: float = 2.0,
    blocks: Sequence[int] = FLEX_BLOCKS,
    least: int = 5,
) -> dict[int, float]:
    """Time of FlexAttention over sparse attention, forward, for each size of FlexAttention's blocks.

    It is compiled for one shape, and its tokens are laid out by `entities_first` beforehand: what that takes is not
    counted. On a CPU it has no backward pass.

    Args:
        configuration: What is measured.
        length: Tokens.
        seconds: To spend for each size, beside compiling.
        blocks: Sizes to try.
        least: Pairs of runs at least.

    Raises:
        RuntimeError: There is no C++ compiler.
        AssertionError: The two give different outputs.
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    if not has_compiler():
        raise RuntimeError(
            "FlexAttention is compiled, and there is no C++ compiler: install g++ or clang++, or name yours in CXX\n"
            "FlexAttention 需要编译，而这里没有 C++ 编译器：请安装 g++ 或 clang++，或用环境变量 CXX 指明"
        )
    inputs, matrix = configuration.inputs(length), configuration.matrix(length)
    order, keeps = entities_first(matrix)
    query, key, value = (each[:, :, order].contiguous() for each in inputs)
    ratios = {}
    for block in blocks:
        torch.compiler.reset()
        compiled = torch.compile(flex_attention, dynamic=False)  # with dynamic shapes its code for CPUs may not compile
        mask = create_block_mask(keeps, 1, None, length, length, matrix.device, BLOCK_SIZE=block)
        with torch.inference_mode():
            out = compiled(query, key, value, block_mask=mask)
            torch.testing.assert_close(out, sparse_attention(*inputs, matrix)[:, :, order], atol=1e-5, rtol=1e-4)
            ratios[block] = ratio(
                lambda mask=mask, compiled=compiled: compiled(query, key, value, block_mask=mask),  # type: ignore[misc]
                lambda: sparse_attention(*inputs, matrix=matrix),
                seconds,
                least,
            )
    return ratios


def table(
    lengths: Sequence[int] = LENGTHS, configuration: Configuration | None = None, seconds: float = 2.0
) -> list[dict[str, float]]:
    """Ratios at each length: of pairs, of the time forward, and of the time forward and backward.

    Args:
        lengths: Tokens.
        configuration: What is measured.
        seconds: For each ratio.
    """
    configuration = configuration or Configuration()
    rows = []
    for length in (bar := tqdm(lengths, desc="attention")):
        bar.set_postfix_str(f"{length} tokens")
        rows.append(
            {
                "length": length,
                "pairs": 1 / configuration.matrix(length).share,
                "forward": forward(configuration, length, seconds),
                "training": training(configuration, length, seconds),
            }
        )
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m llm_tutorial.lora.bench", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), help="tokens")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the processor")
    parser.add_argument("--heads", type=int, default=4, help="each of 64")
    parser.add_argument("--entities", type=int, default=32)
    parser.add_argument("--window", type=int, default=1, help="blocks of 64 seen to each side")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each ratio")
    parser.add_argument("--flex", action="store_true", help="FlexAttention beside it, forward")
    arguments = parser.parse_args(words)
    if min(arguments.lengths) < 1 or arguments.threads < 1:
        parser.error("lengths and threads are positive numbers")
    torch.set_num_threads(arguments.threads)
    configuration = Configuration(heads=arguments.heads, window=arguments.window, entities=arguments.entities)
    print(f"{'length':>7}{'pairs':>9}{'forward':>9}{'training':>10}   (dense over sparse, {arguments.threads} threads)")
    for row in table(arguments.lengths, configuration, arguments.seconds):
        print(f"{row['length']:7}{row['pairs']:8.1f}x{row['forward']:8.1f}x{row['training']:9.1f}x")
    if not arguments.flex:
        return
    if not has_compiler():
        print("FlexAttention is left out: it is compiled, and there is no C++ compiler here.")
        return
    print(
        f"{'length':>7}"
        + "".join(f"{f'block {block}':>11}" for block in FLEX_BLOCKS)
        + "   (FlexAttention over sparse)"
    )
    for length in arguments.lengths:
        ratios = flex(configuration, length, arguments.seconds)
        print(f"{length:7}" + "".join(f"{ratios[block]:10.1f}x" for block in FLEX_BLOCKS))


if __name__ == "__main__":
    main()
