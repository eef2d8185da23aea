def cost(no_answer, right, threshold, wrong=5.0, refused=1.0):
    total = 0.0
    for score, hit in zip(no_answer, right, strict=True):
        if score > threshold:
            total += refused
        elif not hit:
            total += wrong
    return total / len(right)


def best_threshold(no_answer, right, wrong=5.0, refused=1.0):
    candidates = [min(no_answer) - 1, *sorted(no_answer)]
    return min(candidates, key=lambda at: cost(no_answer, right, at, wrong, refused))
