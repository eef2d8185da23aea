"""Builds the site, strictly: one MkDocs build a language, English inside the Chinese site's folder.

What a build without a complaint gave is kept in ``build/site/``: as long as nothing that it was made of
changes, the next build of the language, a check or a test takes it from there.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import sys
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

SOURCES = ("docs/{language}", "docs/zh/assets", "docs/references.bib", "mkdocs*.yml", "snippets", "src")
WHEEL = ("constraints.txt", "pyproject.toml", "README.md", "LICENSE*", "NOTICE")  # and src
ENVIRONMENT = re.compile(r"!ENV \[(\w+)")  # in mkdocs.yml
FOLDERS = {"zh": "", "en": "en/"}  # language: its folder on the site
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}
LINK = re.compile(r"Doc file '(?P<page>[^']+)' contains .*?link '(?P<link>[^']+)'")  # MkDocs' words, without the line
OFFLINE = {"zh": "mkdocs.offline.yml", "en": "mkdocs.offline.en.yml"}  # for reading from a folder


def build(root: Path, site: Path, configs: dict[str, str] = CONFIGS, afresh: bool = False) -> list[str]:
    """Builds all languages into ``site``, a process each; returns what the builds complain of.

    Args:
        root: The repository.
        site: The folder to fill.
        configs: Configuration of each language.
        afresh: Build even what did not change.
    """
    with ProcessPoolExecutor(len(FOLDERS)) as pool:
        heard = pool.map(build_language, repeat(root), FOLDERS, repeat(site), repeat(configs), repeat(afresh))
        return [line for lines in heard for line in lines]


def build_language(
    root: Path, language: str, site: Path, configs: dict[str, str] = CONFIGS, afresh: bool = False
) -> list[str]:
    """Builds one language into its folder of ``site``, whole or not at all; returns the warnings and errors.

    Links and anchors that lead nowhere are among MkDocs' warnings (``validation`` in ``mkdocs.yml``).
    """
    place = Path(root, "build/site", Path(configs[language]).stem)
    kept = keep(place, before := _digest(root, language))
    if kept.exists() and not afresh:
        _replace(kept, site / FOLDERS[language])
        return []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(root), _warnings() as heard:
        try:
            config = load_config(configs[language], site_dir=folder, strict=True)
            config.plugins.on_startup(command="build", dirty=False)
            mkdocs.build(config)
            config.plugins.on_shutdown()
            if not heard:
                _replace(Path(folder), site / FOLDERS[language])
                if _digest(root, language) == before:  # nobody edited meanwhile
                    _keep(Path(folder), kept)
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


def keep(place: Path, digest: str) -> Path:
    """The folder beside ``place`` for what was made of sources with this digest; those of other digests go."""
    kept = place.with_name(f"{place.name}-{digest[:16]}")
    for other in place.parent.glob(f"{place.name}-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
    return kept


def _keep(folder: Path, kept: Path) -> None:
    """Copies a build to where the next one finds it, whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as part, contextlib.suppress(OSError):  # another was faster
        os.rename(shutil.copytree(folder, Path(part, "site")), kept)


def digest_of(*paths: Path) -> str:
    """SHA-256 of files and of all files in folders, with their names; of nothing hidden or compiled."""
    found = hashlib.sha256()
    files = (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*"))))
    for file in files:
        if file.is_file() and not file.name.startswith(".") and file.suffix != ".pyc":
            found.update(f"{file}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return found.hexdigest()


ENGINE = digest_of(Path(__file__).parent)  # as this process runs it, whatever is edited later


def _digest(root: Path, language: str) -> str:
    """SHA-256 of all that a language's site is made of: sources, engine, environment, installed versions."""
    paths = [path for pattern in (*SOURCES, *WHEEL) for path in sorted(root.glob(pattern.format(language=language)))]
    names = sorted(ENVIRONMENT.findall("".join(map(read, root.glob("mkdocs*.yml")))))
    installed = [path.name for folder in sys.path for path in sorted(Path(folder).glob("*.dist-info"))]
    other = [sys.version, ENGINE, *(f"{name}={os.environ.get(name)}" for name in names), *installed]
    return hashlib.sha256("\n".join([digest_of(*paths), *other]).encode()).hexdigest()


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
