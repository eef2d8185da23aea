def take(lengths: list[int], budget: int) -> int:
    longest, count = 0, 0
    for length in lengths:
        longest = max(longest, length)
        if (count + 1) * longest > budget:
            break
        count += 1
    return max(count, 1)  # what is beyond the budget goes alone
