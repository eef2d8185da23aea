import pytest
import torch

from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.plan import Plan


def library(length: int, block: int, window: int, entities: int) -> int:
    places = torch.arange(entities)[None]
    return Plan(InteractionMatrix(length, block, window, places), 1).computed


def test_a_window_alone(answer):
    assert answer.computed_pairs(1024, 64, 0, 0) == 1024 * 64, pytest.say(
        "With window 0 and no entity, each query reads the 64 keys of its own block.",
        "窗口为 0、没有实体时，每个查询只读自己那一块的 64 个键。",
    )
    assert answer.computed_pairs(1024, 64, 1, 0) == 1024 * 192, pytest.say(
        "With window 1, each query reads three blocks; "
        "those beyond the ends are computed as well, and masked.",
        "窗口为 1 时，每个查询读三块；两端之外的块也会计算，只是被屏蔽。",
    )


def test_entities_are_read_and_read_all(answer):
    right = library(1024, 64, 1, 32)
    assert answer.computed_pairs(1024, 64, 1, 32) == right, pytest.say(
        "Entities count twice: "
        "as keys of every query, and as queries that read every token.",
        "实体要算两回：作为每个查询的键，以及作为读遍所有词元的查询。",
    )


@pytest.mark.parametrize("length", [1, 63, 65, 1000])
def test_a_last_block_that_is_not_full(answer, length):
    right = library(length, 64, 1, 1)
    assert answer.computed_pairs(length, 64, 1, 1) == right, pytest.say(
        "A last block that is not full is padded: round the number of blocks up.",
        "最后一块不满时要补齐：块数向上取整。",
    )
