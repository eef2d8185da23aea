import doctest
import subprocess
import sys

import pytest

from llm_tutorial import tables
from llm_tutorial.tables import over_seeds, table


def test_examples_of_the_docstrings_hold():
    assert doctest.testmod(tables).failed == 0


def test_columns_are_aligned_with_chinese_as_wide_as_it_is():
    lines = str(table({"稠密": ["1"], "LoRA": ["20"]}, ["方法", "F1"])).splitlines()
    assert lines == ["方法  F1", "稠密   1", "LoRA  20"]


def test_html_escapes_and_names_rows_as_headings():
    page = table({"a<b": ["x&y"]}, ["", "n"])._repr_html_()
    assert "<tr><th>a&lt;b</th><td>x&amp;y</td></tr>" in page
    assert "<thead><tr><th></th><th>n</th></tr></thead>" in page


def test_one_format_serves_all_columns_and_text_stays_as_it_is():
    assert str(table({"r": [0.5, "–"]}, ["", "a", "b"], ".0%")).endswith("r  50%  –")


def test_row_of_another_length_is_named_in_both_languages():
    with pytest.raises(ValueError, match=r"(?s)row 'r' has 1 entries; 2 headings.*行 'r' 有 1 项"):
        table({"r": [1]}, ["", "a", "b"])


def test_spread_of_seeds_is_lowest_and_highest():
    assert over_seeds([0.25, 0.5], ".2f") == "0.38 [0.25, 0.50]"


def test_plain_session_shows_text():
    code = "from llm_tutorial.tables import table; table({'r': [1]}, ['', 'n']).show()"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "   n\nr  1\n"


def test_notebook_shows_html(capsys, monkeypatch):
    import IPython

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", shown.append)
    one = table({"r": [1]}, ["", "n"])
    one.show()
    assert shown == [one]
    assert capsys.readouterr().out == ""
