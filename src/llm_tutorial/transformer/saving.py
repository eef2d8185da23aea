"""Files that are whole or absent: what a deployed model must be, whoever writes it, however it ends.

A file is written beside its place, brought to the disk and renamed over it, which file systems do in one step. A full
disk, a killed process or a second writer leaves the former file as it was. Several files that belong together, such as
a model and its tokenizer, go into a folder of their own; a one-line file that is replaced last says which folder counts.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CURRENT = "current"


class SaveError(RuntimeError):
    """A file could not be saved; the message says why, in English and in Chinese. What was there before still is."""


def save_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Saves a file that is whole or absent; a former one stays until the new one is complete.

    Args:
        path: Where the file is to stand.
        write: Writes a whole file at the path it is given, for example ``lambda path: torch.save(state, path)``.

    Returns:
        ``path``.

    Raises:
        SaveError: It could not be written: a full disk, no permission, an error of ``write``.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_whole(f"{folder}/a.txt", lambda path: path.write_text("whole")).read_text()
        'whole'
    """
    path = Path(path)
    partial = path  # until there is one
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".partial", dir=path.parent)
        partial = Path(name)  # a name of its own for each writer
        os.close(descriptor)
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # to the disk before the name points at it
        partial.chmod(0o644)  # mkstemp's file is for its owner alone
        os.replace(partial, path)
    except Exception as error:
        raise SaveError(_unsaved(path, error)) from error
    finally:
        if partial != path:
            partial.unlink(missing_ok=True)
    return path


def publish(root: str | Path, build: Callable[[Path], object]) -> Path:
    """Saves a folder of files that belong together, and makes it the current one in one step.

    Args:
        root: Holds the versions, and the file ``current`` with the name of the one that counts.
        build: Fills the (new, empty) folder it is given, for example ``model.save_pretrained``.

    Returns:
        The new folder.

    Raises:
        SaveError: It could not be built; the former version is still the current one.

    Example:
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = publish(root, lambda folder: (folder / "config.json").write_text("{}"))
        ...     published(root) == folder
        True
    """
    root = Path(root)
    folder: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="version-", dir=root))
        folder.chmod(0o755)
        build(folder)
        _bring_to_disk(folder)  # before ``current`` names it
        save_whole(root / CURRENT, lambda path: path.write_text(folder.name, encoding="utf-8"))
    except Exception as error:
        if folder:
            with suppress(OSError):
                shutil.rmtree(folder)
        if isinstance(error, SaveError):
            raise
        raise SaveError(_unsaved(root, error)) from error
    return folder


def published(root: str | Path) -> Path:
    """The folder that ``publish`` made the current one.

    Args:
        root: Where the versions are.

    Raises:
        FileNotFoundError: Nothing was published there.
    """
    root = Path(root)
    try:
        return root / (root / CURRENT).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Nothing was published in {root}: use publish(root, build) first.\n"
            f"{root} 里还没有发布过任何版本：请先用 publish(root, build)。"
        ) from None


def _bring_to_disk(folder: Path) -> None:
    """Whatever was written in a folder, whoever wrote it: most libraries rename at best, without ``fsync``."""
    posix = os.name == "posix"  # elsewhere a folder cannot be opened, and a file only to be written
    for path in (*folder.rglob("*"), folder, folder.parent):
        if posix or path.is_file():
            descriptor = os.open(path, os.O_RDONLY if posix else os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _unsaved(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
    return (
        f"{path} was not saved ({type(error).__name__}: {reason}); what was there before is untouched. "
        "Is the disk full, or the folder not writable?\n"
        f"{path} 没有保存成功（{type(error).__name__}：{reason}）；原来的内容没有动。磁盘是否已满，或文件夹不可写？"
    )
