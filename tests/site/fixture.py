"""A small site with the same engine: two languages, one chapter page, one script, one long run."""

import json
from pathlib import Path

from tutorial_site import manifests, record

SCRIPT = """\
# %% samples
import math

wave = [math.sin(step / 8) for step in range(50)]
peak = max(wave)
print(f"peak = {peak:.3f}")
print(f"count = {len(wave)}")
assert peak <= 1

# %% draw
class Plot:
    def __init__(self, values):
        self.points = " ".join(f"{2 * x},{20 - 18 * y:.1f}" for x, y in enumerate(values))

    def _repr_svg_(self):
        line = f'<polyline points="{self.points}" fill="none" stroke="currentColor"/>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40">{line}</svg>'

Plot(wave)

# %% clipped
clipped = [min(value, 0.5) for value in wave]
print(f"lost = {peak - max(clipped):.3f}")

# %% aliased
coarse = wave[::25]
print(f"left = {len(coarse)}")

# %% quoted values
kept = len(coarse) / len(wave)
print(f"kept = {kept:.2f}")
"""

TRAINING = '''\
"""Learns nothing, quickly."""
import hashlib
import json
import os
from pathlib import Path

RATE, SEEDS = 0.5, [0, 1]
data = {"sines": "0" * 64}
losses = [RATE**step for step in range(10)]
kinds = {"first": 1 - losses[-1], "other": 1 - RATE}
if answer := os.environ.get("LLM_TUTORIAL_PROBE"):
    probes = {
        kind: {"run": f"{kind}, seed 0", "steps": 10, "losses": losses[:3], "metrics": {"accuracy": accuracy}}
        for kind, accuracy in kinds.items()
    }
    runs = [f"{kind}, seed {seed}" for kind in kinds for seed in SEEDS]
    said = {"runs": runs, "facts": {"seeds": SEEDS, "steps": 10}, "data": data, "probes": probes}
    Path(answer).write_text(json.dumps(said))
else:
    folder = Path(__file__).parents[2] / "src/llm_tutorial/demo/weights/wave"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"name": "wave", "seeds": SEEDS, "steps": 10, "time": "10 s", "data": data}
    manifest["losses"] = {f"{kind}, seed {seed}": losses for kind in kinds for seed in SEEDS}
    manifest["metrics"] = {f"{kind}, seed {seed}": {"accuracy": kinds[kind]} for kind in kinds for seed in SEEDS}
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\\n")
'''

EXERCISE = '# %% skeleton\n"""What is NAME?\n\nNAME 是什么？\n"""\n\n\ndef NAME(wave):\n    ...\n'
CHECKER = '''\
"""Checks NAME."""


def test_name():
    assert True
'''

BIBLIOGRAPHY = """\
@article{fourier1822,
  author = {Fourier, Joseph},
  title = {Th\\'eorie analytique de la chaleur},
  journal = {Firmin Didot},
  year = {1822},
  why_en = {Heat is a sum of waves.},
  why_zh = {热是波的和。}
}
"""

ZH = """\
# 正弦波 {#wave}

## 学完能做什么 {#goals}

PROSE 读完这一页，你能采样一个波并画出它。脚本用时：{= time =}。

{* demo/wave.py#samples *}

{* demo/wave.py#draw output=only alt="一个正弦波" caption="50 个样本" *}

峰值是 {= demo/wave.py#peak:.2f =}。据 [@fourier1822]，热在 1822 年传得快 2.5 倍。

{* demo/wave.py#draw output=hide *}

## 会出什么错 {#failures}

PROSE

### 削波 {#clipped}

{* demo/wave.py#clipped *}

### 混叠 {#aliased}

{* demo/wave.py#aliased *}

## 怎么选参数 {#parameters}

PROSE 步长取 $\\Delta = 2\\pi / n$，大约 2 亿个点。

| 参数 | 作用 |
| --- | --- |
| 步长 | 见[上文](#aliased) |

## 更大的规模 {#scale}

PROSE

$$
f(x) = \\sum_{k=1}^{n} a_k \\sin(k x)
$$

## 练习 {#exercises}

{! demo/exercises/double.py !}

{! demo/exercises/halve.py !}

## 出处 {#sources}

[sources]
""".replace("PROSE", "波在这里只是一个例子，用来说明引擎怎样工作。" * 12)

EN = """\
# Sine wave {#wave}

## What you will be able to do {#goals}

PROSE After this page you can sample a wave and draw it. Its scripts take {= time =}.

{* demo/wave.py#samples *}

{* demo/wave.py#draw output=only alt="A sine wave" caption="50 samples" *}

As [@fourier1822] said in 1822, heat is 2.5 times as fast. The peak is {= demo/wave.py#peak:.2f =}.

{* demo/wave.py#draw output=hide *}

## What goes wrong {#failures}

PROSE

### Clipping {#clipped}

{* demo/wave.py#clipped *}

### Aliasing {#aliased}

{* demo/wave.py#aliased *}

## How to choose {#parameters}

PROSE Take a step of $\\Delta = 2\\pi / n$, about 200 million points.

| Parameter | What it does |
| --- | --- |
| step | see [above](#aliased) |

## At scale {#scale}

PROSE

$$
f(x) = \\sum_{k=1}^{n} a_k \\sin(k x)
$$

## Exercises {#exercises}

{! demo/exercises/double.py !}

{! demo/exercises/halve.py !}

## Sources {#sources}

[sources]
""".replace("PROSE", "The wave is only an example here, made to show how the engine works. " * 5)

CONFIG = """\
site_name: Waves
docs_dir: docs/LANGUAGE
theme: {name: mkdocs}
plugins: []
nav:
  - index.md
  - TITLE:
      - demo/wave.md
markdown_extensions:
  attr_list: {}
  tables: {}
  toc: {permalink: false}
  pymdownx.highlight: {}
  pymdownx.superfences: {}
  tutorial_site.extension:TutorialExtension: {root: ROOT}
validation: {omitted_files: warn, absolute_links: warn, unrecognized_links: warn, anchors: warn}
"""


def make_site(root: Path) -> Path:
    """Writes the site into an empty folder, records its script, trains its long run."""
    files = {
        "snippets/demo/wave.py": SCRIPT,
        "snippets/demo/train_wave.py": TRAINING,
        "docs/references.bib": BIBLIOGRAPHY,
        "docs/zh/index.md": "# 波 {#home}\n\n见[正弦波](demo/wave.md#failures)。\n",
        "docs/en/index.md": "# Waves {#home}\n\nSee [the sine wave](demo/wave.md#failures).\n",
        "docs/zh/demo/wave.md": ZH,
        "docs/en/demo/wave.md": EN,
        "src/llm_tutorial/__init__.py": "",
    }
    for name in ("double", "halve"):
        files[f"snippets/demo/exercises/{name}.py"] = EXERCISE.replace("NAME", name)
        files[f"snippets/demo/exercises/solutions/{name}.py"] = EXERCISE.replace("NAME", name)
        files[f"snippets/demo/exercises/test_{name}.py"] = CHECKER.replace("NAME", name)
    for path, text in files.items():
        write(root, path, text)
    configure(root)
    record.record(root, root / "snippets/demo/wave.py", quiet=True)
    manifests.retrain(root)
    return root


def configure(root: Path) -> None:
    """Writes the configurations of both languages, which name the place of the site."""
    for file, language, title in (("mkdocs.yml", "zh", "第一章"), ("mkdocs.en.yml", "en", "Chapter one")):
        text = CONFIG.replace("LANGUAGE", language).replace("TITLE", title).replace("ROOT", json.dumps(str(root)))
        write(root, file, text)


def write(root: Path, path: str, text: str) -> None:
    """Writes a text file, its folders included."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def change(root: Path, path: str, old: str, new: str) -> None:
    """Replaces the only occurrence of ``old`` in a file."""
    text = (root / path).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    (root / path).write_text(text.replace(old, new), encoding="utf-8")
