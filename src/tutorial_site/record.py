"""Runs scripts in fresh kernels and writes what they print and draw beside them, as notebooks.

The same source gives the same bytes: cell ids are cell names, there are no times and no paths of this
machine, and a run whose outputs equal the recorded ones (within the tolerances of `compare`) leaves
the former outputs and their date as they are.
"""

import datetime
import importlib.metadata
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi
from nbformat.v4 import new_code_cell, new_notebook
from tqdm import tqdm

from tutorial_site import SiteError
from tutorial_site.cells import Cell, Script, read_script
from tutorial_site.compare import compare, compare_cell
from tutorial_site.imports import changed, library, packages
from tutorial_site.recording import NOTEBOOK, SECONDS, Output, Recording, figure, read_recording
from tutorial_site.repository import files, scripts, write_atomically

LONGEST = 900  # seconds for one cell: well over the budget, so that a busy machine is no error
KINDS = ("image/svg+xml", "image/png", "text/html", "text/plain")  # richest first
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "passive",  # two threads that wait for a busy machine do not spin
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# Figures are SVG without a date; the fixed salt makes the ids inside them the same in every run.
FIGURES = {
    "figure_formats": {"svg"},
    "rc": {"svg.hashsalt": "llm-tutorial"},
    "print_figure_kwargs": {
        "bbox_inches": "tight",
        "metadata": {"Creator": None, "Date": None, "Format": None, "Type": None},
    },
}
# Processor time too: on a busy machine it says better than the clock how long a script takes.
SPENT = """
import json as _json, os as _os, sys as _sys
print(_json.dumps({"modules": sorted({name.partition(".")[0] for name in _sys.modules}), "seconds": sum(_os.times()[:4])}))
"""


class Kernel(AsyncKernelManager):
    """A kernel of the Python that runs this, whatever kernels the user has installed."""

    kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
        + [f"--InlineBackend.{option}={value!r}" for option, value in FIGURES.items()],
        language="python",
    )


@dataclass(frozen=True)
class Run:
    """What one run of a script gave: outputs by cell name, packages with versions, seconds."""

    outputs: dict[str, list[Output]]
    packages: dict[str, str]
    seconds: float


def run(root: Path, script: Script, quiet: bool = False) -> Run:
    """Runs a script from top to bottom in a kernel of its own, offline, in an empty folder.

    Raises:
        SiteError: a cell raised, ran too long or printed a path of this machine; the message has the
            script, the cell's name and the traceback.
    """
    cells = [new_code_cell(cell.code, id=cell.name) for cell in script.cells]
    spent = new_code_cell(SPENT)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(new_notebook(cells=[*cells, spent]), km=Kernel(), timeout=LONGEST)
        with (
            client.setup_kernel(env=os.environ | ENVIRONMENT, cwd=folder, cleanup_kc=True),  # a kernel of ours, too
            tqdm(cells, desc=script.path.name, disable=quiet) as bar,
        ):
            start = time.perf_counter()
            for index, cell in enumerate(bar):
                bar.set_postfix_str(cell.id)
                _execute(client, cell, index, script.place(cell.id))
            seconds = time.perf_counter() - start
            client.execute_cell(spent, len(cells))
    outputs = {cell.id: shown(cell.outputs) for cell in cells}
    _refuse_machine(script, outputs, [folder, str(root), sys.prefix, str(Path.home())])
    said = json.loads("".join(output.text for output in spent.outputs if output.get("name") == "stdout"))
    return Run(outputs, versions(packages(root, script.path) & set(said["modules"])), min(seconds, said["seconds"]))


def _execute(client: NotebookClient, cell: nbformat.NotebookNode, index: int, place: str) -> None:
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise SiteError(f"{place} raised {error.ename}\n{strip_ansi(error.traceback)}") from None
    except CellTimeoutError:
        raise SiteError(f"{place} ran longer than {LONGEST} s; what trains belongs in a train_*.py") from None
    except DeadKernelError:
        raise SiteError(f"{place}: its process died, perhaps for lack of memory") from None


def shown(outputs: list[Output]) -> list[Output]:
    """Outputs that a page can show: no stderr, no widgets, the richest form of each, prints in a row as one."""
    kept: list[Output] = []
    for output in outputs:
        data = output.get("data", {})
        kind = next((kind for kind in KINDS if kind in data), None)
        if output.get("name") == "stdout":
            if not kept or kept[-1]["output_type"] != "stream":
                kept.append({"output_type": "stream", "name": "stdout", "text": ""})
            kept[-1]["text"] += output["text"]
        elif kind and not any("widget" in other for other in data):
            kept.append({"output_type": "display_data", "data": {kind: data[kind]}, "metadata": {}})
    return kept


def _refuse_machine(script: Script, outputs: dict[str, list[Output]], folders: list[str]) -> None:
    paths = re.compile("|".join(re.escape(folder) for folder in folders if len(folder) > 3))
    for name, items in outputs.items():
        text = json.dumps(items, ensure_ascii=False)
        for what, pattern in (("a path of this machine", paths), ("an address in memory", " at (0x[0-9a-f]{6,})")):
            if found := re.search(pattern, text):
                raise SiteError(f"{script.place(name)} prints {what}: {found[0]}")


def versions(names: set[str]) -> dict[str, str]:
    """Versions of the installed distributions that importable packages belong to."""
    owners = _owners()
    found = {owners[name][0] for name in names if name in owners}
    return {name: importlib.metadata.version(name).partition("+")[0] for name in sorted(found, key=str.lower)}


@cache
def _owners() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def time_class(script: Script, seconds: float) -> str:
    """The class of a run time: "10 s", "1 min" or "5 min".

    >>> time_class(None, 12.0)
    '1 min'
    """
    for name, limit in SECONDS.items():
        if seconds <= limit:
            return name
    raise SiteError(f"{script.path}: took {seconds:.0f} s; a quick script has five minutes, train_*.py has more")


def staleness(root: Path, path: Path) -> str | None:
    """Why a script's recording is not of this source and this library code, or None."""
    try:
        was, now = read_recording(read_script(path)).metadata.get("library", {}), library(root, path)
    except SiteError as error:
        return str(error)
    other = changed(was, now)
    return f"{path}: recorded with other code in {other}; run: python -m tutorial_site record" if other else None


def problems(root: Path) -> Iterator[str]:
    """Names every script whose recording is missing or older than its source or library code."""
    yield from filter(None, (staleness(root, path) for path in scripts(root)))
    for recording in files(root, "snippets/*/*.ipynb"):
        if not recording.with_suffix(".py").exists():
            yield f"{recording}: a recording without its script"


def record(root: Path, path: Path, quiet: bool = False) -> None:
    """Runs a script and writes its recording, whole or not at all."""
    script = read_script(path)
    metadata: dict[str, Any] = {"source": script.digest, "library": library(root, path)}  # before a run of minutes
    result = run(root, script, quiet)
    metadata |= {"packages": result.packages, "date": f"{datetime.date.today()}"}
    metadata["time"] = time_class(script, result.seconds)
    outputs = result.outputs
    with suppress(SiteError):  # there is no former recording
        former = read_recording(script, any_source=True)
        same = {key for key in metadata if former.metadata.get(key) == metadata[key]}
        for cell in script.cells:
            if _says_the_same(cell, former, outputs[cell.name], same >= {"source", "library", "packages"}):
                outputs[cell.name] = former.outputs.get(cell.name, [])
        if outputs == former.outputs and same >= {"source", "packages"}:
            metadata |= {key: former.metadata[key] for key in ("date", "time")}
    cells = [
        new_code_cell(cell.code, id=cell.name, outputs=nbformat.from_dict(outputs[cell.name])) for cell in script.cells
    ]
    notebook = new_notebook(cells=cells, metadata=NOTEBOOK | {"tutorial": metadata})
    nbformat.validate(notebook)
    write_atomically(script.recording, nbformat.writes(notebook, version=4) + "\n")


def _says_the_same(cell: Cell, former: Recording, new: list[Output], same_code: bool) -> bool:
    """Whether a cell's former outputs can stay.

    After a change of the code, figures are taken anew, and so is text that may differ between machines:
    `compare` cannot tell what became of those.
    """
    loose = cell.differs or any(map(figure, new))
    return (same_code or not loose) and not any(compare_cell(cell, former.outputs.get(cell.name, []), new))


def rerun(root: Path, path: Path, quiet: bool = False) -> list[str]:
    """Runs a script again and returns every difference from its recording."""
    script = read_script(path)
    return compare(script, read_recording(script).outputs, run(root, script, quiet).outputs)
