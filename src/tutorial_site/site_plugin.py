"""What MkDocs does beyond Markdown: downloads, notebook views, the foot of a page, the other language.

Named under ``hooks`` in ``mkdocs.yml``. The constructs of a page are not here but in the
Python-Markdown extension, so that another site generator shows them as well.
"""

import logging
import posixpath
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

import jieba
import mkdocs_jupyter.config
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink, TableOfContents
from nbconvert.exporters.templateexporter import default_filters

from tutorial_site import SiteError, notebooks, shown
from tutorial_site.build import ENGINE, FOLDERS, keep
from tutorial_site.recording import read_recording
from tutorial_site.repository import files as files_below
from tutorial_site.repository import write_atomically
from tutorial_site.wheel import build_wheel

NOTEBOOKS = "notebooks/"  # where notebook views stand on the site
RESULTS = ("manifest.json", "SHA256SUMS", "replay.json")  # of a long run; these the wheel carries
SECTION = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
PLAIN = re.compile(r'<span class="(?:n|p|w|nn)">([^<]*)</span>')  # names, brackets and blanks: half of all elements
ANSWER = re.compile(r'(<span class="g[ot]">[^<]*)</span>\n')
FIRST = ("torch", "transformers", "peft")  # among the packages that a page was checked with

# What Material's templates leave to be wished for: a dialog and sections of the menu without names of
# their own, and links for which its script asks every page for the site maps of both languages.
SEARCH = {"zh": "搜索", "en": "Search"}
MENDED = {
    r'role="dialog">': 'role="dialog" aria-label="SEARCH">',
    r'(<nav class="md-nav" data-md-level="[1-9]") aria-labelledby="[^"]*" aria-expanded="[^"]*"': r'\1 role="presentation"',
    r'\s*<link rel="alternate"[^>]*>': "",
}


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _made(config: MkDocsConfig) -> Path:
    """Where a build with this configuration leaves what the next one may use."""
    return _root(config) / "build" / Path(config.config_file_path).stem


def _language(config: MkDocsConfig) -> str:
    return str(config.theme["language"])


def _up(config: MkDocsConfig) -> str:
    """The way from the home of this language to that of the whole site."""
    return "../" if FOLDERS[_language(config)] else ""


def _notebook_uri(page: File) -> str:
    path = PurePosixPath(page.src_uri)
    return NOTEBOOKS + str(path.with_name(f"{'overview' if path.stem == 'index' else path.stem}.ipynb"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Gives each language its address, and notebook views a template without styles and hosts of their own."""
    jieba.setLogLevel(logging.WARNING)
    mkdocs_jupyter.config.settings.templates_dir = str(Path(__file__).parent / "templates")
    views = keep(_made(config) / "views", ENGINE)  # of each configuration its own: a build evicts what it did not use
    config.plugins["mkdocs-jupyter"].config["cache_dir"] = str(views)
    default_filters["view"] = notebooks.view  # for the template there
    if config.site_url:
        config.site_url = urljoin(config.site_url, FOLDERS[_language(config)])
    return config


@event_priority(100)  # before mkdocs-jupyter, which turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what does not stand in ``docs``: shared assets, scripts, notebooks and the wheel."""
    root = _root(config)
    extra = {path.relative_to(root / "docs/zh").as_posix(): path for path in files_below(root, "docs/zh/assets/**/*.*")}
    extra |= {path.relative_to(root).as_posix(): path for path in files_below(root, "snippets/**/*.py")}
    if not _up(config):
        wheel = build_wheel(root)
        extra |= {wheel.name: wheel, "constraints.txt": root / "constraints.txt"}
        extra |= weights(root)
    for uri, path in extra.items():
        if uri not in files.src_uris and path.exists():
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    made = str(_made(config))
    for page in list(files.documentation_pages()):
        with suppress(SiteError):  # the page itself will say so, with its line
            if shown.page_scripts(root, page.content_string):
                files.append(File(_notebook_uri(page), made, config.site_dir, config.use_directory_urls))
    return files


def weights(root: Path) -> dict[str, Path]:
    """What the wheel leaves out: the weights of long runs, under the address at which `llm_tutorial.results` looks."""
    library = root / "src/llm_tutorial"
    files = [path for path in sorted(library.glob("*/weights/*/**/*")) if path.is_file() and path.name not in RESULTS]
    return {"weights/" + path.relative_to(library).as_posix().replace("/weights/", "/", 1): path for path in files}


@event_priority(-100)
def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Writes the notebook of a page and gathers the page's foot; finishes a notebook view."""
    if page.file.src_uri.startswith(NOTEBOOKS):
        return _notebook_view(html, page, config)
    if notebook := files.get_file_from_path(_notebook_uri(page.file)):
        _write_notebook(notebook, page, config, files)
        page.meta["foot"] = _foot(notebook, page, config)
    return html


def _download(notebook: File) -> str:
    """Where mkdocs-jupyter puts a notebook: beside its view."""
    return posixpath.join(posixpath.dirname(notebook.url), posixpath.basename(notebook.src_uri))


def _write_notebook(notebook: File, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Addresses in it are absolute on a server; in the archive they start from where the notebook lies."""
    home = config.site_url or posixpath.relpath(".", posixpath.dirname(_download(notebook))) + "/"
    top = urljoin(home, _up(config)) if config.site_url else home + _up(config)

    def resolve(target: str) -> str:
        folder = posixpath.dirname(page.file.src_uri)
        uri = posixpath.normpath(posixpath.join(folder, target)) if target else page.file.src_uri
        file = files.get_file_from_path(uri)
        return home + (file.url.removeprefix("./") if file else uri)

    wheel = top + build_wheel(_root(config)).name
    package = f"llm-tutorial[snippets] @ {wheel}" if config.site_url else f"{wheel}[snippets]"
    made = notebooks.page_notebook(
        _root(config), _language(config), page.markdown or "", resolve, [package, "-c", f"{top}constraints.txt"]
    )
    write_atomically(Path(str(notebook.abs_src_path)), nbformat.writes(made) + "\n")


def _notebook_view(html: str, page: Page, config: MkDocsConfig) -> str:
    """Links into this site relative, a table of contents with the ids of the page, no search."""
    page.toc = TableOfContents([AnchorLink(TAG.sub("", text), anchor, 2) for anchor, text in SECTION.findall(html)])
    page.meta.update({"search": {"exclude": True}, "robots": "noindex"})
    if config.site_url:
        html = html.replace(f'href="{config.site_url}', 'href="' + "../" * page.url.count("/"))
    return re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def _foot(notebook: File, page: Page, config: MkDocsConfig) -> dict[str, Any]:
    """What stands at the foot of a page with code; addresses start from the home of the language."""
    root = _root(config)
    scripts = shown.page_scripts(root, page.markdown or "")
    recorded = [read_recording(script).metadata for script in scripts]
    packages = {name: version for metadata in recorded for name, version in metadata["packages"].items()}
    return {
        "scripts": [script.path.relative_to(root).as_posix() for script in scripts],
        "notebook": _download(notebook),
        "view": notebook.url,
        "wheel": _up(config) + build_wheel(root).name,
        "packages": {name: packages[name] for name in sorted(packages, key=lambda name: (name not in FIRST, name))},
        "date": max(metadata["date"] for metadata in recorded),
    }


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Mends what the theme's templates leave to be wished for, and lets a console be copied without empty lines."""
    output = PLAIN.sub(r"\1", ANSWER.sub(r"\1\n</span>", output))
    for pattern, replacement in MENDED.items():
        output = re.sub(pattern, replacement.replace("SEARCH", SEARCH[_language(config)]), output)
    return output
