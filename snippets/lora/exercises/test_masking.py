import pytest
import torch

LENGTHS = [3, 2, 4]  # of the prompts
IDS = torch.tensor(
    [
        [5, 6, 7, 10, 11, 2, 2, 2],  # 2 ends an answer, and pads
        [8, 9, 12, 2, 2, 2, 2, 2],
        [5, 2, 8, 2, 13, 14, 2, 2],  # and ends turns of a chat: this prompt holds two
    ]
)


def test_only_answers_and_their_end_tokens_are_trained_on(answer):
    given = IDS.clone()
    labels = answer.labels_of(given, LENGTHS, pad_token_id=2)
    assert torch.equal(given, IDS), pytest.say(
        "input_ids were changed in place; copy them.",
        "input_ids 被就地修改了；请先复制。",
    )
    in_prompts = torch.arange(8) < torch.tensor(LENGTHS)[:, None]  # (batch, length)
    assert (labels[in_prompts] == -100).all(), pytest.say(
        "The prompt's tokens still count: their labels must be -100.",
        "提示的词元仍计入损失：它们的标签应为 -100。",
    )
    assert labels[0, 3:5].tolist() == [10, 11] and labels[1, 2] == 12, pytest.say(
        "The answer's own tokens must keep their labels.",
        "答案本身的词元必须保留标签。",
    )
    assert labels[0, 5] == 2 and labels[1, 3] == 2, pytest.say(
        "The end token went with the padding: the model would never learn to stop.",
        "结束符和填充一起被屏蔽了：模型将学不会停下来。",
    )
    assert (labels[0, 6:] == -100).all() and (labels[1, 4:] == -100).all(), pytest.say(
        "The padding after the end token still counts.", "结束符之后的填充仍计入损失。"
    )
    assert labels[2, 4:].tolist() == [13, 14, 2, -100], pytest.say(
        "The last row's prompt holds token 2 as well, as chats do: "
        "look for the end of the answer behind the prompt.",
        "最后一行的提示里也有 2 号词元（对话就是这样）：答案的结尾要从提示之后找起。",
    )
