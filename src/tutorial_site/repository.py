"""Where things lie in the repository, and how a file is written there."""

import os
from collections.abc import Iterable
from pathlib import Path

from tutorial_site import SiteError

LANGUAGES = ("zh", "en")


def find_root() -> Path:
    """The nearest folder from here upwards that holds ``mkdocs.yml``, else the folder we are in."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "mkdocs.yml").exists()), here)


def files(root: Path, pattern: str) -> list[Path]:
    """Files below ``root`` that match a pattern, sorted; none that an editor or a system has hidden there.

    Emacs' locks are links to nothing (``.#a.md``), macOS leaves ``._a.py``, Jupyter ``.ipynb_checkpoints/``.
    """
    found = (path for path in root.glob(pattern) if not is_hidden(path.relative_to(root)))
    return sorted(path for path in found if path.is_file())


def is_hidden(path: Path) -> bool:
    """Whether a part of a path from the root begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def read(path: Path) -> str:
    """The text of a page or a script, without the byte-order mark that some editors on Windows write.

    Raises:
        SiteError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SiteError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None


def pages(root: Path, language: str = "*") -> list[Path]:
    """The pages of a language, or of all."""
    return files(root, f"docs/{language}/**/*.md")


def is_long(script: Path) -> bool:
    """Whether a script is a long run, which has a manifest and no recording."""
    return script.name.startswith("train_")


def scripts(root: Path, paths: Iterable[Path] = (), long: bool = False) -> list[Path]:
    """The quick scripts, or the long runs: all of ``snippets/``, or those among and below ``paths``.

    Raises:
        SiteError: a path holds no script at all.
    """
    every = files(root, "snippets/*/*.py")
    wanted = [Path(os.path.abspath(path)) for path in paths]
    if lost := [str(path) for path in wanted if not any(script.is_relative_to(path) for script in every)]:
        raise SiteError(f"{', '.join(lost)}: no such script there")
    inside = [script for script in every if not wanted or any(script.is_relative_to(path) for path in wanted)]
    return [script for script in inside if is_long(script) == long]


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
