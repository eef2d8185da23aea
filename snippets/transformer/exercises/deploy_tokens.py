"""One token with a huge value makes the step of all others large, and so a text in
8 bits depends on the texts beside it. Give each token a scale and a zero point of its
own (the s and z of the page): do both still leave the sum?

一个词元里有一个特别大的值，所有词元的步长都会变大，
一段文本的 8 位结果因此取决于与它同批的文本。
给每个词元各自的尺度和零点（即正文里的 s 和 z）：它们还能提到求和号外面吗？
"""

import numpy as np


def round_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.abs(weight).max(axis=0, keepdims=True) / 127  # (1, out)
    return np.round(weight / scale).astype(np.int8), scale


def round_input(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # x: (token, in)
    # returns integers (token, in), uint8; scale (token, 1); zero (token, 1)
    # TODO: one scale and one zero for each token; a token of zeros stays zeros
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.full((len(x), 1), (high - low) / 255)
    zero = np.round(-low / scale)
    return np.clip(np.round(x / scale) + zero, 0, 255).astype(np.uint8), scale, zero


def linear_in_8_bits(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    q_x, s_x, zero = round_input(x)
    q_w, s_w = round_weight(weight)
    integers = (q_x.astype(np.int32) - zero.astype(np.int32)) @ q_w.astype(np.int32)
    return s_x * s_w * integers  # (token, out)
