"""K answers to a prompt were drawn and checked. Estimate without bias how probable it
is that the best of n answers is right, for any n up to K.

一个提示词抽了 K 个回答，都检查过了。请对不超过 K 的任意 n，
无偏地估计 n 个回答里至少有一个对的概率。
"""


def best_of_n(right: list[bool], n: int) -> float:
    # TODO: this is biased. How many choices of n answers have no right one?
    share = sum(right) / len(right)
    return 1 - (1 - share) ** n
