"""The best passages are often alike, and then three say no more than one. Maximal
marginal relevance (Carbonell and Goldstein, 1998, SIGIR) takes, one after another, the
passage with the highest `weight * cos(question, passage) - (1 - weight) * likeness`,
where its likeness is its highest cosine with those taken already (0 for the first).

排在前面的段落常常大同小异，三段说的并不比一段多。最大边际相关性
（Carbonell 与 Goldstein，1998，SIGIR）逐段选取
`weight * cos(问题, 段落) - (1 - weight) * likeness` 最大的一段，其中 likeness
是这个候选段落与各已选段落的余弦中最大的一个（选第一段时为 0）。
"""

import torch


def most_different(question, passages, count, weight=0.5):
    """Places of `count` passages; all vectors have length one: (d,) and (n, d)."""
    relevance = passages @ question  # (n,)
    # TODO: what was taken already has no say yet
    return torch.topk(relevance, count).indices.tolist()
