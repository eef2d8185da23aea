"""With max pooling an answer is a sum over n-grams. Give, for each different n-gram of
a text, what it adds to the logit of class 1 less that of class 0.

用最大池化时，答案是对 n 元组求和。请给出文本里每个不同的 n 元组
给第 1 类与第 0 类的 logit 之差加了多少。
"""

from torch import Tensor


def parts(y: Tensor, weight: Tensor, tokens: list[str], region: int) -> dict:
    """Responses (filters, places), the linear layer's weights (2, filters), the tokens.

    Gives {n-gram, a tuple of tokens: what it adds}; the values sum to the difference.
    """
    values, places = y.max(-1)
    # TODO: the weight of each filter is missing, and n-grams that win twice
    return {
        tuple(tokens[i : i + region]): value
        for i, value in zip(places.tolist(), values.tolist(), strict=True)
    }
