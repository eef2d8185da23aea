"""What MkDocs does beyond Markdown: downloads, notebook views, the foot of a page, the other language.

Named under ``hooks`` in ``mkdocs.yml``. The constructs of a page are not here but in the
Python-Markdown extension, so that another site generator shows them as well.
"""

import logging
import posixpath
import re
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

import jieba
import mkdocs_jupyter.config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import get_toc

from tutorial_site import SiteError, notebooks, shown
from tutorial_site.build import LANGUAGES
from tutorial_site.cells import Script
from tutorial_site.extension import image_html, table_html
from tutorial_site.recording import read_recording
from tutorial_site.wheel import build_wheel

NOTEBOOKS = "notebooks/"  # where notebook views stand on the site
HEADING = re.compile(r"<h([1-6])[^>]*>(.*?)(?:<a[^>]*>¶</a>)?</h\1>", re.DOTALL)

PLAIN = re.compile(r"<pre><span></span>(?!<code)(.*?)</pre>", re.DOTALL)
TABLE = re.compile(r'(<div class="output-table"[^>]*>)(.*?)</div>', re.DOTALL)
FIGURE = re.compile(r'<figure data-alt="(?P<alt>[^"]*)" data-kind="(?P<kind>[^"]*)">(?P<data>.*?)</figure>', re.DOTALL)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _language(config: MkDocsConfig) -> str:
    return str(config.theme["language"])


def _home(config: MkDocsConfig, language: str) -> str:
    """The way from the home of this language to that of another."""
    here, there = LANGUAGES[_language(config)], LANGUAGES[language]
    return "" if here == there else "../" * bool(here) + (f"{there}/" if there else "")


def _scripts(root: Path, markdown: str) -> list[Script]:
    try:
        return shown.page_scripts(root, markdown)
    except SiteError:  # the page itself will say so, with its line
        return []


def _notebook_uri(page_uri: str) -> str:
    path = PurePosixPath(page_uri)
    return NOTEBOOKS + str(path.with_name(f"{'overview' if path.stem == 'index' else path.stem}.ipynb"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Gives each language its address, and notebook views a template without styles and hosts of their own."""
    jieba.setLogLevel(logging.WARNING)
    mkdocs_jupyter.config.settings.templates_dir = str(Path(__file__).parent / "templates")
    for other in config.extra["alternate"]:
        other["link"] = _home(config, other["lang"])
    if config.site_url:
        config.site_url = urljoin(config.site_url, f"{LANGUAGES[_language(config)]}/".lstrip("/"))
    return config


@event_priority(100)  # before mkdocs-jupyter, which turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what does not stand in ``docs``: shared assets, scripts, notebooks and the wheel."""
    root, language = _root(config), _language(config)
    extra: dict[str, Path] = {}
    shared = root / "docs" / "zh" / "assets"
    extra |= {f"assets/{path.relative_to(shared).as_posix()}": path for path in shared.rglob("*") if path.is_file()}
    extra |= {path.relative_to(root).as_posix(): path for path in sorted(root.glob("snippets/**/*.py"))}
    if language == "zh":
        wheel = build_wheel(root)
        extra |= {wheel.name: wheel, "constraints.txt": root / "constraints.txt"}
    for uri, path in extra.items():
        if uri not in files.src_uris and path.exists():
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    made = str(root / "build" / language)
    for page in list(files.documentation_pages()):
        if _scripts(root, page.content_string):
            files.append(File(_notebook_uri(page.src_uri), made, config.site_dir, config.use_directory_urls))
    return files


@event_priority(-100)
def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Writes the notebook of a page; gives a notebook view the headings and formulas of its page."""
    if page.file.src_uri.startswith(NOTEBOOKS):
        return _notebook_view(html, page, config)
    if notebook := files.get_file_from_path(_notebook_uri(page.file.src_uri)):
        _write_notebook(notebook, page, config, files)
    return html


def _write_notebook(notebook: File, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Addresses in it are absolute on a server; in the archive they start from where the notebook lies."""
    root, language = _root(config), _language(config)
    folder = posixpath.dirname(_downloads(page.file.src_uri, config)[0])
    home = config.site_url or posixpath.relpath(".", folder) + "/"
    top = urljoin(home, "../") if LANGUAGES[language] and config.site_url else home + "../" * bool(LANGUAGES[language])

    def resolve(target: str) -> str:
        uri = (
            posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), target))
            if target
            else page.file.src_uri
        )
        file = files.get_file_from_path(uri)
        return home + (file.url.removeprefix("./") if file else uri)

    wheel = f"{top}{build_wheel(root).name}"
    install = [
        f"llm-tutorial[snippets] @ {wheel}" if config.site_url else f"{wheel}[snippets]",
        "-c",
        f"{top}constraints.txt",
    ]
    text = notebooks.page_notebook(root, language, page.markdown or "", resolve, install)
    notebooks.write(Path(str(notebook.abs_src_path)), text)


def _downloads(page_uri: str, config: MkDocsConfig) -> tuple[str, str]:
    """Where the notebook of a page lies on the site, and its view."""
    uri = PurePosixPath(_notebook_uri(page_uri))
    if config.use_directory_urls:
        return f"{uri.with_suffix('')}/{uri.name}", f"{uri.with_suffix('')}/"
    return str(uri), str(uri.with_suffix(".html"))


def _notebook_view(html: str, page: Page, config: MkDocsConfig) -> str:
    """Formulas as MathML, links into this site relative, headings with the ids of the page, no search."""
    ids = iter(notebooks.heading_ids(Path(str(page.file.abs_src_path))))
    tokens: list[dict[str, Any]] = []

    def heading(match: re.Match[str]) -> str:
        level, text = int(match[1]), match[2]
        anchor = next(ids, f"section-{len(tokens) + 1}")
        name = re.sub(r"<[^>]+>", "", text)
        tokens.append({"level": level, "id": anchor, "name": name, "html": text, "data-toc-label": "", "children": []})
        return f'<h{level} id="{anchor}">{text}</h{level}>'

    html = HEADING.sub(heading, notebooks.with_formulas(html))
    html = TABLE.sub(lambda match: match[1] + table_html(match[2]) + "</div>", html)
    html = FIGURE.sub(
        lambda match: f"<figure>{image_html(match['kind'], unescape(match['data']), unescape(match['alt']))}</figure>",
        html,
    )
    html = PLAIN.sub(r"<pre><span></span><code>\1</code></pre>", html)
    if config.site_url:
        depth = page.url.count("/")
        html = html.replace(f'href="{config.site_url}', 'href="' + "../" * depth)
    page.toc = get_toc(_nested(tokens))  # type: ignore[arg-type]
    page.meta["search"] = {"exclude": True}
    page.meta["robots"] = "noindex"
    return re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def _nested(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Flat headings as the tree that MkDocs takes."""
    roots: list[dict[str, Any]] = []
    path: list[dict[str, Any]] = []
    for token in tokens:
        while path and path[-1]["level"] >= token["level"]:
            path.pop()
        (path[-1]["children"] if path else roots).append(token)
        path.append(token)
    return roots


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """Tells the templates the address in each language, and what stands at the foot of the page."""
    address = page.url.removeprefix("./")
    for other in config.extra["alternate"]:
        other["link"] = "../" * address.count("/") + _home(config, other["lang"]) + address or "./"
    context["foot"] = _foot(page, config)
    return context


def _foot(page: Page, config: MkDocsConfig) -> dict[str, Any] | None:
    root, uri = _root(config), page.file.src_uri
    view = uri.startswith(NOTEBOOKS)
    scripts = [] if view else shown.page_scripts(root, page.markdown or "")
    if not scripts:
        return None
    packages: dict[str, str] = {}
    dates = []
    for script in scripts:
        metadata = read_recording(script).metadata
        packages |= metadata["packages"]
        dates.append(metadata["date"])
    notebook, address = _downloads(uri, config)
    order = ("torch", "transformers", "peft")
    return {
        "scripts": [script.path.relative_to(root).as_posix() for script in scripts],
        "notebook": notebook,
        "view": address,
        "wheel": ("../" if LANGUAGES[_language(config)] else "") + build_wheel(root).name,
        "packages": sorted(
            packages.items(), key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0])
        ),
        "date": max(dates),
        "key": re.sub(r"\W", "-", str(PurePosixPath(uri).with_suffix(""))),
        "url": page.canonical_url,
    }


# What Material's templates leave to be wished for: a dialog and sections of the menu without names of
# their own, and links for which its script asks every page for the site maps of both languages.
MENDED = {
    r'role="dialog">': 'role="dialog" aria-label="{search}">',
    r'(<nav class="md-nav" data-md-level="[1-9]") aria-labelledby="[^"]*" aria-expanded="[^"]*"': r'\1 role="presentation"',
    r'\s*<link rel="alternate"[^>]*>': "",
}


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Mends what the theme's templates leave to be wished for."""
    search = {"zh": "搜索", "en": "Search"}[_language(config)]
    for pattern, replacement in MENDED.items():
        output = re.sub(pattern, replacement.replace("{search}", search), output)
    return output
