"""A saved file is whole or absent, whoever writes it and however it ends."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_tutorial.transformer.saving import SaveError, publish, published, save_whole


def write_in_pieces(path, byte, pieces=200):
    with open(path, "wb") as file:
        for _ in range(pieces):
            file.write(bytes([byte]) * 1000)
            file.flush()


def save_often(path, byte, times=30):
    for _ in range(times):
        save_whole(path, lambda partial: write_in_pieces(partial, byte))


def test_two_processes_that_save_at_once_leave_one_whole_file_at_any_moment(tmp_path):
    path = tmp_path / "model.bin"
    save_often(path, 0, 1)
    spawn = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    writers = [spawn.Process(target=save_often, args=(path, byte)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1
        seen.add(content[0])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen - {0}
    assert [each.name for each in tmp_path.iterdir()] == ["model.bin"]


def full_disk(path):
    write_in_pieces(path, 9, 3)
    raise OSError(28, "No space left on device")


def test_a_full_disk_costs_nothing_and_is_named_in_both_languages(tmp_path):
    save_whole(tmp_path / "model.bin", lambda path: path.write_text("former"))
    with pytest.raises(SaveError, match=r"No space left on device(.|\n)*没有保存成功") as error:
        save_whole(tmp_path / "model.bin", full_disk)
    assert str(tmp_path / "model.bin") in str(error.value)
    assert (tmp_path / "model.bin").read_text() == "former"
    assert len(list(tmp_path.iterdir())) == 1


LIMITED = """
import resource, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from llm_tutorial.transformer.saving import SaveError, save_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))  # no file grows beyond
state = {"weight": torch.zeros(1000, 1000)}
for name, write in (("a.pt", torch.save), ("a.safetensors", save_file)):
    try:
        save_whole(Path(sys.argv[1], name), lambda path: write(state, path))
    except SaveError as error:
        print(type(error.__cause__).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on a process's files")
def test_what_the_system_refuses_to_write_leaves_the_former_weights(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pt")
    save_file({"weight": torch.ones(2)}, tmp_path / "a.safetensors")
    ran = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["RuntimeError", "SafetensorError"]
    assert torch.load(tmp_path / "a.pt")["weight"].tolist() == [1, 1]
    assert load_file(tmp_path / "a.safetensors")["weight"].tolist() == [1, 1]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.pt", "a.safetensors"]


KILLED = """
import sys, time
from pathlib import Path
from llm_tutorial.transformer.saving import save_whole
def slow(path):
    path.write_text("half")
    print("half", flush=True)
    time.sleep(60)
save_whole(Path(sys.argv[1]), slow)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_a_killed_save_leaves_the_former_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("former")
    writer = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert path.read_text() == "former"

    assert len(list(tmp_path.glob(".model.bin-*.partial"))) == 1  # as the page says: somebody must clear it


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
def test_a_saved_file_can_be_read_by_others(tmp_path):
    path = save_whole(tmp_path / "model.bin", lambda path: path.write_text("x"))
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.fixture
def on_disk(monkeypatch):
    """What was brought to the disk, and what was renamed, in order: ``("fsync", inode)``, ``("replace", name)``."""
    events, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(descriptor):
        events.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def noted_replace(source, target):
        events.append(("replace", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return events


def test_a_file_is_on_the_disk_before_the_name_points_at_it(tmp_path, on_disk):
    path = save_whole(tmp_path / "model.bin", lambda path: path.write_text("x"))
    assert on_disk == [("fsync", path.stat().st_ino), ("replace", "model.bin")]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be opened")
def test_a_version_is_on_the_disk_before_it_is_current(tmp_path, on_disk):
    def build(folder):
        (folder / "inner").mkdir()
        (folder / "model").write_text("x")
        (folder / "inner" / "tokenizer").write_text("y")

    folder = publish(tmp_path, build)
    before = on_disk[: on_disk.index(("replace", "current"))]
    for path in (*folder.rglob("*"), folder, tmp_path):
        assert ("fsync", path.stat().st_ino) in before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SaveError, match="FileNotFoundError"):
        save_whole(tmp_path / "no" / "model.bin", lambda path: path.write_text("x"))


def test_a_version_is_current_only_when_it_is_complete(tmp_path):
    def build(content, fail=False):
        def fill(folder):
            (folder / "model").write_text(content)
            if fail:
                raise OSError(28, "No space left on device")
            (folder / "tokenizer").write_text(content)

        return fill

    first = publish(tmp_path, build("one"))
    assert published(tmp_path) == first
    with pytest.raises(SaveError, match="No space left"):
        publish(tmp_path, build("two", fail=True))
    assert published(tmp_path) == first
    assert sorted(each.name for each in tmp_path.iterdir()) == ["current", first.name]
    second = publish(tmp_path, build("three"))
    assert published(tmp_path) == second != first
    assert {(second / name).read_text() for name in ("model", "tokenizer")} == {"three"}
    assert (first / "model").read_text() == "one"  # whoever still reads it


def test_publishers_at_once_leave_versions_that_fit_together(tmp_path):
    def build(content):
        def fill(folder):
            for name in ("model", "tokenizer"):
                (folder / name).write_text(content)
                time.sleep(0.002)

        return fill

    publish(tmp_path, build("0"))
    writers = [threading.Thread(target=publish, args=(tmp_path, build(str(number)))) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        folder = published(tmp_path)
        assert len({(folder / name).read_text() for name in ("model", "tokenizer")}) == 1
    for writer in writers:
        writer.join()
    assert len(list(tmp_path.glob("version-*"))) == 9


def test_nothing_published_is_said_in_both_languages(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Nothing was published(.|\n)*没有发布"):
        published(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        published(Path(tmp_path))


def test_neither_format_notices_a_flipped_bit(tmp_path):
    """What the page says of both: only a check sum kept beside the file does."""
    for name, write, read in (("a.pt", torch.save, torch.load), ("a.safetensors", save_file, load_file)):
        path = tmp_path / name
        write({"weight": torch.ones(1000, 1000)}, path)
        content = bytearray(path.read_bytes())
        content[3_000_003] ^= 0x40
        path.write_bytes(content)
        assert not read(path)["weight"].isfinite().all()
