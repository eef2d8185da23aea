"""F1 counts words that two answers share. Split at spaces, a Chinese answer is a single
word, and half of it earns nothing. Let every Chinese character be a word of its own.

F1 数的是两个答案共有的词。按空格切分时，一个中文答案只算一个词，答对一半也得零分。
请让每个汉字各算一个词。
"""

from collections import Counter


def words(text: str) -> list[str]:
    # TODO: a character from "\u4e00" to "\u9fff" is a word; other words stay whole
    return text.lower().split()


def f1(predicted: str, gold: str) -> float:
    # harmonic mean of precision and recall of the words
    left, right = words(predicted), words(gold)
    if not left or not right:
        return float(left == right)
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right))
