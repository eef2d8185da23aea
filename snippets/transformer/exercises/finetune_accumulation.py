"""A batch of texts is too large for the memory, so it is cut into parts, and the
gradients of the parts add up. Which loss does each part need, so that the sum is the
gradient of the whole batch?

一批文本放不进内存，只好拆成几份，让各份的梯度相加。每一份该用怎样的损失，
加起来才正好是整批的梯度？
"""

from torch import Tensor
from torch.nn import functional as F


def part_loss(logits: Tensor, labels: Tensor, items: int) -> Tensor:
    # logits: (b, n, vocabulary) of one part; labels: (b, n), padding is -100
    # items: labels that count in the whole batch, all parts together
    # (logits and labels are already shifted against each other)
    # TODO: a mean over this part forgets how much of the whole it is
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
