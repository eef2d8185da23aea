import torch


def top_spans(start, end, allowed, count=3, longest=40):
    place = torch.arange(len(start))
    length = place[None] - place[:, None]  # (first, last)
    valid = (length >= 0) & (length < longest) & allowed[:, None] & allowed[None]
    scores = (start[:, None] + end[None]).masked_fill(~valid, -torch.inf)
    found = []
    while len(found) < count and scores.max() > -torch.inf:
        first, last = divmod(int(scores.argmax()), len(start))
        found.append((first, last, float(scores[first, last])))
        apart = (place[None] < first) | (place[:, None] > last)  # before, or after
        scores = scores.masked_fill(~apart, -torch.inf)
    return found
