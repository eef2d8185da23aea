"""The loss should look at the answer and at its end token, and at nothing else. Which
labels say so, when the end token is the padding token as well?

损失只该看答案和它的结束词元。
结束词元同时也是填充词元，标签应当怎么写？
"""

from torch import Tensor


def labels_of(
    input_ids: Tensor, prompt_lengths: list[int], pad_token_id: int
) -> Tensor:
    # input_ids: (batch, length), each row a prompt, its answer with the end token, then
    # padding; the end token may be the padding token as well: one of them belongs to
    # the answer, and a prompt may hold more (a chat template ends every turn with it)
    # TODO: -100 where cross_entropy shall not look
    return input_ids.clone()
