"""Builds the site, strictly: one MkDocs build a language, English inside the Chinese site's folder."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mkdocs.commands import build as mkdocs
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

from tutorial_site import SiteError, links

LANGUAGES = {"zh": "", "en": "en"}  # language: its folder on the site
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}
OFFLINE = {"zh": "mkdocs.offline.yml", "en": "mkdocs.offline.en.yml"}  # for reading from a folder


def build(root: Path, site: Path, url: str | None = None, configs: dict[str, str] = CONFIGS) -> list[str]:
    """Builds all languages into ``site``; returns what the builds and the site's own links complain of."""
    complaints = [line for language in LANGUAGES for line in build_language(root, language, site, url, configs)]
    return complaints or list(links.problems(site))


def build_language(
    root: Path, language: str, site: Path, url: str | None = None, configs: dict[str, str] = CONFIGS
) -> list[str]:
    """Builds one language into its folder of ``site``, whole or not at all; returns the warnings and errors."""
    settings = {"site_url": url} if url else {}
    with tempfile.TemporaryDirectory() as folder, _inside(root), _warnings() as heard:
        try:
            config = load_config(str(root / configs[language]), site_dir=folder, strict=True, **settings)
            config.plugins.on_startup(command="build", dirty=False)
            mkdocs.build(config)
            config.plugins.on_shutdown()
        except SiteError as error:
            return [str(error)]
        except MkDocsException as error:
            heard += [] if heard else [str(error)]
        if heard:
            return [f"{configs[language]}: {line}" for line in dict.fromkeys(heard)]
        _replace(Path(folder), site / LANGUAGES[language])
    return []


def _replace(new: Path, old: Path) -> None:
    """Puts a fresh build in place of the former one, without touching other languages inside it."""
    old.mkdir(parents=True, exist_ok=True)
    for path in old.iterdir():
        if path.name not in LANGUAGES.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(new, old, dirs_exist_ok=True)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Plugins resolve their caches against the working folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _Warnings(logging.Handler):
    """Collects what MkDocs warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a message."""
        self.lines.append(record.getMessage().strip())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What MkDocs and its plugins warn of meanwhile, instead of on stderr."""
    log, collector = logging.getLogger("mkdocs"), _Warnings()
    propagate, log.propagate = log.propagate, False
    log.addHandler(collector)
    try:
        yield collector.lines
    finally:
        log.removeHandler(collector)
        log.propagate = propagate
