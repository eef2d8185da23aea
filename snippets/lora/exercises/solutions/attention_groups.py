from torch import Tensor


def grouped_attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    heads, groups = Q.shape[1], K.shape[1]
    K, V = (x.repeat_interleave(heads // groups, dim=1) for x in (K, V))
    scores = Q @ K.mT / Q.shape[-1] ** 0.5
    return scores.softmax(-1) @ V
