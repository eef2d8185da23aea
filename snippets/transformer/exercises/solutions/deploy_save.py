import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def save(path: Path, write: Callable[[Path], None]) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    partial = Path(name)  # beside it, under a name that no other writer has
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)  # mkstemp's file is for its owner alone
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
