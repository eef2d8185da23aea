def scaling(rank: int, alpha: float) -> float:
    return alpha / rank**0.5
