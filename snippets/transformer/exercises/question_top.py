"""A user wants three suggestions instead of one. The best spans by score are mostly one
span, a token longer or shorter. Return the best ones that do not overlap.

用户想看三个候选答案，而不是一个。可是得分最高的几个片段往往是同一个片段，只是多一个或
少一个词元。请返回互不重叠的最高分片段。
"""

import torch


def top_spans(start, end, allowed, count=3, longest=40):
    # start, end: (token,) scores; allowed: (token,) True inside the passage
    # returns at most count tuples (first, last, score), the best first
    place = torch.arange(len(start))
    length = place[None] - place[:, None]  # (first, last)
    valid = (length >= 0) & (length < longest) & allowed[:, None] & allowed[None]
    scores = (start[:, None] + end[None]).masked_fill(~valid, -torch.inf)
    found = []
    for number in scores.flatten().topk(count).indices.tolist():
        first, last = divmod(number, len(start))
        # TODO: leave out a span that shares a token with a better one, and keep looking
        found.append((first, last, float(scores[first, last])))
    return found
