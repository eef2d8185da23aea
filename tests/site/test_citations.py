import unicodedata
from pathlib import Path

import pytest
from fixture import write
from rendering import make_root, render

from tutorial_site import SiteError
from tutorial_site.citations import cited, find, label, read_bibliography

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


@pytest.mark.parametrize(
    ("body", "chinese", "english"),
    [
        ("hu2021lora", "（Hu 等，2021）", "(Hu et al., 2021)"),
        ("eckart1936", "（Eckart 与 Young，1936）", "(Eckart and Young, 1936)"),
        ("kim2014a; @kim2014b", "（Kim，2014a；Kim，2014b）", "(Kim, 2014a; Kim, 2014b)"),
        ("many2020", "（One 等，2020）", "(One et al., 2020)"),
    ],
)
def test_citation_names_authors_and_year_in_either_language(root, body, chinese, english):
    assert (label(root, body, "zh"), label(root, body, "en")) == (chinese, english)


def test_citation_links_to_the_sources_of_its_page(root):
    page = render(root, "As [@hu2021lora] says.\n\n[sources]\n")
    assert '(<a class="citation" href="#source-hu2021lora">Hu et al., 2021</a>)' in page
    assert '<li id="source-hu2021lora">Edward J. Hu, Yelong Shen and Lu Wang, 2021. <cite' in page
    assert 'ICLR 2022. <a href="https://arxiv.org/abs/2106.09685">arXiv:2106.09685</a><br>' in page


def test_sources_are_those_that_the_page_cites_captions_included(root):
    text = 'As [@eckart1936].\n\n{* lora/small.py#plot alt="x" caption="After [@hu2021lora]" *}\n\n`[@kim2014a]`\n'
    assert [work.key for work in cited(root, text)] == ["eckart1936", "hu2021lora"]


def test_page_without_a_list_links_to_the_references(root):
    page = render(root, "As [@hu2021lora] says.\n")
    assert '(<a href="../references.md#source-hu2021lora">Hu et al., 2021</a>)' in page


def test_references_hold_every_work_cited_in_the_language(root):
    write(root, "docs/zh/one.md", "[@kim2014b]\n")
    write(root, "docs/zh/two.md", "[@many2020]\n")
    write(root, "docs/en/other.md", "[@hu2021lora]\n")
    page = render(root, "# References\n\n[references]\n", "zh", "references.md")
    assert page.index("source-kim2014b") < page.index("source-many2020")
    assert "hu2021lora" not in page
    assert "A. One, B. Two, C. Three 等，2020。" in page
    assert "Théorie" in page


def test_chinese_citation_closes_up_to_its_sentence(root):
    assert "据<a" not in render(root, "据 [@hu2021lora] 说\n\n[sources]\n", "zh")
    assert "据（<a" in render(root, "据 [@hu2021lora] 说\n\n[sources]\n", "zh")


def test_titles_are_text_not_markup(root):
    assert "One Matrix &amp; Another" in find(root, "eckart1936").html("en")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@misc{a, title={x}, year={2020}}", "a has no author"),
        ("@misc{a, title={x}, year={2020}, author={A. B}, why_zh={x}}", "a has no why_en"),
        ("@misc{a, title={x}", "references.bib"),
    ],
)
def test_broken_bibliography_is_named(root, text, message):
    write(root, "docs/references.bib", text)
    with pytest.raises(SiteError, match=message):
        read_bibliography(root)


def test_every_work_of_ours_can_be_found_by_its_reader():
    for work in read_bibliography(REPOSITORY).values():
        assert work.link.startswith("https://"), work.key
        surname = unicodedata.normalize("NFKD", work.authors[0][1].split()[-1].lower())
        assert work.key.startswith(surname.encode("ascii", "ignore").decode()), work.key
        assert work.year in work.key
