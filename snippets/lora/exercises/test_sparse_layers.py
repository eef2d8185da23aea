import pytest
import torch

from llm_tutorial.lora.interaction import InteractionMatrix


def measured(n: int, b: int, w: int) -> int:
    mask = InteractionMatrix(n, block_size=b, window=w).mask()[0].float()
    reach, layers = torch.eye(n), 0
    while not reach.all():
        reach, layers = ((mask @ reach) > 0).float(), layers + 1
    return layers


@pytest.mark.parametrize(
    ("n", "b", "w"),
    [(64, 8, 1), (64, 8, 2), (64, 8, 3), (65, 8, 1), (60, 8, 2), (17, 1, 1), (8, 8, 1)],
)
def test_that_many_layers_and_not_fewer(answer, n, b, w):
    layers, right = answer.layers_needed(n, b, w), measured(n, b, w)
    assert layers == int(layers), pytest.say(
        f"{layers} layers: round up to a whole number.", f"{layers} 层：请向上取整。"
    )
    assert layers >= 1, pytest.say(
        "No layer at all: even inside one block, a token reads the others through one "
        "layer.",
        "零层不够：哪怕都在同一块里，也要经过一层才能读到别的词元。",
    )
    assert layers <= right, pytest.say(
        f"n = {n}, b = {b}, w = {w}: {layers} layers are too many, {right} reach "
        "everything. Count in blocks: a layer goes w of them.",
        f"n = {n}、b = {b}、w = {w}：{layers} 层太多，{right} 层就够了。按块来数："
        "一层走 w 块。",
    )
    assert layers >= right, pytest.say(
        f"n = {n}, b = {b}, w = {w}: after {layers} layers the first token does not "
        "yet know of the last; a block begun counts as one.",
        f"n = {n}、b = {b}、w = {w}：过了 {layers} 层，第一个词元还不知道最后一个；"
        "不满的一块也算一块。",
    )
