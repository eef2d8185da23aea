from math import comb


def best_of_n(right: list[bool], n: int) -> float:
    wrong = len(right) - sum(right)
    return 1 - comb(wrong, n) / comb(len(right), n)
