"""The wheel of the package, which the site carries, built again only when what goes into it changed."""

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text", "NOTICE", "src/**/*")


def build_wheel(root: Path) -> Path:
    """Builds the wheel into ``build/wheel/DIGEST/`` (or finds it there) and returns its path."""
    folder = root / "build" / "wheel" / _digest(root)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            list(WheelBuilder(str(root)).build(directory=f"{made}/wheel", versions=["standard"]))
            with suppress(OSError):  # another build was faster
                Path(made, "wheel").rename(folder)
    return next(folder.glob("*.whl"))


def _digest(root: Path) -> str:
    total = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]
