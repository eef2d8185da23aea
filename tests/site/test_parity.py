import pytest
from fixture import EN, ZH, change, write

from tutorial_site import parity
from tutorial_site.parity import numerals

PAGE = "docs/en/demo/wave.md"


def first(site):
    lines = [line.replace(f"{site}/", "") for line in parity.problems(site)]
    assert len(lines) <= 1
    return lines[0] if lines else None


def line_of(text, part):
    return text[: text.index(part)].count("\n") + 1


def test_pages_that_say_the_same_pass(site):
    assert first(site) is None


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("## What goes wrong {#failures}", "## What goes wrong {#failure}", "heading ## #failures"),
        ("### Clipping {#clipped}", "#### Clipping {#clipped}", "heading #### #clipped"),
        ("### Aliasing {#aliased}\n", "", "heading ### #aliased"),
        ("{* demo/wave.py#clipped *}", "{* demo/wave.py#aliased *}", "cell demo/wave.py#clipped"),
        ("{* demo/wave.py#clipped *}", "{* demo/wave.py#clipped code=fold *}", "cell demo/wave.py#clipped code=fold"),
        ("{= demo/wave.py#peak:.2f =}", "{= demo/wave.py#peak:.1f =}", "value demo/wave.py#peak:.2f"),
        ("{= demo/wave.py#peak:.2f =}", "one", "value demo/wave.py#peak:.2f"),
        ("2\\pi / n", "\\pi / n", "formula \\Delta = 2\\pi / n"),
        ("_{k=1}^{n}", "_{k=0}^{n}", "displayed formula f(x) = \\sum_{k=0}^{n}"),
        ("[@fourier1822]", "Fourier", "citation fourier1822"),
        ("{! demo/exercises/halve.py !}", "", "exercise demo/exercises/halve.py"),
        ("| step |", "| a | b |\n| step |", "table of 4 rows"),
        ("PLOT", "![A plot](plot.svg)", "figure plot.svg"),
        ("PLOT", "```bash\nls\n```", "code ```bash"),
        ("[sources]", "", "list sources"),
        ("in 1822", "in 1823", "number 1822 after heading ## #goals"),
        ("200 million", "200 billion", "number 200000000 after heading ## #parameters"),
    ],
)
def test_first_difference_is_named_with_both_files_and_lines(site, old, new, named):
    if old == "PLOT":
        old, new = "## At scale", new + "\n\n## At scale"
    change(site, PAGE, old, new)
    found = first(site)
    assert named in found
    here, there = found.split(" | ")
    assert {here.split(":")[0], there.split(":")[0]} == {"docs/zh/demo/wave.md", PAGE}
    assert here.split(":")[1].isdigit()
    assert there.split(":")[1].isdigit()


def test_line_is_that_of_the_difference(site):
    change(site, PAGE, "{* demo/wave.py#clipped *}", "{* demo/wave.py#aliased *}")
    here, there = first(site).split(" | ")
    assert here.startswith(f"docs/zh/demo/wave.md:{line_of(ZH, '{* demo/wave.py#clipped')}:")
    assert there.startswith(f"{PAGE}:{line_of(EN, '{* demo/wave.py#clipped')}:")


def test_words_of_a_figure_belong_to_the_language(site):
    change(site, PAGE, 'alt="A sine wave"', 'alt="One period and more of a sine"')
    assert first(site) is None


def test_sentences_may_order_values_and_citations_as_they_like(site):
    change(site, PAGE, "As [@fourier1822] said in 1822, heat is 2.5 times as fast. The peak is {= demo/wave.py#peak:.2f =}.",
           "The peak is {= demo/wave.py#peak:.2f =}; heat is 2.5 times as fast, as [@fourier1822] said in 1822.")  # fmt: skip
    assert first(site) is None


def test_comments_in_fenced_code_may_be_translated(site):
    change(site, "docs/zh/index.md", "见", "```bash\nls  # 看\n```\n\n见")
    change(site, "docs/en/index.md", "See", "```bash\nls  # look\n```\n\nSee")
    assert first(site) is None


def test_a_small_number_may_be_written_as_a_word(site):
    change(site, "docs/zh/index.md", "见", "有 3 个，见")
    change(site, "docs/en/index.md", "See", "There are three; see")
    assert first(site) is None


def test_page_in_one_language_only_is_named(site):
    write(site, "docs/en/demo/extra.md", "# Extra {#extra}\n")
    assert first(site) == "docs/en/demo/extra.md:1: has no docs/zh/demo/extra.md"


def test_navigations_list_the_same_pages(site):
    change(site, "mkdocs.en.yml", "  - index.md\n", "")
    assert first(site) == "mkdocs.yml: nav has index.md where mkdocs.en.yml has demo/wave.md"


@pytest.mark.parametrize(
    ("zh", "en"),
    [
        ("1.35 亿个参数", "135 million parameters"),
        ("3 万条", "30,000 pairs"),
        ("70 亿", "7B"),
        ("5 千克", "5 kg"),
        ("2021 年 6 月 17 日", "17 June 2021"),
        ("2026 年 5 月", "May 2026"),
        ("10、30、100 条", "10, 30 and 100 examples"),
        ("见[这里](a.md#3) {#x2}", "see [here](b.md#4)"),
    ],
)
def test_numerals_are_compared_as_numbers(zh, en):
    assert numerals(zh, "zh") == numerals(en, "en")
