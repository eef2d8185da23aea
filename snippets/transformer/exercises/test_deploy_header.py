import builtins

import numpy as np
import pytest
from safetensors.numpy import save_file

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(100, 104, dtype=np.int64),
    "c": np.array([[0.5], [0.25]], dtype=np.float16),
    "large": np.zeros(200_000, dtype=np.float32),
}


@pytest.fixture
def path(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_tensor_is_the_one_that_was_saved(answer, path, name):
    found = answer.read_tensor(path, name)
    assert found.dtype == TENSORS[name].dtype, pytest.say(
        f"{name!r} has the type {TENSORS[name].dtype}, you read {found.dtype}.",
        f"{name!r} 的类型是 {TENSORS[name].dtype}，你读出的是 {found.dtype}。",
    )
    assert np.array_equal(found, TENSORS[name]), pytest.say(
        f"{name!r} is {TENSORS[name].tolist()}, you read {found.tolist()}: the numbers "
        "begin after the 8 bytes and the header, and its offsets count from there.",
        f"{name!r} 是 {TENSORS[name].tolist()}，你读出的是 {found.tolist()}："
        "数从 8 个字节和头之后开始，偏移量也从那里数起。",
    )


def test_the_others_are_not_read(answer, path, monkeypatch):
    read, opened = [], builtins.open

    def counting(*args, **kwargs):
        file = opened(*args, **{"buffering": 0} | kwargs)
        original = file.read

        class File:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def __getattr__(self, name):
                return getattr(file, name)

            def read(self, *count):
                data = original(*count)
                read.append(len(data))
                return data

        return File()

    monkeypatch.setattr(builtins, "open", counting)
    answer.read_tensor(path, "c")
    assert sum(read) < 10_000, pytest.say(
        f"You read {sum(read):,} bytes for a tensor of 4: use seek to skip the others.",
        f"为了一个 4 字节的张量，你读了 {sum(read):,} 个字节：用 seek 跳过其他张量。",
    )
