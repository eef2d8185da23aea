def best_count(kept: float, check, draft: float, most: int = 16) -> tuple[int, float]:
    speeds = [
        sum(kept**i for i in range(count + 1)) / (check(count + 1) + draft * count)
        for count in range(most + 1)
    ]
    best = max(range(most + 1), key=speeds.__getitem__)
    return best, speeds[best]
