"""What is wrapped around models: torch.compile, whole or by layers, DDP and DataParallel."""

import copy

import torch
from torch import nn


class Wrapped(nn.parallel.DistributedDataParallel):
    """DDP without its processes."""

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self.module = module

    def forward(self, *inputs: object, **options: object) -> object:
        return self.module(*inputs, **options)

    def __deepcopy__(self, memo: dict) -> "Wrapped":
        return Wrapped(copy.deepcopy(self.module, memo))


def compiled_inside(model: nn.Module) -> nn.Module:
    layers = model.model.layers
    for number, layer in enumerate(layers):
        layers[number] = torch.compile(layer, backend="eager")
    return model


WRAPS = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "layers-compiled": compiled_inside,
    "DDP": Wrapped,
    "DataParallel": nn.DataParallel,
    "compiled-DDP": lambda model: torch.compile(Wrapped(model), backend="eager"),
}
