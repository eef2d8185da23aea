"""A fetch against an index that breaks in every way: never a half-written cache, always a sentence that helps."""

import hashlib
import http.server
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_tutorial import fetch as fetching
from llm_tutorial.fetch import FetchError, Source, cached, fetch

PACKAGE, WHEEL = "tutorial-broken", "tutorial_broken-1.0-py3-none-any.whl"
ARCHIVE = "tutorial_broken-1.0.tar.gz"
DATA = b"weights " * 50_000
SOURCE = Source(
    PACKAGE,
    "1.0",
    files={"tutorial_broken/weights.bin": hashlib.sha256(DATA).hexdigest()},
    licence="MIT",
    credit="nobody",
)


def wheel(data: bytes = DATA, member: str = "tutorial_broken/weights.bin") -> bytes:
    """A small valid wheel with one file of data."""
    info = "tutorial_broken-1.0.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


BUILD = f"""
from pathlib import Path
def build_wheel(*_): raise SystemExit
def prepare_metadata_for_build_wheel(folder, _=None):
    Path({{ran!r}}).touch()
    info = Path(folder, "tutorial_broken-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: 1.0\\n")
    return info.name
"""


def source_archive(ran: Path, data: bytes = DATA, member: str = "tutorial_broken/weights.bin", link: str = "") -> bytes:
    """A small valid source archive with one file of data, or a link; its build code leaves the file `ran`."""
    project = '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n'
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {
            "pyproject.toml": project.encode(),
            "build.py": BUILD.format(ran=str(ran)).encode(),
            member: data,
        }.items():
            entry = tarfile.TarInfo(f"tutorial_broken-1.0/{name}")
            entry.size = len(content)
            if link and name == member:
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, link, 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def from_archive(body: bytes) -> Source:
    return replace(SOURCE, archive=hashlib.sha256(body).hexdigest())


class Index(http.server.ThreadingHTTPServer):
    """A package index of one wheel, or source archive, that serves it as `mode` says."""

    daemon_threads = True
    mode = "good"
    file = WHEEL
    body = wheel()
    served = 0
    delay = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, kind: str, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        mode, body = self.server.mode, self.server.body
        if mode in ("500", "404"):
            self.reply(int(mode), "text/plain", b"no")
        elif self.path.startswith("/simple/"):
            self.reply(200, "text/html", f'<a href="/files/{self.server.file}">{self.server.file}</a>'.encode())
        elif mode == "hangs":
            time.sleep(30)
        elif mode == "truncates":
            self.reply(200, "application/octet-stream", body[: len(body) // 2], len(body))
        elif mode == "slow":
            self.reply(200, "application/octet-stream", body[:1000], len(body))
            self.wfile.flush()
            time.sleep(30)
        else:
            self.server.served += 1
            time.sleep(self.server.delay)
            self.reply(200, "application/octet-stream", body)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The index, with pip and the cache pointed at it."""
    server = Index(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    for option in ("RETRIES", "RESUME_RETRIES"):
        monkeypatch.setenv(f"PIP_{option}", "0")
    monkeypatch.setenv("PIP_TIMEOUT", "1")
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()


def entries() -> list[str]:
    """Names in the cache, locks apart."""
    cache = fetching.cache_folder()
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock") if cache.exists() else []


def test_a_fetched_file_is_verified_and_kept(index: Index) -> None:
    folder = fetch(SOURCE)
    assert (folder / "weights.bin").read_bytes() == DATA
    assert fetch(SOURCE) == folder
    assert index.served == 1
    assert entries() == ["tutorial-broken-1.0"]


def test_a_second_use_needs_no_network(index: Index) -> None:
    folder = fetch(SOURCE)
    index.mode = "500"
    assert fetch(SOURCE) == folder


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("500", "does not have it, or did not answer"),
        ("404", "does not have it, or did not answer"),
        ("hangs", "timed out"),
        ("truncates", "not enough bytes|is invalid"),  # as newer and older versions of pip say it
    ],
)
def test_a_broken_server_leaves_no_entry_and_says_what_to_do(index: Index, mode: str, reason: str) -> None:
    index.mode = mode
    with pytest.raises(FetchError, match="PIP_INDEX_URL") as caught:
        fetch(SOURCE)
    english, chinese = str(caught.value).splitlines()
    assert re.search(reason, english)
    assert "tutorial-broken==1.0" in english
    assert "镜像" in chinese
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert entries() == []
    index.mode = "good"
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA


def test_no_network_is_one_clear_sentence(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(
        FetchError, match=r"Cannot download tutorial-broken==1\.0 with pip: .*refused.*Check the network"
    ):
        fetch(SOURCE)
    assert entries() == []


def test_another_file_than_expected_is_refused_with_both_hashes(index: Index) -> None:
    altered = DATA[:-1] + b"!"
    index.body = wheel(altered)
    with pytest.raises(FetchError, match="another one") as caught:
        fetch(SOURCE)
    for hash_ in (hashlib.sha256(altered).hexdigest(), hashlib.sha256(DATA).hexdigest()):
        assert str(caught.value).count(hash_) == 2  # in English and in Chinese
    assert "tutorial_broken/weights.bin" in str(caught.value)
    assert entries() == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(wheel(member="tutorial_broken/other.bin"), id="without-the-file"),
        pytest.param(b"<html>Please log in to this network</html>", id="a-login-page"),
        pytest.param(wheel()[:-100], id="a-cut-archive"),
        pytest.param(wheel().replace(b"weights w", b"weights v", 1), id="a-flipped-bit"),
    ],
)
def test_a_wheel_of_other_content_leaves_no_entry(index: Index, body: bytes) -> None:
    index.body = body
    with pytest.raises(FetchError, match="PIP_INDEX_URL"):
        fetch(SOURCE)
    assert entries() == []


def test_files_of_one_base_name_keep_their_paths(index: Index) -> None:
    other = "tutorial_broken/more/weights.bin"
    with zipfile.ZipFile(body := io.BytesIO(index.body), "a") as archive:
        archive.writestr(other, b"more")
    index.body = body.getvalue()
    folder = fetch(replace(SOURCE, files={**SOURCE.files, other: hashlib.sha256(b"more").hexdigest()}))
    assert (folder / "tutorial_broken-weights.bin").read_bytes() == DATA
    assert (folder / "tutorial_broken-more-weights.bin").read_bytes() == b"more"


def test_a_source_archive_is_read_where_there_is_no_wheel(index: Index, tmp_path: Path) -> None:
    index.file, index.body = ARCHIVE, source_archive(tmp_path / "ran")
    folder = fetch(from_archive(index.body))
    assert sorted(path.name for path in folder.iterdir()) == [".checked.json", "weights.bin"]
    assert (folder / "weights.bin").read_bytes() == DATA
    index.mode = "500"
    assert fetch(from_archive(index.body)) == folder
    assert entries() == ["tutorial-broken-1.0"]


def test_an_altered_source_archive_is_refused_before_its_code_runs(index: Index, tmp_path: Path) -> None:
    expected, index.file = source_archive(tmp_path / "ran"), ARCHIVE
    for body in (source_archive(tmp_path / "ran", data=b"other"), expected[:-100], b"<html>Please log in</html>"):
        index.body = body
        with pytest.raises(FetchError, match="PIP_INDEX_URL") as caught:
            fetch(from_archive(expected))
        for content in (body, expected):
            assert str(caught.value).count(hashlib.sha256(content).hexdigest()) == 2  # in English and in Chinese
        assert not (tmp_path / "ran").exists()
        assert entries() == []
    index.body = expected
    assert (fetch(from_archive(expected)) / "weights.bin").read_bytes() == DATA
    assert (tmp_path / "ran").exists()


def test_a_source_archive_cut_on_its_way_leaves_no_entry(index: Index, tmp_path: Path) -> None:
    index.file, index.body, index.mode = ARCHIVE, source_archive(tmp_path / "ran"), "truncates"
    with pytest.raises(FetchError, match=r"not enough bytes|has the SHA-256"):
        fetch(from_archive(index.body))
    assert entries() == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param({"member": "tutorial_broken/other.bin"}, "has no tutorial_broken/weights.bin", id="without-it"),
        pytest.param({"member": "nested/tutorial_broken/weights.bin"}, "has no tutorial_broken", id="one-deeper"),
        pytest.param({"link": "../pyproject.toml"}, "has no tutorial_broken", id="a-link"),
        pytest.param({"data": b"other"}, hashlib.sha256(b"other").hexdigest(), id="another-file"),
        pytest.param({"member": "../../weights.bin"}, "PIP_INDEX_URL", id="a-path-to-the-outside"),
    ],
)
def test_a_source_archive_of_other_content_leaves_no_entry(
    index: Index, tmp_path: Path, content: dict, reason: str
) -> None:
    index.file, index.body = ARCHIVE, source_archive(tmp_path / "ran", **content)
    with pytest.raises(FetchError, match=reason):
        fetch(from_archive(index.body))
    assert entries() == []
    assert not list(tmp_path.rglob("weights.bin"))


def test_a_file_damaged_later_is_noticed_and_fetched_again(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch(SOURCE) / "weights.bin"
    for damage in (DATA[:1000], b"!" + DATA[1:]):  # another size; the same size but another time stamp and hash
        path.write_bytes(damage)
        assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA
        assert "damaged" in capsys.readouterr().err
    assert index.served == 3


def test_a_file_that_vanished_is_fetched_again(index: Index) -> None:
    (fetch(SOURCE) / "weights.bin").unlink()
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA


def test_a_copied_cache_is_used_as_it_is(index: Index) -> None:
    path = fetch(SOURCE) / "weights.bin"
    os.utime(path, ns=(1, 1))
    assert fetch(SOURCE) == path.parent
    assert index.served == 1


def test_another_expected_hash_makes_the_entry_anew(index: Index) -> None:
    fetch(SOURCE)
    other = Source(PACKAGE, "1.0", {"tutorial_broken/weights.bin": "0" * 64}, "MIT", "nobody")
    with pytest.raises(FetchError, match="0" * 64):
        fetch(other)


def python(code: str) -> subprocess.Popen:
    """A process of its own that runs code with `fetch`, `SOURCE` of this module."""
    setup = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; from test_fetch import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", setup + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_two_processes_at_once_download_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TIMEOUT", "30")  # the delay shall not count as a broken server
    index.delay = 1  # time for the second to come in between
    both = [python("print(fetch(SOURCE))") for _ in range(2)]
    folders = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert folders == {str(fetching.cache_folder() / "tutorial-broken-1.0")}
    assert index.served == 1


def test_a_wheel_named_by_itself_is_kept_whole_under_one_hash(index: Index) -> None:
    whole = replace(SOURCE, files={WHEEL: hashlib.sha256(index.body).hexdigest()})
    assert (fetch(whole) / WHEEL).read_bytes() == index.body
    with pytest.raises(FetchError, match="expected 0000"):
        fetch(replace(whole, files={WHEEL: "0" * 64}))


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_killed_fetch_starts_over_cleanly(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TIMEOUT", "30")
    index.mode = "slow"
    process = python("fetch(SOURCE)")
    deadline = time.monotonic() + 30
    while not any(name.startswith(".partial") for name in entries()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)  # into the download
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (fetching.cache_folder() / "tutorial-broken-1.0").exists()
    index.mode = "good"
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA
    assert entries() == ["tutorial-broken-1.0"]


def test_an_interrupt_stops_pip_as_well(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.mode = "slow"
    pips = []

    def growing(scratch: Path) -> int:
        pips.append(scratch)
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_growing", growing)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(SOURCE)
    assert time.monotonic() - start < 5
    assert not pips[0].exists()
    assert entries() == []


def test_a_cache_that_cannot_be_written_names_the_variable(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="LLM_TUTORIAL_CACHE") as caught:
        fetch(SOURCE)
    assert "无法写入缓存目录" in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_cache_serves_what_it_has_and_refuses_the_rest(index: Index, tmp_path: Path) -> None:
    cache = fetch(SOURCE).parent
    for path in [cache, cache / "tutorial-broken-1.0", tmp_path]:
        path.chmod(0o555)
    code = (
        "import os\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # permissions do not bind root
        "print(fetch(SOURCE))\n"
        "try: cached('other', lambda folder: None)\n"
        "except FetchError as error: print(error)\n"
    )
    for parent in list(tmp_path.parents)[:3]:  # one more where several processes test
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    try:
        out, err = python(code).communicate(timeout=60)
    finally:
        for path in [tmp_path, cache, cache / "tutorial-broken-1.0"]:
            path.chmod(0o755)
    assert str(cache / "tutorial-broken-1.0") in out, err
    assert "Permission denied" in out
    assert "LLM_TUTORIAL_CACHE" in out


def test_a_build_that_fails_leaves_nothing(index: Index) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        cached("model", build)
    assert entries() == []


def test_nothing_is_downloaded_at_import(tmp_path: Path) -> None:
    code = "import socket; socket.socket.connect = None\nimport llm_tutorial.fetch"
    environment = {**os.environ, "LLM_TUTORIAL_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not (tmp_path / "cache").exists()


def wheel_folder(tmp_path: Path) -> Path:
    """A folder of the reader's with wheels, constraints and a configuration of pip, as relative settings name them."""
    (tmp_path / "mine/wheels").mkdir(parents=True)
    (tmp_path / "mine/wheels" / WHEEL).write_bytes(wheel())
    (tmp_path / "mine/constraints.txt").write_text("numpy<3\n")
    (tmp_path / "mine/pip.conf").write_text("[global]\nno-index = true\nfind-links = wheels\n")
    return tmp_path / "mine"


@pytest.mark.parametrize(
    "settings",
    [
        {"PIP_CONSTRAINT": "constraints.txt"},
        {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"},
        {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "./wheels other"},
        {"PIP_CONFIG_FILE": "pip.conf"},
        {"LLM_TUTORIAL_CACHE": "cache"},
    ],
    ids=str,
)
def test_relative_settings_hold_where_the_reader_is(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    monkeypatch.chdir(wheel_folder(tmp_path))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA
    assert index.served == (0 if "wheels" in str(settings) or "pip.conf" in str(settings) else 1)


def test_a_constraint_that_forbids_the_version_is_obeyed(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(wheel_folder(tmp_path))
    Path("constraints.txt").write_text(f"{PACKAGE}>1\n")
    monkeypatch.setenv("PIP_CONSTRAINT", "constraints.txt")
    with pytest.raises(FetchError, match="Cannot download"):
        fetch(SOURCE)


def test_a_source_archive_is_fetched_from_any_folder(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(wheel_folder(tmp_path))
    index.file, index.body = ARCHIVE, source_archive(tmp_path / "ran")
    assert (fetch(from_archive(index.body)) / "weights.bin").read_bytes() == DATA


def test_modules_of_the_reader_do_not_get_in_the_way_of_pip(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(wheel_folder(tmp_path))
    for name in ("random", "email", "pip"):
        Path(f"{name}.py").write_text("raise SystemExit('the reader's own')\n")
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        *("constraints.txt", "email.py", "pip.conf", "pip.py", "random.py", "wheels"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted there")
def test_a_current_folder_that_was_deleted_does_not_matter(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert (fetch(SOURCE) / "weights.bin").read_bytes() == DATA


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container that is started under any number."""
    import pwd

    def unknown(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "LLM_TUTORIAL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, name, unknown)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX home folders")
@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("chosen", [None, "~/cache", "~nobody-here/cache"])
def test_no_home_folder_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if chosen:
        monkeypatch.setenv("LLM_TUTORIAL_CACHE", chosen)
    with pytest.raises(FetchError, match=r"no home folder .*Set HOME.*LLM_TUTORIAL_CACHE[\s\S]*找不到主目录"):
        fetch(SOURCE)
    assert not list(tmp_path.iterdir())  # above all no folder called ~


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX home folders")
@pytest.mark.usefixtures("homeless")
def test_a_chosen_folder_needs_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path))
    assert fetching.cache_folder() == tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX home folders")
@pytest.mark.usefixtures("homeless")
def test_a_model_in_a_home_that_is_not_there_is_named() -> None:
    from llm_tutorial.models import load_tokenizer

    with pytest.raises(ValueError, match=r"There is no folder '~/model'[\s\S]*没有可供加载模型的文件夹"):
        load_tokenizer("~/model")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", "~/cache")
    assert fetching.cache_folder() == tmp_path / "cache"
