import torch


def at_infinity(sizes, distances):
    columns = torch.stack([torch.ones_like(sizes), 1 / sizes], 1)
    a, _ = torch.linalg.lstsq(columns, distances[:, None]).solution[:, 0]
    return a
