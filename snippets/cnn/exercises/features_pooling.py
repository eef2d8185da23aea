"""Change the pooling of a frozen layer. `pooled` gives one number a map, its mean over
places. Give two: first the means of all maps, then their maxima. The network must end
as it was: no hook left on it, and in the mode it was in.

改动一个冻结层的池化。pooled 现在每张特征图给一个数，即对位置的平均。改成给两个：
先是所有图的平均，然后是所有图的最大值。用完之后网络要和原来一样：不留下钩子，
模式也不变。
"""

import torch
from torch import Tensor, nn


@torch.no_grad()
def pooled(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    found, training = [], model.training
    handle = layer.register_forward_hook(
        # TODO: means alone
        lambda layer, given, output: found.append(output.mean((2, 3)))
    )
    model.eval()(images)
    handle.remove()
    model.train(training)
    return found[0]
