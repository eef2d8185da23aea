"""The wheel of the package, which the site carries, built again only when what goes into it changed."""

import os
import tempfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from tutorial_site.repository import files

SOURCES = ("pyproject.toml", "README.md", "LICENSE*", "NOTICE", "src", "src/**/*")


def build_wheel(root: Path) -> Path:
    """Builds the wheel into ``build/wheel/`` (or finds it there, newer than its sources) and returns its path."""
    folder = root / "build" / "wheel"
    sources = [path for pattern in SOURCES for path in files(root, pattern) if "__pycache__" not in path.parts]
    newest = max(path.stat().st_mtime for path in sources)
    for wheel in folder.glob("*.whl"):
        if wheel.stat().st_mtime > newest:
            return wheel
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        [path] = WheelBuilder(str(root)).build(directory=made, versions=["standard"])
        os.replace(path, folder / Path(path).name)
    return folder / Path(path).name
