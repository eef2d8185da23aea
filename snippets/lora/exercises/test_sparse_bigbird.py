import pytest
import torch

from llm_tutorial.lora.interaction import InteractionMatrix


@pytest.mark.parametrize(
    ("n", "b", "w", "r"), [(64, 8, 1, 2), (120, 4, 2, 3), (32, 8, 0, 1)]
)
def test_each_block_reads_its_window_and_r_others(answer, n, b, w, r):
    torch.manual_seed(0)
    mask = answer.random_blocks(n, b, w, r)
    assert mask.shape == (n, n), pytest.say(
        f"The mask must be ({n}, {n}).", f"掩码的形状应为 ({n}, {n})。"
    )
    window = InteractionMatrix(n, block_size=b, window=w).mask()[0]
    assert (mask | ~window).all(), pytest.say(
        "A pair of the window was lost.", "窗口里的位置对丢了。"
    )
    added = (mask & ~window).view(n // b, b, n // b, b).sum((1, 3))  # (n/b, n/b) pairs
    assert added.any(), pytest.say(
        "No random block was added yet.", "还没有加上随机块。"
    )
    assert ((added == 0) | (added == b * b)).all(), pytest.say(
        "A block is read in part: draw blocks, not single pairs, and read them whole.",
        "有的块只读了一部分：抽的是块，不是单个位置对，抽中就整块读。",
    )
    counts = (added > 0).sum(1)
    assert (counts == r).all(), pytest.say(
        f"Blocks read {sorted(set(counts.tolist()))} others, not {r}: "
        "draw without replacement, from outside the window.",
        f"各块另外读了 {sorted(set(counts.tolist()))} 块，应为 {r} 块："
        "不放回地抽，且只在窗口之外抽。",
    )


def test_the_blocks_are_drawn_at_random(answer):
    torch.manual_seed(0)
    masks = [answer.random_blocks(128, 4, 1, 2) for _ in range(40)]
    assert not torch.equal(masks[0], masks[1]), pytest.say(
        "Twice the same blocks.", "两次抽到的块一样。"
    )
    window = InteractionMatrix(128, block_size=4, window=1).mask()[0]
    drawn = (masks[0] & ~window)[::4, ::4]  # (32, 32)
    assert drawn.any(0).sum() > 8, pytest.say(
        "All blocks read the same others: draw for each block anew.",
        "各块抽到的都一样：每一块要各抽各的。",
    )
    # the first block's queries, keys outside its window
    outside = torch.stack(masks).float().mean(0)[:4, 8:]
    assert (outside > 0).float().mean() > 0.7, pytest.say(
        "Some blocks are never drawn; each must have the same chance.",
        "有些块永远抽不到；每一块的机会应当均等。",
    )
