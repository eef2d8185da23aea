"""Documentation grows. Let this index take one text after another: `add` keeps the
counts that BM25 needs, so that `score` gives the same as an index built anew from all
texts. Nothing that was added before may be read again.

文档会增长。请让这个索引一段一段地接收文本：`add` 只维护 BM25 所需的计数，
使它给出的分数与用全部文本重新建立的索引一致；已经加入的文本不得重读。
"""

import math
from collections import Counter

from llm_tutorial.transformer.retrieval import terms


class GrowingIndex:
    def __init__(self, k1=1.2, b=0.75):
        self.k1, self.b = k1, b
        self.bags = []  # of each text, how often a word stands there
        self.holding = Counter()  # of each word, how many texts have it
        self.words = 0  # of all texts

    def add(self, text):
        bag = Counter(terms(text))
        self.bags.append(bag)
        # TODO: two counts are still those of the empty index

    def score(self, query, at):
        bag, size = self.bags[at], len(self.bags)
        mean = max(self.words, 1) / size  # words a text; none may have come yet
        total = 0.0
        for word in set(terms(query)) & bag.keys():
            n, f = self.holding[word], bag[word]
            idf = math.log(1 + (size - n + 0.5) / (n + 0.5))
            length = 1 - self.b + self.b * bag.total() / mean
            total += idf * f * (self.k1 + 1) / (f + self.k1 * length)
        return total
