import re
from collections import Counter


def words(text: str) -> list[str]:
    return re.findall(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", text.lower())


def f1(predicted: str, gold: str) -> float:
    left, right = words(predicted), words(gold)
    if not left or not right:
        return float(left == right)
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right))
