import pytest
import torch
from torch.nn import functional as F

LENGTHS = [9, 2, 5, 1]  # labels that count in each text


def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 10, 7, generator=generator)
    labels = torch.randint(7, (4, 10), generator=generator)
    for row, length in zip(labels, LENGTHS, strict=True):
        row[length:] = -100
    return logits, labels


def gradients(answer, processes):  # processes: the parts of each; a part: its texts
    logits, labels = batch()
    whole = logits.clone().requires_grad_()
    F.cross_entropy(whole.flatten(0, 1), labels.flatten()).backward()
    cut = logits.clone().requires_grad_()
    for parts in processes:
        for part in parts:
            loss = answer.part_loss(
                cut[part], labels[part], sum(LENGTHS), len(processes)
            )
            (loss / len(processes)).backward()  # added up, so averaged in the end
    return whole.grad, cut.grad


def test_padding_does_not_count(answer):
    _, cut = gradients(answer, [[[0, 1, 2, 3]]])
    assert cut[1, 2:].abs().max() == 0, pytest.say(
        "Padding has a gradient: leave out labels of -100.",
        "填充处也有了梯度：标签为 -100 的位置不应计入。",
    )


def test_the_parts_of_one_process_add_up_to_the_whole_batch(answer):
    whole, cut = gradients(answer, [[[0], [1], [2], [3]]])
    ratio = cut[0].norm() / whole[0].norm()
    last = cut[3].norm() / whole[3].norm()
    assert torch.allclose(whole, cut, atol=1e-6), pytest.say(
        f"The text of 9 labels has {ratio:.2f} times the gradient it should have, "
        f"that of 1 label {last:.2f}: divide sums by what the whole batch counts.",
        f"有 9 个标签的文本，梯度是应有的 {ratio:.2f} 倍；只有 1 个的是 {last:.2f} 倍："
        "要用总和除以整批的个数。",
    )


def test_two_processes_give_the_same(answer):
    whole, cut = gradients(answer, [[[0], [1]], [[2, 3]]])
    ratio = cut.norm() / whole.norm()
    assert torch.allclose(whole, cut, atol=1e-6), pytest.say(
        f"On two processes the gradient is {ratio:.2f} times what it should be: "
        "the average over processes divides once more.",
        f"两个进程时，梯度是应有的 {ratio:.2f} 倍：进程之间取平均，又除了一次。",
    )
