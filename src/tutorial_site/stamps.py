"""Stamps of what passed, so that only what changed is tested again.

A stamp is an empty file in the user's cache folder. Its name is a digest of all that a test depends
on, so that a stamp never grows wrong: it only grows old. A fresh machine has none.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from tutorial_site.build import digest_of
from tutorial_site.imports import code_digest, digests, library, modules, packages
from tutorial_site.manifests import REPLAY, SUMS
from tutorial_site.repository import read

JUDGES = ("cells", "compare", "drawings", "record", "recording")  # modules that run a script and compare
OLD = 90 * 24 * 3600  # seconds


def folder() -> Path:
    """Where stamps lie: beside the models and data that ``llm_tutorial.fetch`` keeps."""
    chosen = os.environ.get("LLM_TUTORIAL_CACHE")
    return Path(os.path.expanduser(chosen) if chosen else user_cache_path("llm-tutorial"), "passed")


def key(*parts: Any) -> str:
    """The name of the stamp for what depends on these parts, on Python's version and on the kind of processor.

    >>> key("a", 1) == key("a", 1) != key("a", 2)
    True
    """
    text = json.dumps([*parts, platform.python_version(), platform.machine()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def has(name: str) -> bool:
    """Whether there is a stamp of this name."""
    return (folder() / name).exists()


def leave(name: str) -> None:
    """Leaves a stamp, and takes away those of long ago; without a cache folder nothing happens."""
    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        (folder() / name).touch()
        for path in folder().iterdir():
            if path.stat().st_mtime < time.time() - OLD:
                path.unlink(missing_ok=True)


def of_snippet(root: Path, script: Path) -> str:
    """What changes with all that the re-run of a script depends on.

    That is the script, its recording, the library code, results and weights that it uses, the versions of
    the packages that these import, and the code that runs and compares.
    """
    from tutorial_site.record import versions  # not at the top: only it needs what runs scripts

    used = library(root, script)
    taken = [root / Path(name).parent for name in used if name.endswith(SUMS)]
    weights = [path for folder in taken for path in sorted(folder.rglob("*")) if path.name != REPLAY]
    judges = [code_digest(read(Path(__file__).with_name(f"{name}.py"))) for name in JUDGES]
    files = digest_of(script, script.with_suffix(".ipynb"), *weights)
    return key("snippet", files, used, versions(packages(root, script)), judges)


def of_files(root: Path, paths: Iterable[Path]) -> str:
    """What changes with files, the library code that they use and the versions of the packages that these import."""
    from tutorial_site.record import versions

    paths = sorted(paths)
    scripts = [path for path in paths if path.suffix == ".py"]
    code = {name: digest for script in scripts for name, digest in digests(root, modules(root, script)).items()}
    names = set[str]().union(*(packages(root, script) for script in scripts))
    return key("files", digest_of(*paths), code, versions(names))
