"""The wheel of the package, which the site carries, built again only when what goes into it changed."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text", "NOTICE", "src/**/*")


def build_wheel(root: Path) -> Path:
    """Builds the wheel into ``build/wheel/DIGEST/`` (or finds it there) and returns its path."""
    folder = root / "build" / "wheel" / _digest(root)
    if not (wheels := sorted(folder.glob("*.whl"))):
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            list(WheelBuilder(str(root)).build(directory=fresh, versions=["standard"]))
            Path(fresh).rename(folder)
            Path(fresh).mkdir()  # for the context manager to remove
        wheels = sorted(folder.glob("*.whl"))
    return wheels[0]


def _digest(root: Path) -> str:
    total = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]
