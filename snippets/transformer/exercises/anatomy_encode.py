"""Training BPE gave a list of rules, the earliest first.
How does it cut a word that it has never seen?

BPE 训练出一串规则，先学到的排在前面。遇到没见过的词，该怎样切分？
"""


def encode(word: str, rules: list[tuple[str, str]]) -> list[str]:
    # word: letters; rules: pairs to be joined, in the order in which they were learned
    # returns the pieces; joined, they are the word again
    pieces = list(word)
    for left, right in rules:
        # TODO: join this pair wherever it stands in pieces, from the left
        if pieces[:2] == [left, right]:
            pieces = [left + right, *pieces[2:]]
    return pieces
