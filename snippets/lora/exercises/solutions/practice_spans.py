from collections.abc import Sequence

from llm_tutorial.data.people_daily import Entity


def spans(labels: Sequence[str]) -> set[Entity]:
    found, start = set(), None
    for place, label in enumerate([*labels, "O"]):
        if start is not None and label != f"I-{labels[start][2:]}":
            found.add(Entity(start, place, labels[start][2:]))
            start = None
        if start is None and label != "O":  # B- or I-, and it continues nothing
            start = place
    return found
