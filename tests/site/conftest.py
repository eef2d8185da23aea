import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixture import configure, make_site

from tutorial_site import build

ROOT = Path(__file__).parents[2]
BUILD = """
import os, sys
from pathlib import Path
for package in ("torch", "transformers", "peft"):
    sys.modules[package] = None  # importing it fails
from tutorial_site.build import build
problems = build(Path(sys.argv[1]), Path(sys.argv[2]), afresh="FULL" in os.environ)
print(*problems, sep="\\n", end="", file=sys.stderr)
print(sum(os.times()[:4]) / 2)  # of two cores, the languages' processes among them
"""
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def recorded_site(once: Once) -> Path:
    """The fixture site as it is made; tests change a copy of it."""
    return once("recorded", make_site)


@pytest.fixture
def site(recorded_site: Path, tmp_path: Path) -> Path:
    """A copy of the fixture site that a test may change."""
    root = tmp_path / "site"
    shutil.copytree(recorded_site, root)
    configure(root)
    return root


@pytest.fixture(scope="session")
def built(once: Once) -> Path:
    """The real site, built by a process that cannot import torch; beside it lies how many seconds it took.

    Where nothing changed since the last build it is that one; with ``FULL=1`` it is made afresh.
    """

    def make(folder: Path) -> None:
        done = subprocess.run([sys.executable, "-c", BUILD, ROOT, folder], capture_output=True, text=True)
        assert not done.stderr, done.stderr
        folder.with_name("built.seconds").write_text(done.stdout)

    return once("built", make)


@pytest.fixture(scope="session")
def archive(once: Once) -> Path:
    """The real site for reading from a folder."""

    def make(folder: Path) -> None:
        problems = build.build(ROOT, folder, configs=build.OFFLINE)
        assert not problems, "\n".join(problems)

    return once("archive", make)
