import torch
from torch import Tensor, nn


@torch.no_grad()
def pooled(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    found, training = [], model.training
    handle = layer.register_forward_hook(
        lambda layer, given, output: found.append(
            torch.cat([output.mean((2, 3)), output.amax((2, 3))], dim=1)
        )
    )
    model.eval()(images)
    handle.remove()
    model.train(training)
    return found[0]
