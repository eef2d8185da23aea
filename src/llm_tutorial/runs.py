"""One helper for long runs: progress, interruption and resumption, several devices, a manifest.

A training script is a plain loop over named runs:

    long_run = LongRun("low_rank", Path(__file__))
    for seed in range(3):
        long_run.measure(f"rank 8, seed {seed}", lambda: train(seed))
    long_run.finish()

``measure`` keeps the metrics of each finished run, and ``fit`` the state of the one under way, in the
user's cache folder: a killed script goes on where it stopped, to the same result. ``accelerate launch``
runs the same script on several devices. What is kept belongs to the code that made it: changed code starts anew.

Where the environment variable ``LLM_TUTORIAL_PROBE`` names a file, the script is *probed* instead: of each
configuration, one run takes its first steps and is measured on the first few of what it is to be measured on. That
tells whether changed code still does the same, in a minute instead of hours.
"""

import ast
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_tutorial import results
from llm_tutorial.fetch import cache_folder, say
from llm_tutorial.saved_state import StateError, damaged, write_json
from llm_tutorial.training import PROBED_STEPS

PROBE = "LLM_TUTORIAL_PROBE"
RETRAIN = "LLM_TUTORIAL_RETRAIN"  # in the environment: runs kept from before do not count
TIMES = ((600, "10 min"), (3600, "1 h"), (7200, "2 h"))
UNMEASURED = ("losses", "seconds")  # of a run; the manifest has them elsewhere


class LongRun:
    """A script's runs: measured once each, and written down in a manifest when all are done.

    Args:
        name: Name of the run, and of the folder of its weights.
        script: The training script, ``Path(__file__)``; its chapter is the name of its folder.
        probed_steps: Steps that a run takes when it is probed.
    """

    def __init__(self, name: str, script: Path, probed_steps: int = 10) -> None:
        self.name, chapter = name, script.resolve().parent.name
        self.folder = results.PACKAGE / chapter / "weights" / name
        self._kept = cache_folder() / "runs" / chapter / name
        self.state = self._kept / (code_digest(script)[:12] + "-again" * (RETRAIN in os.environ))
        self.runs: dict[str, dict[str, Any]] = {}
        self.data: dict[str, str] = {}
        self._probe_file = Path(os.environ[PROBE]) if PROBE in os.environ else None
        if self._probe_file:
            self._probes: dict[str, dict[str, Any]] = {}
            self._held_out: list[str] = []
            manifest = self.folder / results.MANIFEST
            self._recorded = json.loads(manifest.read_text(encoding="utf-8"))["metrics"] if manifest.exists() else {}
            self.folder = self._probe_file.parent / name  # the committed weights stay
            os.environ[PROBED_STEPS] = str(probed_steps)
        elif not self.state.exists() and any(self._kept.glob("*")):
            say(f"{self._kept} keeps unfinished runs of other code or settings; these start anew beside them.")
            say(f"{self._kept} 里有用别的代码或设置留下的未完成的训练；现在的训练另行从头开始。")

    def state_of(self, run: str) -> Path:
        """Folder for the state of one run under way."""
        return self.state / hashlib.sha256(run.encode()).hexdigest()[:12]

    def few(self, items: Sequence[Any], count: int = 4) -> Sequence[Any]:
        """What a run is measured on: all of it; in a probe a few, evenly spread, and a digest of all is kept.

        Args:
            items: Examples, documents, settings to try.
            count: How many a probe takes.
        """
        if not self._probe_file:
            return items
        self._held_out.append(data_digest(_plain(items))[:16])
        return items[:: max(len(items) // count, 1)][:count]

    def measure(self, run: str, function: Callable[[], dict[str, Any]], timed: bool = False) -> dict[str, Any]:
        """Runs a function once; what it returned before is read back instead of computed again.

        Args:
            run: The run's name; runs that differ only in their seed have names that differ only in ``seed 0``.
            function: Trains and evaluates; returns metrics, with ``losses`` among them where it trained.
            timed: It measures nothing but time; a probe leaves it out.

        Raises:
            StateError: What it returned before was kept, and cannot be read.
        """
        if self._probe_file:
            return self._probe(run, function, timed)
        path = self.state_of(run).with_suffix(".json")
        if path.exists():
            try:
                self.runs[run] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise StateError(damaged(path, error)) from error
        else:
            start = time.perf_counter()
            metrics = function()
            self.runs[run] = metrics | {"seconds": time.perf_counter() - start}
            self.state.mkdir(parents=True, exist_ok=True)
            write_json(path, self.runs[run])
            shutil.rmtree(self.state_of(run), ignore_errors=True)
        return self.runs[run]

    def _probe(self, run: str, function: Callable[[], dict[str, Any]], timed: bool) -> dict[str, Any]:
        """What was recorded of the run, so that a script chooses by its results as it did; its probe is noted."""
        kind, recorded = configuration(run), self._recorded.get(run, {})
        if not timed and kind not in self._probes:
            self._held_out = []
            found = function()
            recorded = recorded or found
            losses = found.get("losses", [])
            self._probes[kind] = {
                "run": run,
                "steps": len(losses),
                "losses": _significant(losses[: int(os.environ[PROBED_STEPS])]),
                "held_out": self._held_out,
                "metrics": _significant({k: v for k, v in found.items() if k not in ("losses", "curve")}),
            }
        self.runs[run] = recorded
        return recorded

    def finish(self, **facts: Any) -> None:
        """Writes the manifest and seals it together with the weights; ``tutorial_site record`` adds the code's digests.

        Args:
            facts: What else the manifest shall say, such as ``seeds`` and ``steps``.
        """
        if self._probe_file:
            said = {"runs": list(self.runs), "facts": facts, "data": self.data, "probes": self._probes}
            return write_json(self._probe_file, said)
        seconds = sum(run["seconds"] for run in self.runs.values())
        manifest = {
            "name": self.name,
            **facts,
            "seconds": round(seconds),
            "time": next((label for limit, label in TIMES if seconds < limit), "5 h"),
            "data": self.data,
            "losses": {name: _significant(run["losses"][:10]) for name, run in self.runs.items() if "losses" in run},
            "metrics": {
                name: {key: value for key, value in run.items() if key not in UNMEASURED}
                for name, run in self.runs.items()
            },
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / results.MANIFEST, manifest)
        (self.folder / results.REPLAY).unlink(missing_ok=True)  # of a former training
        results.seal(self.folder)
        shutil.rmtree(self._kept, ignore_errors=True)
        return None


def configuration(run: str) -> str:
    """What a run has in common with those that differ from it in nothing but their seed.

    Example:
        >>> configuration("window, seed 2")
        'window'
    """
    return re.sub(r",? ?seed \d+", "", run)


def data_digest(data: Any) -> str:
    """SHA-256 of a training set, for a manifest.

    Example:
        >>> data_digest(["a", 1])[:8]
        '1d809466'
    """
    return hashlib.sha256(repr(data).encode()).hexdigest()


def code_digest(script: Path) -> str:
    """SHA-256 of a script and of the library modules imported so far, without docstrings and comments.

    Example:
        >>> len(code_digest(Path(__file__)))
        64
    """
    modules = sorted(name for name in sys.modules if name.partition(".")[0] == "llm_tutorial")
    files = [script, *(Path(path) for name in modules if (path := getattr(sys.modules[name], "__file__", None)))]
    return hashlib.sha256("\n".join(map(_code, files)).encode()).hexdigest()


def _code(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8-sig"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return ast.dump(tree)


def _plain(data: Any) -> Any:
    """Nested data with its tensors as lists: what a digest is taken of."""
    if isinstance(data, Tensor):
        return data.tolist()
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data


def _significant(value: Any) -> Any:
    """Numbers of nested results to six significant digits, keys as JSON has them."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _significant(each) for key, each in value.items()}
    return [_significant(each) for each in value] if isinstance(value, list | tuple) else value
