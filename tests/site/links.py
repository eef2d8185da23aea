"""Every internal link of a built site leads to a file, and to an anchor that this file has."""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Collects ids and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append((self.getpos()[0], value))


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def problems(site: Path, base: str = "/") -> Iterator[str]:
    """Names each link of a built site that leads nowhere; ``base`` is the site's path on its host."""
    _read.cache_clear()
    for path in sorted(site.rglob("*.html")):
        for line, link in _read(path).links:
            if path.name != "404.html" and (problem := _problem(site, path, link, base)):
                yield f"{path.relative_to(site)}:{line}: link {link!r} {problem}"


def _problem(site: Path, page: Path, link: str, base: str) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    address = unquote(parts.path)
    if address.startswith("/"):
        target = site / address.removeprefix(base).lstrip("/")
    else:
        target = (page.parent / address).resolve() if address else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "leads to no file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _read(target).ids | {"__top"}:
        return "leads to no such anchor"
    return None
