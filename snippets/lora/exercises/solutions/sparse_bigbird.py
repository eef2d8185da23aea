import torch

from llm_tutorial.lora.interaction import InteractionMatrix


def random_blocks(n: int, b: int, w: int, r: int) -> torch.Tensor:
    mask = InteractionMatrix(n, block_size=b, window=w).mask()[0]
    blocks = mask[::b, ::b].clone()  # (n/b, n/b): the window, block by block
    drawn = torch.rand(blocks.shape).masked_fill(blocks, -1).topk(r).indices
    blocks = blocks.scatter(1, drawn, True)
    return blocks.repeat_interleave(b, 0).repeat_interleave(b, 1)
