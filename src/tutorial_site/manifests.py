"""Long runs: are the committed weights and metrics those of this code?

A training script ``snippets/<chapter>/train_NAME.py`` leaves ``manifest.json`` (and perhaps weights)
in ``src/llm_tutorial/<chapter>/weights/NAME/``. Its ``code`` holds a digest of the script and of each
library module it uses. When one no longer matches, ten replayed steps decide: the same losses renew
the digests, other losses ask for a new training.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tutorial_site import SiteError
from tutorial_site.imports import changed, digests, modules
from tutorial_site.repository import scripts, write_atomically

KEYS = ("name", "seeds", "steps", "time", "losses", "metrics", "data")
REPLAYED = 10  # steps
CLOSE = 1e-3  # relative difference of two losses that count as the same
METRICS = 0.05  # the same for metrics of a new training
SMALL = 0.02  # absolute, for metrics: two answers more or fewer of a hundred
LARGEST, ALL = 8_000_000, 60_000_000  # bytes of one weight file, and of all of them


def manifest_of(root: Path, script: Path) -> Path:
    """Where a training script leaves its manifest."""
    name = script.stem.removeprefix("train_")
    return root / "src/llm_tutorial" / script.parent.name / "weights" / name / "manifest.json"


def code(root: Path, script: Path) -> dict[str, str]:
    """Digests of a training script and of the library code it uses, by path from the root."""
    return digests(root, [script, *modules(root, script)])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SiteError(f"{path}: not JSON: {error}") from None


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the committed weights and manifests, a line each."""
    trained = {manifest_of(root, script): script for script in scripts(root, long=True)}
    for manifest, script in trained.items():
        if not manifest.exists():
            yield f"{script}: no {manifest.relative_to(root)}; {_retrain(root, script)}"
            continue
        content = _read(manifest)
        if missing := [key for key in KEYS if not content.get(key)]:
            yield f"{manifest}: without {', '.join(missing)}"
        if other := changed(content.get("code", {}), code(root, script)):
            yield f"{manifest}: trained with other code in {other}; run: python -m tutorial_site record"
    library = root / "src/llm_tutorial"
    sizes = {path: path.stat().st_size for path in sorted(library.glob("*/weights/*/**/*")) if path.is_file()}
    for file, size in sizes.items():
        chapter, weights, name = file.relative_to(library).parts[:3]
        if library / chapter / weights / name / "manifest.json" not in trained:
            yield f"{file}: weights without a script snippets/{chapter}/train_{name}.py"
        if file.suffix not in (".safetensors", ".json"):
            yield f"{file}: weights are safetensors and what describes them is JSON, nothing else"
        if size > LARGEST:
            yield f"{file}: {size:,} bytes; at most {LARGEST:,} belong in the repository"
    if (total := sum(sizes.values())) > ALL:
        yield f"{library}: {total:,} bytes of weights; at most {ALL:,} in all"


def _retrain(root: Path, script: Path) -> str:
    return f"run: python -m tutorial_site retrain {script.relative_to(root).as_posix()}"


def stamp(root: Path, script: Path) -> None:
    """Writes the digests of the code as it is now into the manifest of a training script."""
    manifest = manifest_of(root, script)
    content = _read(manifest) | {"code": code(root, script)}
    write_atomically(manifest, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def refresh(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Replays ten steps of each run whose code changed; the same losses renew its digests."""
    refused = []
    for script in scripts(root, paths, long=True):
        manifest = manifest_of(root, script)
        if not manifest.exists() or not changed(_read(manifest).get("code", {}), code(root, script)):
            continue
        print(f"{script.relative_to(root)}: its code changed, replaying {REPLAYED} steps", file=sys.stderr)
        now = replay(root, script)
        was = {run: _read(manifest)["losses"].get(run, [])[:REPLAYED] for run in now}
        if different := next(differences(was, now, CLOSE), None if now else "the replay gave no losses"):
            refused.append(f"{script}: {different}: this code trains something else; {_retrain(root, script)}")
        else:
            stamp(root, script)
    return refused


def replay(root: Path, script: Path) -> dict[str, list[float]]:
    """The losses of a script's first steps, trained now, by run."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "losses.json")
        _train(root, script, {"LLM_TUTORIAL_REPLAY": str(answer)})
        if not answer.exists():
            raise SiteError(f"{script}: wrote no losses when asked to replay (LLM_TUTORIAL_REPLAY)")
        return {run: losses[:REPLAYED] for run, losses in _read(answer)["losses"].items()}


def _train(root: Path, script: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, str(script)], cwd=root, env=os.environ | environment, check=False)
    if done.returncode:
        raise SiteError(f"{script}: ended with code {done.returncode}")


def retrain(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Trains from nothing, compares the metrics with the former ones and stamps what agrees."""
    different = []
    for script in scripts(root, paths, long=True):
        manifest = manifest_of(root, script)
        former = _read(manifest)["metrics"] if manifest.exists() else {}
        _train(root, script, {"LLM_TUTORIAL_RETRAIN": "1"})
        content = _read(manifest)
        if found := list(differences(former, content["metrics"], content.get("tolerance", METRICS), SMALL)):
            found.append("not stamped; where the new metrics are meant, run: python -m tutorial_site record")
            different += [f"{manifest}: {line}" for line in found]
        else:
            stamp(root, script)
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
