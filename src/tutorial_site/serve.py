"""Serves both languages on one local address and rebuilds the one that an edit touches.

MkDocs' own development server watches, serves and reloads the browser; here it only learns that a
site has two builders.
"""

import logging
import os
import tempfile
from pathlib import Path

from mkdocs.livereload import LiveReloadServer

from tutorial_site.build import CONFIGS, LANGUAGES, build_language

WATCHED = (
    "docs",
    "snippets",
    "src/llm_tutorial",
    "src/tutorial_site/theme",
    "src/tutorial_site/locale",
    *CONFIGS.values(),
)
IGNORED = {"__pycache__", ".ipynb_checkpoints"}
log = logging.getLogger("tutorial_site.serve")


def serve(root: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Builds, serves at ``http://HOST:PORT/`` and ``…/en/``, and rebuilds until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tutorial-serve-") as folder:
        site = Path(folder)
        builder = Builder(root, site, f"http://{host}:{port}/")
        server = LiveReloadServer(builder, host, port, str(site), polling_interval=0.2)
        server.error_handler = lambda code: (site / "404.html").read_bytes() if code == 404 else None
        builder()
        for path in WATCHED:
            if (root / path).exists():
                server.watch(str(root / path))
        log.info(f"中文 {builder.url}    English {builder.url}en/    (Ctrl-C to stop)")
        try:
            server.serve()
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()


class Builder:
    """Builds the languages whose files changed since the last call."""

    def __init__(self, root: Path, site: Path, url: str) -> None:
        self.root, self.site, self.url = root, site, url
        self.seen: dict[Path, int] = {}

    def __call__(self) -> None:
        """Builds what is needed; a mistake is said, and the former pages stay."""
        for language in self.changed():
            problems = build_language(self.root, language, self.site, self.url)
            for problem in problems:
                log.error(problem)
            if not problems:
                log.info(f"built {language}")

    def changed(self) -> list[str]:
        """The languages that the edits since the last call touch."""
        now = {path: path.stat().st_mtime_ns for path in _files(self.root)}
        edited = {path for path in now.keys() | self.seen.keys() if now.get(path) != self.seen.get(path)}
        self.seen = now
        return [language for language in LANGUAGES if any(self._touches(path, language) for path in edited)]

    def _touches(self, path: Path, language: str) -> bool:
        """A page or configuration belongs to one language; everything else, assets included, to both."""
        parts = path.relative_to(self.root).parts
        if parts[0] == CONFIGS["en"]:
            return language == "en"
        return parts[0] != "docs" or parts[1] == language or parts[1] not in LANGUAGES or "assets" in parts


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for watched in WATCHED:
        if (root / watched).is_file():
            found.append(root / watched)
        for folder, folders, names in os.walk(root / watched):
            folders[:] = [name for name in folders if name not in IGNORED]
            found += [Path(folder, name) for name in names]
    return found
