from pathlib import Path

import pytest

from tutorial_site.cells import Cell, Script
from tutorial_site.compare import close, compare


def printed(text):
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def shown(kind, data):
    return [{"output_type": "display_data", "data": {kind: data}, "metadata": {}}]


def differences(recorded, got, code="", **header):
    script = Script(Path("snippets/demo/wave.py"), (Cell("speed", code, 7, **header),), "")
    return compare(script, {"speed": recorded}, {"speed": got})


def test_equal_outputs_have_no_difference():
    assert differences(printed("loss = 0.5\nfine\n"), printed("loss = 0.5\nfine\n")) == []


def test_decimals_may_differ_by_a_thousandth():
    assert differences(printed("loss = 0.50000"), printed("loss = 0.50004")) == []


def test_a_difference_names_script_cell_value_both_numbers_and_tolerance():
    assert differences(printed("loss = 0.50"), printed("loss = 0.52")) == [
        "snippets/demo/wave.py:7: cell 'speed': loss: 0.52, recorded 0.50 (tolerance: 0.1 %)"
    ]


def test_whole_numbers_are_exact():
    assert differences(printed("parameters = 134515008"), printed("parameters = 134515009"))


def test_stated_tolerance_widens_one_value_only():
    code = 'print(f"ratio = {x}")  # tolerance 50%'
    assert differences(printed("ratio = 2.0\nloss = 1.0"), printed("ratio = 2.8\nloss = 1.0"), code) == []
    assert differences(printed("ratio = 2.0\nloss = 1.0"), printed("ratio = 2.0\nloss = 1.4"), code)


def test_tolerance_of_the_header_widens_the_whole_cell():
    assert differences(printed("rank 8 took 2.0 of 10"), printed("rank 8 took 2.4 of 11"), tolerance=0.3) == []


def test_text_is_exact_and_shown():
    [line] = differences(printed("Paris is 3 km"), printed("Rome is 3 km"))
    assert "'Rome is 3 km'; recorded: 'Paris is 3 km'" in line


def test_padding_that_follows_a_longer_number_is_no_difference():
    assert differences(printed("a  9.9999 b"), printed("a 10.0001 b")) == []


def test_missing_line_shows_a_diff():
    [line] = differences(printed("one\ntwo\n"), printed("one\n"))
    assert "-two" in line


def test_figure_that_is_no_longer_drawn():
    assert differences(shown("image/svg+xml", "<svg/>"), []) == [
        "snippets/demo/wave.py:7: cell 'speed': gives nothing; recorded: image/svg+xml"
    ]


def test_table_is_compared_by_what_it_shows():
    old = shown("text/html", "<table><tr><td>rank</td><td>0.50000</td></tr></table>")
    assert differences(old, shown("text/html", "<table class=x><tr><td>rank</td><td>0.50001</td></tr></table>")) == []
    assert differences(old, shown("text/html", "<table><tr><td>rank</td><td>0.6</td></tr></table>"))


def test_figure_of_another_program_is_compared_as_ink():
    def svg(height):
        line = f'<polyline points="0,40 50,{height} 100,40"/>'
        return shown("image/svg+xml", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40">{line}</svg>')

    assert differences(svg(20), svg(21)) == []
    assert differences(svg(20), svg(5))


def test_text_of_a_cell_that_may_differ_is_left_alone():
    assert differences(printed("Paris"), printed("Lyon\nand more"), differs="greedy text near a tie") == []


@pytest.mark.parametrize(
    ("code", "header"), [('print(f"right = {x:.1f}")  # tolerance 20%', {}), ("", {"tolerance": 0.2})]
)
def test_value_of_a_cell_that_may_differ_is_held_to_its_tolerance(code, header):
    header["differs"] = "greedy text near a tie"
    assert differences(printed("Paris\nright = 40.0"), printed("Lyon\n\nright = 43.3"), code, **header) == []
    [line] = differences(printed("Paris\nright = 40.0"), printed("Lyon\nright = 20.0"), code, **header)
    assert line.endswith("cell 'speed': right: 20.0, recorded 40.0 (tolerance: 20 %)")
    assert differences(printed("Paris\nright = 40.0"), printed("Lyon"), code, **header)


def test_value_without_a_tolerance_in_a_cell_that_may_differ_is_left_alone():
    assert differences(printed("right = 40.0"), printed("right = 20.0"), differs="greedy text near a tie") == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("-1", "1", False), ("1e-5", "1.0001e-5", True), ("1,000.0", "1000.1", True), ("0.0", "1e-9", True)],
)
def test_signs_exponents_and_separators_are_understood(one, other, same):
    assert close(one, other) is same
