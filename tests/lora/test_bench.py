"""The benchmark compares like with like, and says what it leaves out."""

import pytest
import torch
from torch.nn.attention.flex_attention import create_mask

from llm_tutorial.lora import bench
from llm_tutorial.lora.bench import Configuration


@pytest.mark.parametrize("length", [40, 64, 300])
def test_entities_first_is_the_same_matrix_in_another_order(length: int) -> None:
    matrix = Configuration(block_size=16, entities=5).matrix(length)
    order, keeps = bench.entities_first(matrix)
    assert matrix.is_entity[0][order].tolist() == [True] * 5 + [False] * (length - 5)
    assert torch.equal(create_mask(keeps, 1, None, length, length, "cpu")[0, 0], matrix.mask()[0][order][:, order])


def test_the_command_prints_a_row_for_each_length(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    bench.main(["--lengths", "64", "100", "--threads", "1", "--seconds", "0"])
    torch.set_num_threads(threads)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["length", "64", "100"]
    assert all(row.count("x") == 3 for row in rows[1:])


def test_without_a_compiler_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not bench.has_compiler()
    with pytest.raises(RuntimeError, match=r"install g\+\+ or clang"):
        bench.flex(Configuration(), 64)
    bench.main(["--lengths", "64", "--threads", str(torch.get_num_threads()), "--seconds", "0", "--flex"])
    assert "no C++ compiler here" in capsys.readouterr().out


@pytest.mark.skipif(not bench.has_compiler(), reason="there is no C++ compiler")
def test_flex_attention_gives_the_same_output() -> None:
    ratios = bench.flex(Configuration(), 256, seconds=0, blocks=(64,), least=1)  # asserts that the outputs are equal
    assert ratios.keys() == {64}
    assert ratios[64] > 0
