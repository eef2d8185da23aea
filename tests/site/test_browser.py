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
            has_view = "{*" in (ROOT / f"docs/{language}/{name}.md").read_text(encoding="utf-8")
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


@pytest.fixture(scope="session")
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
    for part in (".cell > .highlight code", ".cell pre.output", ".cell figure img", "math", ".page-foot", "a.citation"):
        assert tab.locator(part).first.is_visible(), part
    assert tab.locator(".cell figure img").first.get_attribute("alt")
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
