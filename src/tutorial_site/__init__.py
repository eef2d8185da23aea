"""The engine of the site: cells, recordings, values, pages and the checks that hold them true.

Nothing here imports torch: a page is built from scripts and recordings, read as text.
"""

import difflib
from collections.abc import Iterable


class SiteError(Exception):
    """Something on a page, in a script or in a recording is wrong; the message names the place."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that does not exist.

    >>> nearest("adaptor", ["adapter", "merge"])
    "; did you mean 'adapter'?"
    """
    near = difflib.get_close_matches(name, list(names), 1, 0.4)
    return f"; did you mean {near[0]!r}?" if near else ""
