"""Several processes share a batch, each in several parts. Within a process the
gradients of the parts add up; over the processes they are averaged. Which loss does
each part need, so that the result is the gradient of the whole batch?

几个进程分一批，每个进程又分几份。进程之内，各份的梯度相加；进程之间，梯度取平均。
每一份该用怎样的损失，最后才正好是整批的梯度？
"""

from torch import Tensor
from torch.nn import functional as F


def part_loss(logits: Tensor, labels: Tensor, items: int, processes: int) -> Tensor:
    # logits: (b, n, vocabulary) of one part; labels: (b, n), padding is -100
    # items: labels that count in the whole batch, all parts of all processes together
    # (logits and labels are already shifted against each other)
    # TODO: a mean over this part forgets how much of the whole it is
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
