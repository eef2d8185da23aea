"""Long runs: are the committed weights and metrics those of this code?

A training script ``snippets/<chapter>/train_NAME.py`` leaves ``src/llm_tutorial/<chapter>/weights/NAME/``:
``manifest.json`` with its results, perhaps weights, and ``SHA256SUMS``, the seal that a finished run puts on both. The
engine adds ``replay.json``: digests of the code, and a *probe* of each configuration, which is its first steps and the
script's metrics after them on a few examples. When the code changes, every configuration is probed again: equal probes
renew the digests, anything else asks for a new training.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tutorial_site import SiteError
from tutorial_site.imports import changed, digests, modules, trained
from tutorial_site.repository import scripts, write_atomically

KEYS = ("name", "seeds", "steps", "time", "losses", "metrics", "data")
OF_TRAINING = ("seeds", "steps", "losses")  # a run that only measures says `steps=0`
RESULTS, SUMS, REPLAY = "manifest.json", "SHA256SUMS", "replay.json"
# Relative difference of two numbers of a probe that count as the same: early losses hardly depend on details (another
# scale inside attention moved them by 5e-5), and on one kind of processor the same code gives the same digits.
CLOSE = 2e-5
METRICS = 0.05  # the same for metrics of a new training
SMALL = 0.02  # absolute, for metrics: two answers more or fewer of a hundred
LARGEST = 18_000_000  # bytes of one file
ALL = {"diffusion": 36_000_000}  # bytes of a chapter's weights
ALL_ELSEWHERE = 20_000_000
PROBES = 2  # at once, on one thread each


def folder_of(root: Path, script: Path) -> Path:
    """Where a training script leaves what it made."""
    return root / "src/llm_tutorial" / script.parent.name / "weights" / script.stem.removeprefix("train_")


def code(root: Path, script: Path) -> dict[str, str]:
    """Digests of a training script and of the library code it uses, by path from the root."""
    return digests(root, [script, *modules(root, script)])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SiteError(f"{path}: not JSON: {error}") from None


def _replay(folder: Path) -> dict[str, Any]:
    return _read(folder / REPLAY) if (folder / REPLAY).exists() else {}


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the committed weights and manifests, a line each."""
    made = {folder_of(root, script): script for script in scripts(root, long=True)}
    for folder, script in made.items():
        manifest = folder / RESULTS
        if not manifest.exists():
            yield f"{script}: no {manifest.relative_to(root)}; {_retrain(root, script)}"
            continue
        content = _read(manifest)
        owed = [key for key in KEYS if content.get("steps") != 0 or key not in OF_TRAINING]
        if missing := [key for key in owed if not content.get(key)]:
            yield f"{manifest}: without {', '.join(missing)}"
        yield from _broken_seals(root, folder, script)
        if other := changed(_replay(folder).get("code", {}), code(root, script)):
            yield f"{manifest}: trained with other code in {other}; run: python -m tutorial_site record"
    yield from _misplaced(root, made)


def _broken_seals(root: Path, folder: Path, script: Path) -> Iterator[str]:
    """Files that are not what the finished run wrote."""
    if not (folder / SUMS).exists():
        yield f"{folder}: no {SUMS}, which a finished run writes; {_retrain(root, script)}"
        return
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    sealed = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {SUMS, REPLAY}
    for path in sorted(sealed.keys() | files):
        if path not in files:
            yield f"{folder / path}: not there, though the run wrote it"
        elif sealed.get(path) != hashlib.sha256((folder / path).read_bytes()).hexdigest():
            yield f"{folder / path}: not what the finished run wrote ({SUMS}); restore it, or {_retrain(root, script)}"


def _misplaced(root: Path, made: dict[Path, Path]) -> Iterator[str]:
    """Weights that are too large, of no script, of another kind, or loaded by no snippet."""
    library = root / "src/llm_tutorial"
    loaded = {name for script in scripts(root) for name in trained(root, script)}
    sizes = {path: path.stat().st_size for path in sorted(library.glob("*/weights/*/**/*")) if path.is_file()}
    for file, size in sizes.items():
        chapter, _, name = file.relative_to(library).parts[:3]
        if library / chapter / "weights" / name not in made:
            yield f"{file}: weights without a script snippets/{chapter}/train_{name}.py"
        if file.suffix not in (".safetensors", ".json") and file.name != SUMS:
            yield f"{file}: weights are safetensors and what describes them is JSON, nothing else"
        if file.suffix == ".safetensors" and (chapter, name) not in loaded:
            yield f'{file}: no snippet loads it with weights("{chapter}", "{name}")'
        if size > LARGEST:
            yield f"{file}: {size:,} bytes; at most {LARGEST:,} belong in the repository"
    for chapter in sorted({file.relative_to(library).parts[0] for file in sizes}):
        limit = ALL.get(chapter, ALL_ELSEWHERE)
        total = sum(size for file, size in sizes.items() if file.is_relative_to(library / chapter))
        if total > limit:
            yield f"{library / chapter}: {total:,} bytes of weights; at most {limit:,} in this chapter"


def _retrain(root: Path, script: Path) -> str:
    return f"run: python -m tutorial_site retrain {script.relative_to(root).as_posix()}"


def refresh(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Probes the long runs whose code changed; equal probes renew the digests. What differs is returned."""
    stale = [
        script
        for script in scripts(root, paths, long=True)
        if (folder_of(root, script) / RESULTS).exists()
        and changed(_replay(folder_of(root, script)).get("code", {}), code(root, script))
    ]
    with ThreadPoolExecutor(PROBES) as pool:
        return [line for lines in pool.map(lambda script: _renew(root, script), stale) for line in lines]


def _renew(root: Path, script: Path) -> list[str]:
    print(f"{script.relative_to(root)}: its code changed, probing it", file=sys.stderr)
    folder, digest = folder_of(root, script), code(root, script)
    try:
        now = probe(root, script)
    except SiteError as error:
        return [str(error)]
    different = list(against(_read(folder / RESULTS), _replay(folder).get("probes"), now))
    if different:
        return [f"{script}: {different[0]}: this code trains something else; {_retrain(root, script)}"]
    content = json.dumps({"code": digest, "probes": now["probes"]}, indent=1, ensure_ascii=False)
    write_atomically(folder / REPLAY, content + "\n")
    return []


def against(results: dict[str, Any], former: dict[str, Any] | None, now: dict[str, Any]) -> Iterator[str]:
    """Where a probe disagrees with the results of the run, and with the former probe.

    A run that was never probed is held against its own first losses instead.

    Args:
        results: The manifest.
        former: The probes of the same runs, when their digests were last renewed.
        now: What the script wrote: ``runs``, ``facts``, ``data`` and ``probes``.
    """
    if (was := list(results["metrics"])) != now["runs"]:
        yield f"it makes the runs {sorted(set(now['runs']) ^ set(was))} more or fewer, or in another order"
    yield from _both_ways({key: results.get(key) for key in now["facts"]}, now["facts"], 0)
    yield from _both_ways(results["data"], now["data"], 0, "data")
    if former is not None:
        yield from _both_ways(former, now["probes"], CLOSE)
        return
    for kind, probe in now["probes"].items():
        first = results["losses"].get(probe["run"], [])
        length = min(len(first), len(probe["losses"]))
        yield from differences(first[:length], probe["losses"][:length], CLOSE, 1e-6, kind)


def _both_ways(was: Any, now: Any, tolerance: float, name: str = "") -> Iterator[str]:
    yield from differences(was, now, tolerance, 1e-9, name)
    if not list(differences(was, now, tolerance, 1e-9)):
        yield from differences(now, was, tolerance, 1e-9, name)


def probe(root: Path, script: Path) -> dict[str, Any]:
    """What a script says of its first steps, run now on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "probe.json")
        threads = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        _train(root, script, {"LLM_TUTORIAL_PROBE": str(answer), **threads})
        if not answer.exists():
            raise SiteError(f"{script}: wrote no probe when asked to (LLM_TUTORIAL_PROBE)")
        return _read(answer)


def _train(root: Path, script: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, str(script)], cwd=root, env=os.environ | environment, check=False)
    if done.returncode:
        raise SiteError(f"{script}: ended with code {done.returncode}")


def retrain(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Trains from nothing, compares the metrics with the former ones, and probes what agrees."""
    different = []
    for script in scripts(root, paths, long=True):
        manifest = folder_of(root, script) / RESULTS
        former = _read(manifest)["metrics"] if manifest.exists() else {}
        _train(root, script, {"LLM_TUTORIAL_RETRAIN": "1"})
        content = _read(manifest)
        if found := list(differences(former, content["metrics"], content.get("tolerance", METRICS), SMALL)):
            found.append("not probed; where the new metrics are meant, run: python -m tutorial_site record")
            different += [f"{manifest}: {line}" for line in found]
        else:
            different += _renew(root, script)
    return different


def differences(was: Any, now: Any, tolerance: float, small: float = 0, name: str = "") -> Iterator[str]:
    """Where nested results differ by more than a relative tolerance, or an absolute one; new ones are no difference."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in was:
            yield from differences(was[key], now.get(key), tolerance, small, f"{name}.{key}" if name else key)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now, strict=True), 1):
            yield from differences(one, other, tolerance, small, f"{name}, no. {index}")
    elif isinstance(was, int | float) and isinstance(now, int | float):
        if not math.isclose(was, now, rel_tol=tolerance, abs_tol=small):
            yield f"{name}: {now:.5g}, recorded {was:.5g} (tolerance: {100 * tolerance:g} %)"
    elif was != now:
        yield f"{name}: {now!r}, recorded {was!r}"
