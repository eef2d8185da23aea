"""A tiny site whose recording is written by hand, for tests of what a page renders to."""

import json
from pathlib import Path

import markdown
from fixture import write

from tutorial_site.cells import digest

SCRIPT = """\
# %% share
print("share = 0.02753")
print("parameters = 134515008")
print("loss = -0.5")
print("rate = 2e-3")
print("model = smol<lm>")

# %% table
frame

# %% plot
plot()

# %% silent
x = 1 < 2

# %% again
print("twice = 1")

# %% once_more
print("twice = 2")

# %% drawn
plot()
print("after = 1")

# %% rates  values
print("one = 1")

# %% setup  hidden
y = 2
"""
SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt">\n <style>*{stroke: red}</style>\n <path id="a"/></svg>'
TABLE = '<div><style scoped>td {color: red}</style><table border="1" class="dataframe"><tr style="x"><th colspan="2">r</th></tr></table></div>'
BIBLIOGRAPHY = """\
@inproceedings{hu2021lora, author = {Edward J. Hu and Yelong Shen and Lu Wang}, title = {{LoRA}: Low-Rank}, booktitle = {ICLR 2022}, year = {2021}, eprint = {2106.09685}, why_en = {Starts <it>.}, why_zh = {由此开始。}}
@article{eckart1936, author = {Carl Eckart and Gale Young}, title = {One Matrix & Another}, journal = {Psychometrika}, year = {1936}, url = {https://doi.org/x}, why_en = {Starts <it>.}, why_zh = {由此开始。}}
@misc{kim2014a, author = {Yoon Kim}, title = {One}, year = {2014}, why_en = {Starts <it>.}, why_zh = {由此开始。}}
@misc{kim2014b, author = {Yoon Kim}, title = {Two}, year = {2014}, why_en = {Starts <it>.}, why_zh = {由此开始。}}
@misc{many2020, author = {A. One and B. Two and C. Three and others}, title = {Th\\'eorie}, year = {2020}, why_en = {Starts <it>.}, why_zh = {由此开始。}}
"""
QUESTION = '"""What is $a$ in\n`merge`?\n\n`merge` 里的 $a$\n是什么？\n"""'
OUTPUTS = {
    "share": [("stream", "share = 0.02753\nparameters = 134515008\nloss = -0.5\nrate = 2e-3\nmodel = smol<lm>\n")],
    "table": [("text/html", TABLE)],
    "plot": [("image/svg+xml", SVG)],
    "drawn": [("image/svg+xml", SVG), ("stream", "after = 1\n")],
    "rates": [("stream", "one = 1\n")],
    "again": [("stream", "twice = 1\n")],
    "once_more": [("stream", "twice = 2\n")],
}


def make_root(root: Path) -> Path:
    """Writes script, recording, exercise and bibliography."""
    write(root, "mkdocs.yml", "site_name: x\n")
    write(root, "snippets/lora/small.py", SCRIPT)
    write(root, "snippets/lora/train_small.py", "# %% train\ntrain()\n")
    cells = [
        _cell(name, OUTPUTS.get(name, []))
        for name in ("share", "table", "plot", "silent", "again", "once_more", "drawn", "rates", "setup")
    ]
    metadata = {"tutorial": {"source": digest(SCRIPT), "time": "10 s", "packages": {}, "date": "2026-11-24"}}
    write(root, "snippets/lora/small.ipynb", json.dumps({"cells": cells, "metadata": metadata}))
    write(root, "snippets/lora/exercises/merge.py", f"# %% merge\n{QUESTION}\n\ndef merge(a):\n    ...\n")
    write(root, "snippets/lora/exercises/test_merge.py", "")
    write(root, "snippets/lora/exercises/solutions/merge.py", "def merge(a):\n    return a\n")
    write(root, "docs/references.bib", BIBLIOGRAPHY)
    return root


def _cell(name: str, outputs: list[tuple[str, str]]) -> dict:
    written = [
        {"output_type": "stream", "name": "stdout", "text": text}
        if kind == "stream"
        else {"output_type": "display_data", "data": {kind: text}, "metadata": {}}
        for kind, text in outputs
    ]
    return {"cell_type": "code", "id": name, "source": "", "outputs": written}


def render(root: Path, text: str, language: str = "en", name: str = "lora/page.md") -> str:
    """HTML of a page with this text, as plain Python-Markdown makes it."""
    write(root, f"docs/{language}/{name}", text)
    extensions = ["attr_list", "tables", "toc", "admonition", "pymdownx.superfences", "tutorial_site.extension"]
    return markdown.markdown(
        text, extensions=extensions, extension_configs={"tutorial_site.extension": {"root": str(root)}}
    )
