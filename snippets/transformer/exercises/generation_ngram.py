"""`no_repeat_ngram_size=n` forbids each token that would complete n tokens in a row
that stood in the text before; with n = 1 no token may come twice. Which are these?

`no_repeat_ngram_size=n` 会禁止一些词元：它们一写出来，前文里出现过的连续 n 个词元
就会再出现一次；n = 1 时任何词元都不能出现两次。是哪些词元？
"""


def forbidden(tokens: list[int], n: int) -> set[int]:
    # TODO: a token is forbidden if the last n - 1 tokens, followed by it, stood before
    return set(tokens)
