"""How many multiplications does a vision Transformer need for one picture, in all
its blocks? Each block has four matrices of `width × width` (query, key, value,
output), two of `width × inner`, and attention: scores, and the weighted sum of values.
CLS is a token too. Return tokens and multiplications.

视觉 Transformer 的全部块处理一张图，要做多少次乘法？每个块有四个 `width × width`
的矩阵（查询、键、值、输出）、两个 `width × inner` 的矩阵，还有注意力：算分数，
再对值加权求和。CLS 也是一个词元。返回词元数和乘法次数。
"""


def cost(side: int, patch: int, width: int, layers: int, inner: int) -> tuple[int, int]:
    # TODO: CLS, and attention itself
    tokens = (side // patch) ** 2
    matrices = 4 * width**2 + 2 * width * inner
    return tokens, layers * tokens * matrices
