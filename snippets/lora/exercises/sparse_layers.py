"""Each block reads itself and a few neighbours. After how many layers can every output
depend on every input?

每一块只读自己和两旁的几块。
至少要几层，每个输出才可能依赖每个输入？
"""


def layers_needed(n: int, b: int, w: int) -> int:
    # n tokens in blocks of b (the last may be shorter)
    # each block reads itself and w blocks to each side
    # returns the least number of layers after which every output depends on every input
    # TODO: this many layers are too many unless b = w = 1
    return n - 1
