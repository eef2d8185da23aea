import pytest
import torch

PAD, END = 0, 1
TARGET = torch.tensor([[7, 8, 9, END], [5, END, PAD, PAD]])


def test_the_decoder_reads_one_place_later(answer):
    read, _ = answer.teacher_forcing(TARGET.clone(), start=3, padding=PAD)
    assert not torch.equal(read, TARGET), pytest.say(
        "The decoder reads the very token that it is to say: it would learn to copy.",
        "解码器读到的正是它该说的词元：它只会学会照抄。",
    )
    assert read[:, 0].tolist() == [3, 3], pytest.say(
        f"Every sentence starts with the start token 3; you start with "
        f"{read[:, 0].tolist()}.",
        f"每句都从起始词元 3 开始；你的开头是 {read[:, 0].tolist()}。",
    )
    assert read.tolist() == [[3, 7, 8, 9], [3, 5, END, PAD]], pytest.say(
        f"The target one place later, its last column dropped; you have "
        f"{read.tolist()}.",
        f"应当是目标向后移一位、去掉最后一列；你的是 {read.tolist()}。",
    )


def test_padding_is_no_label(answer):
    _, labels = answer.teacher_forcing(TARGET.clone(), start=3, padding=PAD)
    assert (labels == PAD).sum() == 0, pytest.say(
        "Padding is among the labels: the model would learn to write padding. "
        "-100 leaves a place out of the loss.",
        "标签里有填充：模型会去学怎样写填充。标签为 -100 的位置不计入损失。",
    )
    assert labels.tolist() == [[7, 8, 9, END], [5, END, -100, -100]], pytest.say(
        f"The end token is a label too, only padding is not; you have "
        f"{labels.tolist()}.",
        f"结束词元也是标签，只有填充不是；你的是 {labels.tolist()}。",
    )


def test_a_start_token_that_is_also_padding(answer):
    read, labels = answer.teacher_forcing(TARGET.clone(), start=PAD, padding=PAD)
    assert read[:, 0].tolist() == [PAD, PAD], pytest.say(
        "Marian starts with the padding token: keep it in what the decoder reads.",
        "Marian 以填充词元起始：解码器读的序列里要保留它。",
    )
    assert labels[0, 0] == 7, pytest.say(
        f"The first label is the first token, 7; yours is {labels[0, 0]}.",
        f"第一个标签是第一个词元 7；你的是 {labels[0, 0]}。",
    )
