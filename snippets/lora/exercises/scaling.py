def scaling(rank: int, alpha: float) -> float:
    # TODO: LoRA's factor makes the first SGD step lower the loss by less and less as the rank grows;
    # return the factor under which it does not depend on the rank
    return alpha / rank
