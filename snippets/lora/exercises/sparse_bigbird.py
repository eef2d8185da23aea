"""BigBird adds random blocks to the window. Draw them, for each block of queries,
among the blocks outside its window.

BigBird 在窗口之外再加随机的块。
请为每一块查询，从窗口以外的块里抽取。
"""

import torch

from llm_tutorial.lora.interaction import InteractionMatrix


def random_blocks(n: int, b: int, w: int, r: int) -> torch.Tensor:
    # BigBird: each block of b queries reads, besides its window,
    # r blocks drawn at random from those outside it; n is a multiple of b
    # returns the mask (n, n), True where a query reads a key
    mask = InteractionMatrix(n, block_size=b, window=w).mask()[0]
    # TODO: add the random blocks
    return mask
