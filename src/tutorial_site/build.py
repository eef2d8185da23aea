"""Builds the site, strictly: one MkDocs build a language, English inside the Chinese site's folder."""

import logging
import shutil
import tempfile
from pathlib import Path

from mkdocs.commands import build as mkdocs
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

from tutorial_site import SiteError, links

LANGUAGES = {"zh": "", "en": "en"}  # language: its folder on the site
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}


def build(root: Path, site: Path, url: str | None = None) -> list[str]:
    """Builds all languages into ``site``; returns what the builds and the site's own links complain of."""
    return [line for language in LANGUAGES for line in build_language(root, language, site, url)] or list(
        links.problems(site)
    )


def build_language(root: Path, language: str, site: Path, url: str | None = None) -> list[str]:
    """Builds one language into its folder of ``site``, whole or not at all; returns the warnings and errors."""
    heard = _Warnings()
    log = logging.getLogger("mkdocs")
    log.addHandler(heard)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"site_url": url} if url else {}
        try:
            config = load_config(str(root / CONFIGS[language]), site_dir=folder, strict=True, **settings)
            config.plugins.on_startup(command="build", dirty=False)
            mkdocs.build(config)
            config.plugins.on_shutdown()
        except SiteError as error:
            return [str(error)]
        except MkDocsException as error:
            heard.lines.append(str(error))
        finally:
            log.removeHandler(heard)
        if heard.lines:
            return [f"{CONFIGS[language]}: {line}" for line in dict.fromkeys(heard.lines)]
        _replace(Path(folder), site / LANGUAGES[language])
    return []


def _replace(new: Path, old: Path) -> None:
    """Puts a fresh build in place of the former one, without touching other languages inside it."""
    old.mkdir(parents=True, exist_ok=True)
    for path in old.iterdir():
        if path.name not in LANGUAGES.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(new, old, dirs_exist_ok=True)


class _Warnings(logging.Handler):
    """Collects what MkDocs warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a message."""
        self.lines.append(record.getMessage().strip())
