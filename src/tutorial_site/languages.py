"""Builds one language of the site from its MkDocs configuration: Chinese at the root, English under ``en/``.

A language is built beside the site and takes its place only when nothing was wrong with it.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort, ConfigurationError

from tutorial_site import SiteError

LANGUAGES = {"zh": "", "en": "en"}  # where each stands on the site
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}
OFFLINE_CONFIGS = {"zh": "mkdocs.offline.yml", "en": "mkdocs.offline.en.yml"}


def build_language(
    root: Path, language: str, site: Path, *, offline: bool = False, url: str | None = None
) -> list[str]:
    """Builds one language into its place on the site and returns the warnings and errors, which keep it out.

    Args:
        root: The repository.
        language: A key of ``LANGUAGES``.
        site: The folder of the whole site.
        offline: For reading from a folder instead of from a server.
        url: Address of the site, instead of the one that the configuration names.
    """
    config_file = root / (OFFLINE_CONFIGS if offline else CONFIGS)[language]
    with tempfile.TemporaryDirectory(prefix="tutorial-site-") as fresh, _inside(root), _warnings() as problems:
        try:
            config = load_config(str(config_file), site_dir=fresh, **({} if url is None else {"site_url": url}))
            config.plugins.on_startup(command="build", dirty=False)
            try:
                mkdocs_build(config)
            finally:
                config.plugins.on_shutdown()
        except Abort as error:
            problems += [] if problems else [str(error)]
        except (SiteError, ConfigurationError) as error:
            problems[:] = [problem for problem in problems if str(error) not in problem] + [str(error)]
        if not problems:
            _replace(Path(fresh), site / LANGUAGES[language])
    return [f"{config_file.name}: {problem}" for problem in dict.fromkeys(problems)]


def _replace(fresh: Path, place: Path) -> None:
    """Moves a fresh build to its place; the other language, which may stand inside, stays."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        if old.is_file():
            old.unlink()
        elif old.name not in LANGUAGES.values():
            shutil.rmtree(old)
    shutil.copytree(fresh, place, dirs_exist_ok=True, copy_function=shutil.move)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Plugins resolve their paths and caches against the working folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collects everything that MkDocs and its plugins warn about."""
    log, collector = logging.getLogger("mkdocs"), _Collector()
    propagate, log.propagate = log.propagate, False
    log.addHandler(collector)
    try:
        yield collector.messages
    finally:
        log.removeHandler(collector)
        log.propagate = propagate
