import pytest


def test_the_intensity_of_the_page(answer):
    # 224 keys: 4 * 224 operations over 4 * (2 + 6 * 224 / 64) bytes
    assert answer.intensity(64, 1, 32) == pytest.approx(224 / 23, rel=1e-6), pytest.say(
        "Block 64, window 1, 32 entities: "
        "4·64·224 operations over 4·(2·64 + 6·224) bytes.",
        "块 64、窗口 1、32 个实体：4·64·224 次运算，除以 4·(2·64 + 6·224) 个字节。",
    )


def test_one_query_a_block_gathers_anew_for_each(answer):
    right = pytest.approx(201 / (2 + 6 * 201), rel=1e-6)
    assert answer.intensity(1, 100, 0) == right, pytest.say(
        "With block 1 nothing is shared between queries: "
        "about 1/6 of an operation a byte.",
        "块为 1 时，查询之间什么也不共用：每个字节约 1/6 次运算。",
    )


@pytest.mark.parametrize("ridge", [1, 9, 10, 30, 100])
def test_the_smallest_block_reaches_the_ridge_and_half_of_it_does_not(answer, ridge):
    block = answer.smallest_block(ridge, 1, 32)
    assert block & (block - 1) == 0, pytest.say(
        "The block is a power of two.", "块的大小应是 2 的幂。"
    )
    keys = 3 * block + 32
    assert block * keys / (2 * block + 6 * keys) >= ridge, pytest.say(
        f"With block {block} the memory is still the bottleneck.",
        f"块为 {block} 时，瓶颈仍是内存。",
    )
    half, keys = block // 2, 3 * (block // 2) + 32
    assert not half or half * keys / (2 * half + 6 * keys) < ridge, pytest.say(
        f"Block {half} already reaches the ridge; "
        "a larger one computes pairs for nothing.",
        f"块为 {half} 时已经达到屋脊；更大的块白算位置对。",
    )
