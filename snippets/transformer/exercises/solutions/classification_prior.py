import torch


def corrected(
    p: torch.Tensor, trained: torch.Tensor, now: torch.Tensor
) -> torch.Tensor:
    # p(text | class) is p(class | text) / trained, up to what all classes share
    joint = p * now / trained
    return joint / joint.sum(-1, keepdim=True)
