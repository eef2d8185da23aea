"""The built site in a real browser: private, light, accessible, readable anywhere.

A page of each kind is always looked at, each other page when it changed, all pages with ``FULL=1``.
"""

import functools
import gzip
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, sync_playwright

from tutorial_site import stamps
from tutorial_site.build import FOLDERS
from tutorial_site.cells import read_script
from tutorial_site.page import constructs

ROOT = Path(__file__).parents[2]
LARGEST = 300_000  # bytes that a page may transfer, compressed as any web host does
COMPRESSED = ("text/", "application/json", "application/javascript", "image/svg+xml")
SOURCES = [
    path.relative_to(ROOT / "docs/zh").with_suffix("").as_posix() for path in sorted(ROOT.glob("docs/zh/**/*.md"))
]
CHAPTERS = {path.name for path in ROOT.glob("snippets/*")}


def kind(name: str) -> str:
    """Pages of a kind differ in what they say, not in what they are made of."""
    folder, _, last = name.rpartition("/")
    return f"{'chapter' if folder in CHAPTERS else folder} {'index' if last == 'index' else 'page'}"


def sources(language: str, name: str) -> list[Path]:
    """The files that a page alone, or with few others, is made of."""
    page = ROOT / f"docs/{language}/{name}.md"
    inside = [
        item for item in constructs(page.read_text(encoding="utf-8")) if item.kind in ("cell", "value", "exercise")
    ]
    scripts = {ROOT / "snippets" / item.body.partition("#")[0].strip() for item in inside}
    library = sorted((ROOT / "src/llm_tutorial").rglob("*.py")) if name.startswith("api/") else []
    return [page, *library, *(file for script in sorted(scripts) for file in (script, script.with_suffix(".ipynb")))]


def addresses() -> Iterator[object]:
    """Every page and notebook view: the first of each kind always, the others when they changed."""
    seen = set[str]()
    for language, folder in FOLDERS.items():
        for name in SOURCES:
            page = "" if name == "index" else name.removesuffix("index").rstrip("/") + "/"
            key = functools.partial(stamps.of_files, ROOT, sources(language, name))
            mark = pytest.mark.stamp(key, what="tests of pages")
            text = (ROOT / f"docs/{language}/{name}.md").read_text(encoding="utf-8")
            has_view = any(construct.kind == "cell" for construct in constructs(text))
            view = [f"notebooks/{name.replace('index', 'overview')}/"] if has_view else []
            for what, path in zip((f"{kind(name)} {language}", f"view {language}"), (page, *view), strict=False):
                yield pytest.param(folder + path, marks=[mark] if what in seen else [])
                seen.add(what)


LESSON = "lora/low-rank/"
CONTRAST = ["color-contrast", "link-in-text-block"]
# Contrast takes axe long, and pages have thousands of coloured words. Marks three of each look, which is
# size, weight, and the colours of a text and of all that it stands in, once colours no longer change.
LOOKS = """async () => {
  const changes = document.getAnimations().filter((change) => change instanceof CSSTransition);
  await Promise.allSettled(changes.map((change) => change.finished));
  const seen = {};
  for (const node of document.body.querySelectorAll("*")) {
    if (![...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim())) continue;
    const { fontSize, fontWeight } = getComputedStyle(node);
    const colours = new Set();
    for (let around = node; around; around = around.parentElement) {
      const { color, backgroundColor, backgroundImage, opacity } = getComputedStyle(around);
      colours.add([color, backgroundColor, backgroundImage, opacity].join());
    }
    const look = [fontSize, fontWeight, node.checkVisibility({ visibilityProperty: true }), ...colours].join(" ");
    seen[look] = (seen[look] ?? 0) + 1;
    node.toggleAttribute("data-look", seen[look] <= 3);
  }
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    """Where the built site is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")  # no longer: while it lives, Playwright's event loop runs, and no other can
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.fail("these tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab without cache or settings."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@dataclass
class Visit:
    """What a page asked for and showed: on a phone with an empty cache, then to axe on a wide screen, light and dark."""

    path: str
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    transferred: int = 0
    width: int = 0
    errors: list[str] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)
    switched: tuple[str, str | None] = ("", None)  # address and language after a click on the other language


@pytest.fixture(scope="module", params=addresses())
def visit(request: pytest.FixtureRequest, browser: Browser, address: str) -> Visit:
    """A page of the site, loaded once for the tests that ask about it, which pytest runs one after the other."""
    context = browser.new_context(viewport={"width": 360, "height": 760}, color_scheme="light")
    tab, seen = context.new_page(), Visit(request.param)
    responses: list[Response] = []
    tab.on("request", lambda request: seen.requests.append(request.url))
    tab.on("response", lambda response: responses.append(response))
    tab.on("pageerror", lambda error: seen.errors.append(str(error)))
    tab.goto(address + seen.path)
    tab.wait_for_load_state("networkidle")
    for response in responses:
        if response.url.startswith("data:"):
            continue
        if not response.ok:
            seen.failed.append(f"{response.status} {response.url}")
            continue
        body, kind = response.body(), response.headers.get("content-type", "")
        seen.transferred += len(gzip.compress(body, 6)) if kind.startswith(COMPRESSED) else len(body)
    seen.width = tab.evaluate("document.documentElement.scrollWidth")
    tab.set_viewport_size({"width": 1280, "height": 900})
    seen.violations["light"] = _violations(tab, rules={rule: {"enabled": False} for rule in CONTRAST})
    seen.violations["light"] += _contrast(tab)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_selector("body[data-md-color-scheme=slate]")
    seen.violations["dark"] = _contrast(tab)  # what does not depend on colours is as it was
    with tab.expect_navigation(wait_until="commit"):
        tab.locator("a.language").click()
    seen.switched = tab.url, tab.locator("html").get_attribute("lang")
    context.close()
    return seen


def _violations(tab: Page, selector: str | None = None, **options: object) -> list[str]:
    found = Axe().run(tab, selector, {"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"][:5]
    ]


def _contrast(tab: Page) -> list[str]:
    tab.evaluate(LOOKS)
    return _violations(tab, "[data-look]", runOnly=CONTRAST)


def test_page_asks_nothing_of_other_hosts(visit, address):
    assert not [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
    assert not visit.failed
    assert not visit.errors


def test_page_transfers_at_most_300_kilobytes(visit):
    assert visit.transferred <= LARGEST


def test_page_fits_a_phone_without_sideways_scroll(visit):
    assert visit.width <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(scheme, visit):
    assert not visit.violations[scheme], "\n".join(visit.violations[scheme])


@pytest.mark.parametrize("element", [".md-content a", ".highlight .nb", "pre.output", "h2", ".md-nav__link"])
def test_a_colour_too_near_to_its_ground_is_found(element, page, address):
    page.goto(address)
    assert not _contrast(page)
    page.add_style_tag(content=f"{element} {{ color: #d0d0d0 !important }}")
    assert _contrast(page)


def test_language_switch_stays_on_the_page(visit, address):
    english = visit.path.startswith("en/")
    page = visit.path.removeprefix("en/")
    assert visit.switched == ((address + page, "zh") if english else (f"{address}en/{page}", "en"))


@pytest.mark.parametrize("language", ["", "en/"])
def test_page_reads_without_javascript(language, browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address + language + LESSON)
    for part in (".cell > .highlight code", ".cell pre.output", ".cell figure svg", "math", ".page-foot", "a.citation"):
        assert tab.locator(part).first.is_visible(), part
    assert tab.locator(".cell figure [role=img]").first.get_attribute("aria-label")
    tab.locator("a.language").click()
    assert tab.url == address + ("" if language else "en/") + LESSON
    context.close()


@pytest.mark.parametrize(
    ("language", "word", "found"),
    [
        ("", "推导", "推导"),
        ("", "显卡", "显卡"),
        ("", "适配器", "适配器"),
        ("", "PEFT", "PEFT"),
        ("en/", "adapter", "adapter"),
    ],
)
def test_search_finds_a_word_inside_a_sentence(language, word, found, page, address):
    page.goto(address + language)
    _search(page, word)
    results = page.locator(".md-search-result__item")
    assert results.count() > 0
    assert found.lower() in results.first.text_content().lower().replace("\u200b", "")
    href = results.first.locator("a").first.get_attribute("href")
    assert ("/en/" in href) == bool(language), "a language searches its own pages"


def _search(page: Page, word: str) -> None:
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").fill(word)
    page.keyboard.press("End")  # an input method ends with a key as well, and that is what the search waits for
    page.locator(".md-search-result__item").first.wait_for(state="attached", timeout=10_000)


def test_copy_button_copies_exactly_the_code(browser, address):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.goto(address + LESSON)
    cells = tab.locator(".cell[data-cell]:has(> .highlight)")
    for number in range(min(3, cells.count())):
        cell = cells.nth(number)
        cell.scroll_into_view_if_needed()
        cell.locator("> .highlight").hover()
        cell.locator("> .highlight button").first.click()
        path, name = cell.get_attribute("data-cell").split("#")
        copied = tab.evaluate("navigator.clipboard.readText()")
        assert copied.rstrip("\n") == read_script(ROOT / "snippets" / path)[name].code
    context.close()


def test_page_is_light_or_dark_as_the_system_says_and_as_the_reader_chooses(browser, address):
    grounds = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        tab = context.new_page()
        tab.goto(address + LESSON)
        grounds[scheme] = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        context.close()
    assert _brightness(grounds["dark"]) < 60 < 200 < _brightness(grounds["light"])
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(address + LESSON)
    for _ in range(2):  # system, light, dark
        tab.locator("[data-md-component=palette] label:not([hidden])").click()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == grounds["dark"]
    tab.locator("a.language").click()
    tab.wait_for_url("**/en/**")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == grounds["dark"], "kept across languages"
    context.close()


def _brightness(colour: str) -> float:
    red, green, blue = (int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return (red + green + blue) / 3


def test_printed_page_shows_text_and_code_without_the_site_around_it(page, address):
    page.goto(address + LESSON)
    page.emulate_media(media="print")
    for part in (".md-header", ".md-sidebar--primary", ".md-sidebar--secondary", ".md-footer__link"):
        assert not page.locator(part).first.is_visible(), part
    assert page.locator(".cell > .highlight code").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.cell pre code')).whiteSpace").startswith("pre-wrap")


def test_keyboard_reaches_the_text_first(page, address):
    page.goto(address + LESSON)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('md-skip')")


def test_keyboard_reaches_a_table_that_scrolls(page, address):
    page.set_viewport_size({"width": 360, "height": 760})
    page.goto(f"{address}{LESSON}")
    box = page.locator(".md-typeset__scrollwrap").first
    box.focus()
    assert box.evaluate("node => node === document.activeElement")


@pytest.mark.parametrize("language", ["", "en/"])
def test_archive_works_from_a_folder(language, browser, archive):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto((archive / language / "lora/low-rank.html").as_uri())
    assert tab.locator("math").first.is_visible()
    _search(tab, "适配器" if not language else "adapter")
    tab.keyboard.press("Escape")
    tab.locator("a.language").click()
    assert tab.url == (archive / ("" if language else "en") / "lora/low-rank.html").as_uri()
    tab.locator(".page-foot a[href$='notebooks/lora/low-rank.html']").click()
    tab.locator(".cell .highlight").first.wait_for(state="visible")
    assert not [url for url in requests if not url.startswith(("file:", "data:", "blob:", "about:"))]
    context.close()


def test_notebook_views_are_not_searched(built):
    for index in (built / "search/search_index.json", built / "en/search/search_index.json"):
        places = [entry["location"] for entry in json.loads(index.read_text(encoding="utf-8"))["docs"]]
        assert places
        assert not [place for place in places if place.startswith("notebooks/")]


# What a page looks like: one of each kind, in both languages, on a phone and on a screen of 1280 pixels, light and dark.

KINDS = ["", LESSON, "lora/practice/", "api/lora/", "glossary/", "references/", f"notebooks/{LESSON}"]
BESIDE = """() => [...document.querySelectorAll(".md-code__nav")].filter((nav) => nav.checkVisibility()).filter((nav) => {
  const icon = nav.getBoundingClientRect(), code = nav.parentElement.querySelector("code").getBoundingClientRect();
  return icon.left < code.right || icon.right > innerWidth;
}).length"""
HOLDS = """(selector) => {
  const code = document.querySelector(selector);
  for (let box = code; box; box = box.parentElement) if (box.matches("details")) box.open = true;
  code.textContent = "x".repeat(88);
  return code.clientWidth - code.scrollWidth;
}"""
SCROLLERS = """() => [...document.querySelectorAll(".md-content *")].filter((box) => box.checkVisibility()
    && /auto|scroll/.test(getComputedStyle(box).overflowX) && box.scrollWidth > box.clientWidth)
  .map((box) => [box.tabIndex, box.tagName + "." + box.className])"""


@pytest.fixture(params=[360, 1280])
def width(request: pytest.FixtureRequest) -> int:
    """Of the window, in pixels."""
    return request.param


@pytest.fixture(params=["", "en/"], ids=["zh", "en"])
def language(request: pytest.FixtureRequest) -> str:
    """Folder of a language."""
    return request.param


@pytest.fixture
def tab(browser: Browser, width: int, language: str) -> Iterator[Page]:
    """A tab of that width that may use the clipboard; each width is light in one language and dark in the other."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="light" if (width == 360) == (language == "") else "dark",
        permissions=["clipboard-read", "clipboard-write"],
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_copy_icon_stands_beside_the_code_and_what_scrolls_is_reached_by_keyboard(kind, tab, language, address):
    tab.goto(address + language + kind)
    tab.wait_for_load_state("networkidle")
    tab.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    tab.evaluate("dispatchEvent(new Event('resize'))")
    assert tab.evaluate(BESIDE) == 0
    assert not [name for index, name in tab.evaluate(SCROLLERS) if index != 0]
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]


@pytest.mark.parametrize("place", [".cell > .highlight code", ".cell .fold code", ".exercise > .highlight code"])
def test_code_column_holds_88_columns_at_1280_pixels(place, language, page, address):
    page.goto(address + language + LESSON)
    assert page.evaluate(HOLDS, place) >= 0


def test_folds_say_what_they_hold_open_without_javascript_and_have_no_neighbour(language, browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address + language + LESSON)
    titles = [title.strip() for title in tab.locator(".cell > .fold > summary").all_text_contents()]
    assert {"Set-up, plot" if language else "准备、绘图", "Plot" if language else "绘图"} <= {*titles}
    fold = tab.locator(".cell > .fold").first
    assert not fold.locator("code").first.is_visible()
    fold.locator("summary").click()
    assert fold.locator("code").first.is_visible()
    assert tab.locator(".cell:has(> .fold:only-child) + .cell:has(> .fold:first-child)").count() == 0
    context.close()


def test_page_shows_no_cell_of_values_and_its_notebook_does(language, page, address):
    hidden = {
        (path.stem, cell.name)
        for path in sorted((ROOT / "snippets/lora").glob("low_rank*.py"))
        for cell in read_script(path).cells
        if cell.hidden
    }
    assert hidden
    page.goto(address + language + LESSON)
    shown = page.evaluate("[...document.querySelectorAll('[data-cell]')].map((cell) => cell.dataset.cell)")
    assert not {(Path(name.split("#")[0]).stem, name.split("#")[1]) for name in shown} & hidden
    page.goto(f"{address}{language}notebooks/{LESSON}")
    assert page.locator("pre.output", has_text="rank8_percent = ").count() == 1


@pytest.mark.parametrize("lesson", ["practice", "efficiency", "low-rank"])
def test_table_keeps_its_last_column_or_scrolls_by_itself(lesson, tab, language, address):
    tab.goto(f"{address}{language}lora/{lesson}/")
    for box in tab.locator(".output-table").all():
        wide = box.evaluate("box => box.scrollWidth > box.clientWidth")
        if tab.viewport_size["width"] == 1280:
            assert not wide
        else:
            box.evaluate("box => box.scrollLeft = 1e6")
            assert box.locator("td").last.evaluate("cell => cell.getBoundingClientRect().right") <= 360
            assert not wide or box.get_attribute("tabindex") == "0"
    assert tab.locator(".output-table").count()


def test_caption_stands_right_under_its_picture(tab, language, address):
    tab.goto(address + language + LESSON)
    gaps = tab.evaluate("""[...document.querySelectorAll("figure > figcaption")].map((caption) =>
      caption.getBoundingClientRect().top - caption.previousElementSibling.getBoundingClientRect().bottom)""")
    assert gaps
    assert 0 <= min(gaps) <= max(gaps) <= 12


def test_exercise_opens_with_its_question_in_the_language_of_the_page(tab, language, address):
    tab.goto(address + language + LESSON)
    questions = tab.locator(".exercise > p.question:first-child").all_text_contents()
    assert len(questions) == tab.locator(".exercise").count() > 0
    chinese = [any("\u4e00" <= letter <= "\u9fff" for letter in question) for question in questions]
    assert all(chinese) if not language else not any(chinese)
    assert tab.locator(".exercise > p.question").first.is_visible()


def test_sources_say_why_they_matter_and_the_foot_leads_to_the_symbols(tab, language, address):
    tab.goto(address + language + LESSON)
    assert tab.locator(".sources li").count() == tab.locator(".sources li .why").count() > 0
    tab.locator(".page-foot a[href$='notation/']").click()
    tab.wait_for_url(f"{address}{language}notation/")
    assert tab.locator("td math").count() > 0


def test_language_switch_keeps_the_section(language, page, address):
    page.goto(f"{address}{language}{LESSON}#spectrum")
    page.locator("a.language").click()
    page.wait_for_url(f"{address}{'' if language else 'en/'}{LESSON}#spectrum")
    page.evaluate("document.getElementById('forgetting').scrollIntoView()")
    page.locator("a.language").click()
    page.wait_for_url(f"{address}{language}{LESSON}#forgetting")


def test_missing_page_speaks_the_language_of_its_site_and_its_switch_stays_there(tab, language, address):
    tab.goto(f"{address}{language}404.html")
    assert ("No such page" if language else "没有这一页") in tab.locator("h1").text_content()
    tab.locator("a.language").click()
    tab.wait_for_url(address if language else f"{address}en/")


def test_example_of_the_reference_is_copied_without_prompts_and_answers(tab, language, address):
    tab.goto(f"{address}{language}api/lora/")
    example = tab.locator(".language-pycon").first
    lines = example.locator("code").inner_text().splitlines()
    asked = [line[4:] for line in lines if line.startswith((">>> ", "... "))]
    assert 0 < len(asked) < len(lines), "it has answers as well"
    example.locator("button[data-md-type=copy]").click()
    assert tab.evaluate("navigator.clipboard.readText()").splitlines() == asked


@pytest.mark.parametrize("kind", KINDS)
def test_printed_page_has_no_icons_and_lets_long_boxes_break(kind, page, address):
    page.goto(address + kind)
    page.wait_for_load_state("networkidle")
    page.emulate_media(media="print")
    for part in (".md-code__nav", ".headerlink", "details:not([open])"):
        assert not [box for box in page.locator(f".md-content {part}").all() if box.is_visible()], part
    kept = page.evaluate("""[...document.querySelectorAll(".md-content :is(pre, details, .cell, table, .exercise)")]
      .filter((box) => getComputedStyle(box).breakInside !== "auto").length""")
    assert kept == 0
