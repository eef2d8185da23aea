import os

import pytest


def full_disk(path):
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_new_file_is_written(answer, tmp_path):
    answer.save(tmp_path / "m.bin", lambda path: path.write_bytes(b"new"))
    assert (tmp_path / "m.bin").read_bytes() == b"new", pytest.say(
        "The new file is not where it should be.", "新文件不在该在的地方。"
    )


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_another_user_can_read_it(answer, tmp_path):
    path = tmp_path / "m.bin"
    answer.save(path, lambda path: path.write_bytes(b"new"))
    mode = path.stat().st_mode & 0o777
    assert mode & 0o044 == 0o044, pytest.say(
        f"The file has the mode {mode:03o}: a service under another user cannot open "
        "it. mkstemp's file is for its owner alone; chmod it before the rename.",
        f"文件的权限是 {mode:03o}，用另一个账号运行的服务打不开它。"
        "mkstemp 建的文件只有自己能读；改名之前先 chmod。",
    )


def test_the_former_file_outlives_a_full_disk(answer, tmp_path):
    path = tmp_path / "m.bin"
    path.write_bytes(b"former")
    with pytest.raises(OSError, match="No space"):
        answer.save(path, full_disk)
    assert path.read_bytes() == b"former", pytest.say(
        f"After a full disk the file holds {path.read_bytes()!r}; the former weights "
        "are lost. Write beside it, then os.replace.",
        f"磁盘写满之后，文件里是 {path.read_bytes()!r}，原来的权重没了。"
        "先写在旁边，再用 os.replace。",
    )


def test_nothing_is_left_behind(answer, tmp_path):
    with pytest.raises(OSError, match="No space"):
        answer.save(tmp_path / "m.bin", full_disk)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert not left, pytest.say(
        f"A failed save leaves {left} behind, and the disk is full already.",
        f"保存失败后留下了 {left}，而磁盘已经满了。",
    )


def test_two_savers_have_two_temporary_files(answer, tmp_path):
    path, seen = tmp_path / "m.bin", []

    def inner(partial):
        seen.append(partial)
        partial.write_bytes(b"second")

    def outer(partial):
        seen.append(partial)
        partial.write_bytes(b"fir")
        answer.save(path, inner)  # another process saves in between
        with partial.open("ab") as file:
            file.write(b"st")

    answer.save(path, outer)
    assert seen[0] != seen[1], pytest.say(
        f"Two that save at once both write to {seen[0].name}: take a name that nobody "
        "else has (tempfile.mkstemp).",
        f"同时保存的两方都在写 {seen[0].name}："
        "要用别人没有的名字（tempfile.mkstemp）。",
    )
    assert path.read_bytes() == b"first", pytest.say(
        f"The last to finish wrote b'first', the file holds {path.read_bytes()!r}.",
        f"最后写完的一方写的是 b'first'，文件里却是 {path.read_bytes()!r}。",
    )


def test_the_file_is_renamed_within_its_folder(answer, tmp_path):
    folders = []
    answer.save(
        tmp_path / "m.bin", lambda path: (folders.append(path.parent), path.touch())
    )
    assert folders == [tmp_path], pytest.say(
        "Write beside the file: a rename from another disk is a copy, not one step.",
        "要写在同一个文件夹里：从别的磁盘改名过来其实是复制，不是一步完成。",
    )
