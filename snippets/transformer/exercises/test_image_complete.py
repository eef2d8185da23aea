import pytest
import torch

GIVEN = torch.tensor([[4, 2], [3, 5]])


def step(answer, written):
    """Scores after a prompt of three tokens and some written ones."""
    torch.manual_seed(0)
    ids, scores = torch.zeros(2, 3 + written).long(), torch.randn(2, 6)
    return answer.Given(GIVEN, 3)(ids, scores.clone()), scores


def test_the_first_ids_are_forced(answer):
    new, _ = step(answer, 0)
    only = new.softmax(-1).argmax(-1).tolist(), (new > -torch.inf).sum(-1).tolist()
    assert only == ([4, 3], [1, 1]), pytest.say(
        f"Right after the prompt each row has one possible id, 4 and 3; yours are "
        f"{only[0]}, of {only[1]} possible ones.",
        f"提示刚结束时，每一行只剩一个可能的编号：4 和 3；你的是 {only[0]}，"
        f"可能的各有 {only[1]} 个。",
    )


def test_then_the_second_ones(answer):
    new, _ = step(answer, 1)
    found = new.argmax(-1).tolist()
    assert found == [2, 5], pytest.say(
        f"One step later it is 2 and 5, not {found}: the step is the length so far "
        "less the prompt.",
        f"下一步应当是 2 和 5，而不是 {found}：第几步，等于已有长度减去提示的长度。",
    )


def test_afterwards_the_model_draws(answer):
    new, scores = step(answer, 2)
    assert torch.equal(new, scores), pytest.say(
        "When all given ids stand there, scores come back unchanged.",
        "给定的编号都写完以后，分数应当原样返回。",
    )
