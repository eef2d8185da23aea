"""The engine of the site: cells, recordings, values, pages and the checks that hold them true.

Nothing here imports torch: a page is built from scripts and recordings, read as text.
"""


class SiteError(Exception):
    """Something on a page, in a script or in a recording is wrong; the message names the place."""
