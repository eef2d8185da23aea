import torch


def most_different(question, passages, count, weight=0.5):
    """Places of `count` passages; all vectors have length one: (d,) and (n, d)."""
    relevance = passages @ question  # (n,)
    taken = []
    for _ in range(count):
        likeness = torch.zeros_like(relevance)
        if taken:
            likeness = (passages @ passages[taken].T).amax(1)
        score = weight * relevance - (1 - weight) * likeness
        score[taken] = -torch.inf
        taken.append(int(score.argmax()))
    return taken
