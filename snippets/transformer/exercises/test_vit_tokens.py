import pytest


def test_cls_counts(answer):
    tokens, _ = answer.cost(224, 16, 768, 12, 3072)
    assert tokens == 197, pytest.say(
        f"14 × 14 patches and CLS make 197 tokens, not {tokens}.",
        f"14 × 14 个图块加上 CLS 是 197 个词元，而不是 {tokens} 个。",
    )


def test_attention_counts_twice(answer):
    _, found = answer.cost(28, 7, 2, 1, 0)
    wanted = 17 * 16 + 2 * 17 * 17 * 2
    assert found == wanted, pytest.say(
        "One block of width 2 without feed-forward part: 17 tokens through four "
        "matrices of 2 × 2, then 17 × 17 scores of 2 products each, and as many for "
        f"the weighted values: {wanted}, not {found}.",
        "一个块、宽度为 2、没有前馈层：17 个词元各过四个 2 × 2 的矩阵，再加上 "
        "17 × 17 个分数各 2 次乘法，对值加权又是同样多："
        f"共 {wanted} 次，而不是 {found} 次。",
    )


def test_a_patch_of_half_the_side(answer):
    _, large = answer.cost(224, 16, 768, 12, 3072)
    _, small = answer.cost(224, 8, 768, 12, 3072)
    assert 4 < small / large < 16, pytest.say(
        "Half the side of a patch: four times the tokens, so between 4 and 16 times "
        f"the multiplications; yours: {small / large:.1f}.",
        "图块边长减半，词元是四倍，乘法应在 4 到 16 倍之间；"
        f"你的结果是 {small / large:.1f} 倍。",
    )


def test_all_layers(answer):
    _, one = answer.cost(28, 7, 64, 1, 128)
    _, four = answer.cost(28, 7, 64, 4, 128)
    assert four == 4 * one, pytest.say(
        f"Four layers cost four times one layer, not {four / one:.1f} times.",
        f"四层是一层的四倍，而不是 {four / one:.1f} 倍。",
    )
