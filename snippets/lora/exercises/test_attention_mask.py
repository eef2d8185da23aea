import pytest
import torch

LENGTHS, N = torch.tensor([5, 3]), 5


def test_each_query_reads_what_it_may(answer):
    mask = answer.attention_mask(LENGTHS, N)
    assert mask.dtype == torch.bool and mask.shape == (2, 1, N, N), pytest.say(
        f"The mask is {mask.dtype} of shape {tuple(mask.shape)}; "
        "it should be Boolean, (batch, 1, query, key).",
        f"掩码是 {mask.dtype}，形状为 {tuple(mask.shape)}；"
        "应为布尔型，形状为 (batch, 1, query, key)。",
    )
    assert not mask[0, 0].triu(1).any(), pytest.say(
        "In the first row a query reads the future: "
        "key j may be read by query i only if j <= i.",
        "第一行里有查询读到了未来：只有 j <= i 时，查询 i 才可以读键 j。",
    )
    assert not mask[1, 0, :, 3:].any(), pytest.say(
        "The second row has 3 tokens, and its padding is read.",
        "第二行只有 3 个词元，它的填充却被读到了。",
    )
    assert mask[0, 0].diagonal().all(), pytest.say(
        "A query must read itself as well: "
        "otherwise the first row of the mask is empty, and softmax gives NaN.",
        "查询也要能读自己：否则掩码的第一行是空的，softmax 会给出 NaN。",
    )
    assert mask[0, 0].sum() == 15 and mask[1, 0].sum() == 12, pytest.say(
        f"The mask keeps {mask[0, 0].sum()} and {mask[1, 0].sum()} pairs; "
        "it should keep 15 and 12.",
        f"掩码保留了 {mask[0, 0].sum()} 和 {mask[1, 0].sum()} 对；应为 15 和 12 对。",
    )
