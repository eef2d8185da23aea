from pathlib import Path

import pytest

from tutorial_site import SiteError
from tutorial_site.cells import read_script


def script(folder: Path, text: str):
    path = folder / "wave.py"
    path.write_text(text, encoding="utf-8")
    return read_script(path)


def test_cells_keep_their_order_code_and_line(tmp_path):
    cells = script(tmp_path, "# %% one\na = 1\n\n# %% two\nb = 2\n").cells
    assert [(cell.name, cell.code, cell.line) for cell in cells] == [("one", "a = 1", 1), ("two", "b = 2", 4)]


def test_header_says_what_may_differ_and_what_is_hidden(tmp_path):
    cells = script(tmp_path, '# %% one differs="near a tie"\n# %% two hidden\n# %% three tolerance="5%"\n').cells
    assert [(cell.differs, cell.hidden, cell.tolerance) for cell in cells] == [
        ("near a tie", False, None),
        (None, True, None),
        (None, False, 0.05),
    ]


def test_tolerance_stands_beside_the_printed_value(tmp_path):
    cell = script(
        tmp_path, '# %% one\nprint(f"speed = {x:.1f}")  # tolerance 50%\nprint(f"loss = {y}")  # tolerance 0.01\n'
    ).cells[0]
    assert cell.tolerances == {"speed": 0.5, "loss": 0.01}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n# %% one\n", ":1: code before the first"),
        ("# %% one\n# %% one\n", ":2: a second cell named 'one'"),
        ("# %% One\n", ":1: a cell needs a name"),
        ("# %%\n", ":1: a cell needs a name"),
    ],
)
def test_script_that_is_no_set_of_named_cells_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(SiteError, match=message):
        script(tmp_path, text)


def test_digest_ignores_the_line_ends_of_windows(tmp_path):
    unix = script(tmp_path, "# %% one\na = 1\n").digest
    (tmp_path / "wave.py").write_bytes(b"# %% one\r\na = 1\r\n")
    assert read_script(tmp_path / "wave.py").digest == unix
