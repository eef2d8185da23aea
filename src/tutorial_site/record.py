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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from tutorial_site import SiteError
from tutorial_site.cells import Cell, Script, read_script
from tutorial_site.compare import compare, compare_cell
from tutorial_site.imports import library, packages
from tutorial_site.manifests import within
from tutorial_site.recording import read_recording

CLASSES = {10: "10 s", 60: "1 min", 300: "5 min"}
LONGEST = 900  # seconds for one cell: well over the budget, so that a busy machine is no error
KINDS = ("image/svg+xml", "image/png", "text/html", "text/plain")  # richest first
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
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
MATPLOTLIB = "svg.hashsalt: llm-tutorial\n"
SETUP = """
try:
    from matplotlib_inline.config import InlineBackend as _backend
    _backend = _backend.instance(parent=get_ipython())
    _backend.figure_formats = {"svg"}
    _backend.print_figure_kwargs = {"bbox_inches": "tight", "metadata": dict.fromkeys(["Creator", "Date", "Format", "Type"])}
    del _backend
except ImportError:
    pass
"""
# Processor time too: on a busy machine it says better than the clock how long a script takes.
SPENT = """
import json as _json, os as _os, sys as _sys
print(_json.dumps({"modules": sorted({name.partition(".")[0] for name in _sys.modules}), "seconds": sum(_os.times()[:4])}))
"""


class _Kernel(AsyncKernelManager):
    """A kernel of the Python that runs this, whatever kernels the user has installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"],
            language="python",
        )


@dataclass(frozen=True)
class Run:
    """What one run of a script gave: outputs by cell name, packages with versions, seconds."""

    outputs: dict[str, list[dict[str, Any]]]
    packages: dict[str, str]
    seconds: float


def scripts(root: Path, paths: Iterable[Path] = ()) -> list[Path]:
    """The scripts that have recordings: all of ``snippets/``, or those among and below ``paths``."""
    found = sorted(path for path in root.glob("snippets/*/*.py") if not path.name.startswith("train_"))
    return within(found, paths)


def run(root: Path, script: Script, quiet: bool = False) -> Run:
    """Runs a script from top to bottom in a kernel of its own, offline, in an empty folder.

    Raises:
        SiteError: a cell raised, ran too long or printed a path of this machine; the message has the
            script, the cell's name and the traceback.
    """
    cells = [nbformat.v4.new_code_cell(cell.code, id=cell.name) for cell in script.cells]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as settings:
        matplotlibrc = Path(settings, "matplotlibrc")
        matplotlibrc.write_text(MATPLOTLIB)
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(SETUP), *cells, nbformat.v4.new_code_cell(SPENT)]
        )
        client = NotebookClient(notebook, km=_Kernel(), timeout=LONGEST, resources={"metadata": {"path": folder}})
        environment = os.environ | ENVIRONMENT | {"MATPLOTLIBRC": str(matplotlibrc)}
        with (
            client.setup_kernel(env=environment, cwd=folder),
            tqdm(total=len(cells), desc=script.path.name, disable=quiet) as bar,
        ):
            client.execute_cell(notebook.cells[0], 0)
            start = time.perf_counter()
            for index, cell in enumerate(script.cells, 1):
                bar.set_postfix_str(cell.name)
                _execute(client, notebook.cells[index], index, f"{script.path}:{cell.line}: cell {cell.name!r}")
                bar.update()
            seconds = time.perf_counter() - start
            client.execute_cell(notebook.cells[-1], len(cells) + 1)
        outputs = {cell.id: list(_clean(cell.outputs)) for cell in cells}
        _refuse_machine(script, outputs, [folder, str(root), sys.prefix, str(Path.home())])
    printed = "".join(output.text for output in notebook.cells[-1].outputs if output.get("name") == "stdout")
    spent = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    versions = _versions(packages(root, script.path) & set(spent["modules"]))
    return Run(outputs, versions, min(seconds, spent["seconds"]))


def _execute(client: NotebookClient, cell: nbformat.NotebookNode, index: int, place: str) -> None:
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        frames = next((output.traceback for output in cell.outputs if output.output_type == "error"), [error.traceback])
        traceback = ANSI.sub("", "\n".join(frames))
        raise SiteError(f"{place} raised {error.ename}\n{traceback}") from None
    except CellTimeoutError:
        raise SiteError(f"{place} ran longer than {LONGEST} s; what trains belongs in a train_*.py") from None
    except DeadKernelError:
        raise SiteError(f"{place}: its process died, perhaps for lack of memory") from None


def _clean(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Outputs that a page can show: no stderr, no widgets, streams that follow each other as one."""
    printed: dict[str, Any] | None = None
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] != "stdout":
                continue
            if printed:
                printed["text"] += output["text"]
                continue
            printed = {"output_type": "stream", "name": "stdout", "text": output["text"]}
            yield printed
            continue
        data = output.get("data", {})
        if any("widget" in kind for kind in data):
            continue
        printed = None
        kind = next((kind for kind in KINDS if kind in data), None)
        if kind:  # the richest form alone: the others would be a second, worse copy
            yield {"output_type": "display_data", "data": {kind: data[kind]}, "metadata": {}}


def _refuse_machine(script: Script, outputs: dict[str, list[dict[str, Any]]], folders: list[str]) -> None:
    for cell, items in outputs.items():
        text = json.dumps(items, ensure_ascii=False)
        for folder in folders:
            if len(folder) > 3 and folder in text:
                raise SiteError(
                    f"{script.path}:{script[cell].line}: cell {cell!r} prints a path of this machine: {folder}"
                )
        if address := ADDRESS.search(text):
            raise SiteError(
                f"{script.path}:{script[cell].line}: cell {cell!r} prints an address in memory:{address[0]}"
            )


def _versions(names: set[str]) -> dict[str, str]:
    owners = importlib.metadata.packages_distributions()
    found = {owners[name][0] for name in names if name in owners}
    return {name: importlib.metadata.version(name).partition("+")[0] for name in sorted(found, key=str.lower)}


def time_class(script: Script, seconds: float) -> str:
    """The class of a run time: "10 s", "1 min" or "5 min".

    >>> time_class(None, 12.0)
    '1 min'
    """
    for limit, name in CLASSES.items():
        if seconds <= limit:
            return name
    raise SiteError(
        f"{script.path}: took {seconds:.0f} s; a quick script has five minutes, what trains belongs in a train_*.py"
    )


def is_fresh(root: Path, path: Path) -> bool:
    """Whether a script's recording is of this source and of this library code."""
    script = read_script(path)
    try:
        return read_recording(script).metadata.get("library") == library(root, path)
    except SiteError:
        return False


def stale(root: Path) -> Iterator[str]:
    """Names every script whose recording is missing or older than its source or library code."""
    for path in scripts(root):
        try:
            recorded = read_recording(read_script(path)).metadata.get("library", {})
        except SiteError as error:
            yield str(error)
            continue
        now = library(root, path)
        if changed := sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name)):
            yield f"{path}: recorded with other code in {', '.join(changed)}; run: python -m tutorial_site record"
    for recording in sorted(root.glob("snippets/*/*.ipynb")):
        if not recording.with_suffix(".py").exists():
            yield f"{recording}: a recording without its script"


def record(root: Path, path: Path, quiet: bool = False) -> Path:
    """Runs a script and writes its recording, whole or not at all."""
    script = read_script(path)
    code = {"source": script.digest, "library": library(root, path)}  # before the run, which may take minutes
    result = run(root, script, quiet)
    metadata = code | {
        "packages": result.packages,
        "date": datetime.date.today().isoformat(),
        "time": time_class(script, result.seconds),
    }
    try:
        former = read_recording(script, any_source=True)
    except SiteError:
        former = None
    outputs = result.outputs
    if former:
        same_code = all(former.metadata.get(key) == metadata[key] for key in ("source", "library", "packages"))
        outputs = {
            cell.name: _settle(cell, former.outputs.get(cell.name), outputs[cell.name], same_code)
            for cell in script.cells
        }
        if outputs == former.outputs and all(
            former.metadata.get(key) == metadata[key] for key in ("source", "packages")
        ):
            metadata |= {"date": former.metadata["date"], "time": former.metadata["time"]}
    write(script, outputs, metadata)
    return script.recording


def _settle(
    cell: Cell, former: list[dict[str, Any]] | None, new: list[dict[str, Any]], same_code: bool
) -> list[dict[str, Any]]:
    """The former outputs of a cell where the new ones say the same.

    After a change of the code, figures are taken anew, and so is text that may differ between machines:
    `compare` cannot tell what became of those.
    """
    if former is None or compare_cell(cell, former, new):
        return new
    loose = cell.differs or any(kind.startswith("image/") for output in new for kind in output.get("data", {}))
    return new if loose and not same_code else former


def write(script: Script, outputs: dict[str, list[dict[str, Any]]], metadata: dict[str, Any]) -> None:
    """Writes a recording, whole or not at all."""
    cells = [
        nbformat.v4.new_code_cell(cell.code, id=cell.name, outputs=nbformat.from_dict(outputs[cell.name]))
        for cell in script.cells
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}, "tutorial": metadata}
    )
    nbformat.validate(notebook)
    write_atomically(script.recording, nbformat.writes(notebook, version=4) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that nobody ever sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def rerun(root: Path, path: Path, quiet: bool = False) -> list[str]:
    """Runs a script again and returns every difference from its recording."""
    script = read_script(path)
    return compare(script, read_recording(script).outputs, run(root, script, quiet).outputs)
