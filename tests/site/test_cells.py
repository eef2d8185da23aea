from pathlib import Path

import pytest

from tutorial_site import SiteError
from tutorial_site.cells import read_script
from tutorial_site.imports import imported


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


def test_cell_of_values_is_shown_by_no_page(tmp_path):
    one, two = script(tmp_path, '# %% one\n# %% two values tolerance="5%"\n').cells
    assert (one.hidden, two.hidden, two.tolerance) == (False, True, 0.05)


def test_tolerance_stands_behind_a_print_of_several_lines(tmp_path):
    cell = script(
        tmp_path, '# %% one\nprint(\n    f"speed = {x:.1f}"\n)  # tolerance 50%\nprint(f"loss = {y}")\n'
    ).cells[0]
    assert cell.tolerances == {"speed": 0.5}


def test_script_with_a_timed_cell_is_timed(tmp_path):
    timed = script(tmp_path, '# %% one\n# %% race timed differs="of the processor"\n')
    assert timed.timed
    assert [cell.timed for cell in timed.cells] == [False, True]
    assert timed["race"].differs == "of the processor"
    assert not script(tmp_path, "# %% one\nimport time\n").timed


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


def test_stating_a_tolerance_asks_for_no_new_run_and_other_edits_do(tmp_path):
    code = '# %% one differs="near a tie"\nprint(f"ratio = {x}")\n'
    before = script(tmp_path, code).digest
    for same in ('tie" tolerance="60%"\n', 'tie"\t tolerance="6%"\n'):
        assert script(tmp_path, code.replace('tie"\n', same)).digest == before
    assert script(tmp_path, code.replace('")\n', '")  # tolerance 5%\n')).digest == before
    assert script(tmp_path, code.replace('")\n', '")  # a ratio\n')).digest != before
    assert script(tmp_path, code.replace("{x}", "{y}")).digest != before


def test_tolerance_of_a_name_that_is_put_together_holds_for_every_such_name(tmp_path):
    code = "for n in (1, 2):\n    print(f\"time_of_{name.replace(', ', '_')}_{n} = {n:.1f}\")  # tolerance 25%\n"
    [cell] = script(tmp_path, f'# %% one tolerance="5%"\n{code}').cells
    assert cell.stated("time_of_a_b_1") == 0.25
    assert cell.stated("time") == 0.05


@pytest.mark.parametrize("code", ['# %% one tolerance="100%"\n', '# %% one\nprint(f"a = {a}")  # tolerance 900%\n'])
def test_tolerance_that_lets_everything_pass_is_refused(code, tmp_path):
    with pytest.raises(SiteError, match=r"wave\.py:1: cell 'one': a tolerance of \d00% compares nothing"):
        script(tmp_path, code)


def test_byte_order_mark_is_no_code(tmp_path):
    plain = script(tmp_path, "# %% one\na = 1\n")
    (tmp_path / "wave.py").write_text("# %% one\na = 1\n", encoding="utf-8-sig")
    assert read_script(tmp_path / "wave.py") == plain
    assert not list(imported(tmp_path / "wave.py"))


def test_script_in_the_encoding_of_a_country_is_named(tmp_path):
    (tmp_path / "wave.py").write_bytes("# %% one\n# 波\n".encode("gbk"))
    with pytest.raises(SiteError, match=r"wave\.py: not UTF-8 .*; save it as UTF-8"):
        read_script(tmp_path / "wave.py")
