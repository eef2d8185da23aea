"""What changes when an entity may begin at an `I-` that continues nothing, as in
seqeval's default mode? Change a few lines of `spans`.

如果 `I-` 前面接不上同一类型也算实体的开头（seqeval 默认如此），会怎样？
改几行 `spans`，让它这样数。
"""

from collections.abc import Sequence

from llm_tutorial.data.people_daily import Entity


def spans(labels: Sequence[str]) -> set[Entity]:
    # labels: B-PER, I-PER, …, O, one for each character;
    # an entity ends where the next label does not continue it
    # TODO: this drops an I- that continues nothing of its type;
    # seqeval's default mode lets an entity begin there
    found, start = set(), None
    for place, label in enumerate([*labels, "O"]):
        if start is not None and label != f"I-{labels[start][2:]}":
            found.add(Entity(start, place, labels[start][2:]))
            start = None
        if label.startswith("B-"):
            start = place
    return found
