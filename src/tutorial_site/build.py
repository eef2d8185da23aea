"""Builds the site, strictly: one MkDocs build a language, English inside the Chinese site's folder."""

import contextlib
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from mkdocs.commands import build as mkdocs
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

from tutorial_site import SiteError
from tutorial_site.repository import read

FOLDERS = {"zh": "", "en": "en/"}  # language: its folder on the site
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}
LINK = re.compile(r"Doc file '(?P<page>[^']+)' contains .*?link '(?P<link>[^']+)'")  # MkDocs' words, without the line
OFFLINE = {"zh": "mkdocs.offline.yml", "en": "mkdocs.offline.en.yml"}  # for reading from a folder


def build(root: Path, site: Path, configs: dict[str, str] = CONFIGS) -> list[str]:
    """Builds all languages into ``site``, a process each; returns what the builds complain of."""
    with ProcessPoolExecutor(len(FOLDERS)) as pool:
        heard = pool.map(build_language, repeat(root), FOLDERS, repeat(site), repeat(configs))
        return [line for lines in heard for line in lines]


def build_language(root: Path, language: str, site: Path, configs: dict[str, str] = CONFIGS) -> list[str]:
    """Builds one language into its folder of ``site``, whole or not at all; returns the warnings and errors.

    Links and anchors that lead nowhere are among MkDocs' warnings (``validation`` in ``mkdocs.yml``).
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(root), _warnings() as heard:
        try:
            config = load_config(configs[language], site_dir=folder, strict=True)
            config.plugins.on_startup(command="build", dirty=False)
            mkdocs.build(config)
            config.plugins.on_shutdown()
            if not heard:
                _replace(Path(folder), site / FOLDERS[language])
        except (SiteError, MkDocsException, OSError, UnicodeError) as error:
            if not heard or isinstance(error, SiteError):
                return [str(error)]
        return [_placed(line, root / "docs" / language, configs[language]) for line in dict.fromkeys(heard)]


def _placed(warning: str, docs: Path, config: str) -> str:
    """A warning with what it is about: the page and the line of a link, else the configuration."""
    if not (found := LINK.search(warning)) or not (page := docs / found["page"]).is_file():
        return f"{config}: {warning}"
    lines = read(page).splitlines()
    line = next((number for number, text in enumerate(lines, 1) if found["link"] in text), 1)
    return f"{page}:{line}: {warning} ({config})"


def _replace(new: Path, old: Path) -> None:
    """Puts a fresh build in place of the former one, without touching other languages inside it."""
    old.mkdir(parents=True, exist_ok=True)
    for path in old.iterdir():
        if f"{path.name}/" not in FOLDERS.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(new, old, dirs_exist_ok=True)


class _Heard(logging.Handler):
    """Keeps messages whatever happens to the other handlers: converting a notebook sets up logging anew."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage().strip())


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What MkDocs and its plugins warn of meanwhile, instead of on stderr."""
    log, heard = logging.getLogger("mkdocs"), _Heard()
    propagate, log.propagate = log.propagate, False
    log.addHandler(heard)
    try:
        yield heard.messages
    finally:
        log.removeHandler(heard)
        log.propagate = propagate
