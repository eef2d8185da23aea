import html
import re
from pathlib import Path

import pytest
from rendering import make_root, render

from tutorial_site import SiteError
from tutorial_site.formulas import mathml
from tutorial_site.page import constructs

REPOSITORY = Path(__file__).parents[2]
FONT = REPOSITORY / "docs/zh/assets/fonts/stix-two-math.woff2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


def test_formula_becomes_mathml_inside_its_sentence(root):
    page = render(root, "令$W_0 \\in \\mathbb{R}^{d \\times k}$为权重，$x_1 * y_2 * z$。\n", "zh")
    assert page.startswith('<p>令<span class="math"><math><msub><mi>W</mi>')
    assert "</math></span>为权重" in page
    assert "<em>" not in page


def test_displayed_formula_scrolls_and_keeps_its_paragraph_valid(root):
    page = render(
        root, "Text\n$$\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n$$\nmore.\n\n- item\n\n    $$ x $$\n"
    )
    assert '<span class="math math-display"><math display="block"><mtable' in page
    assert "<div" not in page


def test_formula_stands_in_headings_tables_and_lists(root):
    page = render(root, "# The $r$ {#r}\n\n| $|x|$ | b |\n| --- | --- |\n| $a_1$ | $b_1$ |\n\n- $c$\n")
    assert page.count("<math>") == 5
    assert page.count("<td>") == 2


@pytest.mark.parametrize(
    ("tex", "message"), [(r"\frac{1}", "frac"), (r"a + \alhpa", "alhpa"), (r"\begin{cases} a", "cases"), ("{x", "x")]
)
def test_formula_that_does_not_parse_is_an_error_that_names_it(tex, message):
    with pytest.raises(SiteError, match=message):
        mathml(tex)


@pytest.mark.parametrize(
    "tex",
    [
        r"\underbrace{BA}_{\text{rank } r}",
        r"\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d}}\right)",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\frac{\partial \mathcal{L}}{\partial A} = \frac{\alpha}{r} B^\top \frac{\partial \mathcal{L}}{\partial h} x^\top",
        r"\sum_{i=1}^{r} \sigma_i u_i v_i^\top, \quad \lVert \Delta W \rVert_F^2",
        r"\operatorname*{arg\,min}_{\theta} \mathbb{E}[\hat{x}], \mathbf{w}, \boldsymbol{\theta}, \bar{g}, \tilde{h}, O(\sqrt{r})",
        r"m \frac{V + \Delta V}{\lVert V + \Delta V \rVert_c} \approx \begin{pmatrix} a & b \\ c & d \end{pmatrix}",
    ],
)
def test_formulas_of_the_field_parse_and_our_font_has_their_signs(tex):
    assert not missing(mathml(tex, display=True))


def test_our_font_has_every_sign_of_every_formula_on_the_site():
    for path in sorted((REPOSITORY / "docs").glob("*/**/*.md")):
        for construct in constructs(path.read_text(encoding="utf-8")):
            if construct.kind in ("inline", "display"):
                signs = missing(mathml(construct.body, construct.kind == "display"))
                assert not signs, f"{path}:{construct.line}: the font lacks {signs}"


def test_our_font_can_stretch_and_is_small():
    font = ttfont()
    assert "MATH" in font
    assert FONT.stat().st_size < 64_000
    assert "OPEN FONT LICENSE" in FONT.with_name("stix-two-math-OFL.txt").read_text()


def missing(page: str) -> set[str]:
    signs = set(html.unescape(re.sub(r"<mtext>.*?</mtext>|<[^>]+>", "", page)))
    has = set(ttfont().getBestCmap())
    italic = {chr(code) for code in range(0x1D434, 0x1D468)}  # what a browser draws for <mi>x</mi>
    assert {ord(sign) for sign in italic - {"\U0001d455"}} <= has
    return {sign for sign in signs if ord(sign) not in has and not 0xFE00 <= ord(sign) <= 0xFE0F and not sign.isspace()}


def ttfont():
    ttlib = pytest.importorskip("fontTools.ttLib")
    pytest.importorskip("brotli")
    return ttlib.TTFont(FONT)
