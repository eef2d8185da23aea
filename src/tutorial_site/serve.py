"""Serves both languages on one local address and rebuilds the one that an edit touches.

MkDocs' own development server watches, serves and reloads the browser; here it only learns that a
site has two builders.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mkdocs.livereload import LiveReloadServer

from tutorial_site.build import CONFIGS, FOLDERS, build_language
from tutorial_site.repository import files

ENGINE = ("src/tutorial_site/theme", "src/tutorial_site/locale")
SHARED = ("mkdocs.yml", "docs/references.bib", "docs/zh/assets", "snippets", "src/llm_tutorial", *ENGINE)
log = logging.getLogger("tutorial_site.serve")


def serve(root: Path, host: str = "127.0.0.1", port: int = 8000) -> list[str]:
    """Builds, serves at ``http://HOST:PORT/`` and ``…/en/``, and rebuilds until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tutorial-serve-") as folder:
        site, url = Path(folder), f"http://{host}:{port}/"
        builder = Builder(root, site)
        server = LiveReloadServer(builder, host, port, str(site), polling_interval=0.2)
        server.error_handler = lambda code: (site / "404.html").read_bytes() if code == 404 else None
        builder()
        for path in ("docs", *SHARED, *CONFIGS.values()):
            if (root / path).exists():
                server.watch(str(root / path))
        log.info(f"中文 {url}    English {url}en/    (Ctrl-C to stop)")
        try:
            server.serve()
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()
    return []


class Builder:
    """Builds the languages whose files changed since the last call."""

    def __init__(self, root: Path, site: Path) -> None:
        self.root, self.site = root, site
        self.seen: dict[str, dict[Path, int]] = {}

    def __call__(self) -> None:
        """Builds what is needed; a mistake is said, and the former pages stay until an edit, of whatever file."""
        due = {language: self.seen.pop(language) for language in self.changed()}  # seen once it is built
        for language, sources in due.items():
            problems = build_language(self.root, language, self.site)
            if not problems:
                self.seen[language] = sources
            log.log(logging.ERROR if problems else logging.INFO, "\n".join(problems) or f"built {language}")

    def changed(self) -> list[str]:
        """The languages that the edits since the last call touch."""
        before, self.seen = self.seen, {language: dict(self._sources(language)) for language in FOLDERS}
        return [language for language in FOLDERS if self.seen[language] != before.get(language)]

    def _sources(self, language: str) -> Iterator[tuple[Path, int]]:
        """The files that a language is made of, with their times; those of the other language are not among them."""
        for name in (*SHARED, CONFIGS[language], f"docs/{language}"):
            for path in [*self.root.glob(name), *files(self.root, f"{name}/**/*")]:
                with suppress(FileNotFoundError):  # an editor's file that was there a moment ago
                    if path.is_file() and path.suffix != ".pyc":
                        yield path, path.stat().st_mtime_ns
