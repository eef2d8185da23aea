import torch


def calibration_error(
    confidence: torch.Tensor, right: torch.Tensor, bins: int
) -> float:
    total = 0.0
    for part in confidence.argsort().tensor_split(bins):
        if len(part):
            gap = confidence[part].mean() - right[part].double().mean()
            total += len(part) / len(confidence) * float(gap.abs())
    return total
