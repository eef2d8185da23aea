import torch


def attention_mask(lengths: torch.Tensor, n: int) -> torch.Tensor:
    # lengths: (batch,) real tokens of each row, which is padded at its end to n tokens
    # returns (batch, 1, query, key): True where a query may read a key, as in scaled_dot_product_attention
    place = torch.arange(n)
    # TODO: no query reads the future, and none reads padding; both comparisons below are wrong
    causal = place[:, None] <= place
    real = place >= lengths[:, None]
    return causal & real[:, None, None, :]
