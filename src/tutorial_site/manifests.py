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
from tutorial_site.imports import code_digest, modules

KEYS = ("name", "seeds", "steps", "time", "losses", "metrics", "data")
REPLAYED = 10  # steps
CLOSE = 1e-3  # relative difference of two losses that count as the same
METRICS = 0.05  # the same for metrics of a new training
SMALL = 0.02  # absolute: two answers more or fewer of a hundred
LARGEST, ALL = 8_000_000, 60_000_000  # bytes of one weight file, and of all of them


def training_scripts(root: Path, paths: Iterable[Path] = ()) -> list[Path]:
    """All ``train_*.py``, or those among and below ``paths``."""
    found = sorted(root.glob("snippets/*/train_*.py"))
    return within(found, paths)


def within(found: list[Path], paths: Iterable[Path]) -> list[Path]:
    """Those of the found scripts that are among or below ``paths``; all of them where no path is given."""
    wanted = [Path(os.path.abspath(path)) for path in paths]
    if wanted and not all(any(script.is_relative_to(path) for script in found) for path in wanted):
        raise SiteError(f"{', '.join(map(str, wanted))}: no such script there")
    return [script for script in found if not wanted or any(script.is_relative_to(path) for path in wanted)]


def manifest_of(root: Path, script: Path) -> Path:
    """Where a training script leaves its manifest."""
    name = script.stem.removeprefix("train_")
    return root / "src/llm_tutorial" / script.parent.name / "weights" / name / "manifest.json"


def code(root: Path, script: Path) -> dict[str, str]:
    """Digests of a training script and of the library code it uses, by path from the root."""
    files = [script, *modules(root, script)]
    return {file.relative_to(root).as_posix(): code_digest(file.read_text(encoding="utf-8")) for file in files}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SiteError(f"{path}: not JSON: {error}") from None


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the committed weights and manifests, a line each."""
    trained = {manifest_of(root, script): script for script in training_scripts(root)}
    for manifest, script in trained.items():
        if not manifest.exists():
            yield f"{script}: no {manifest.relative_to(root)}; run: python -m tutorial_site retrain {script.relative_to(root)}"
            continue
        content = _read(manifest)
        if missing := [key for key in KEYS if not content.get(key)]:
            yield f"{manifest}: without {', '.join(missing)}"
        yield from _changed(root, script, manifest, content)
    total = 0
    for file in sorted(path for path in root.glob("src/llm_tutorial/*/weights/*/**/*") if path.is_file()):
        chapter, _, name = file.relative_to(root / "src/llm_tutorial").parts[:3]
        size = file.stat().st_size
        total += size
        if root / "src/llm_tutorial" / chapter / "weights" / name / "manifest.json" not in trained:
            yield f"{file}: weights without a script snippets/{chapter}/train_{name}.py"
        if file.suffix not in (".safetensors", ".json"):
            yield f"{file}: weights are safetensors and what describes them is JSON, nothing else"
        if size > LARGEST:
            yield f"{file}: {size:,} bytes; at most {LARGEST:,} belong in the repository"
    if total > ALL:
        yield f"{root}/src/llm_tutorial: {total:,} bytes of weights; at most {ALL:,} in all"


def _changed(root: Path, script: Path, manifest: Path, content: dict[str, Any]) -> Iterator[str]:
    was, now = content.get("code", {}), code(root, script)
    if changed := sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name)):
        yield f"{manifest}: trained with other code in {', '.join(changed)}; run: python -m tutorial_site record"


def stamp(root: Path, script: Path) -> None:
    """Writes the digests of the code as it is now into the manifest of a training script."""
    from tutorial_site.record import write_atomically

    manifest = manifest_of(root, script)
    content = _read(manifest) | {"code": code(root, script)}
    write_atomically(manifest, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def refresh(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Replays ten steps of each run whose code changed; the same losses renew its digests."""
    refused = []
    for script in training_scripts(root, paths):
        manifest = manifest_of(root, script)
        if not manifest.exists() or not list(_changed(root, script, manifest, _read(manifest))):
            continue
        print(f"{script.relative_to(root)}: its code changed, replaying {REPLAYED} steps", file=sys.stderr)
        if difference := _differs(_read(manifest)["losses"], replay(root, script)):
            refused.append(f"{script}: {difference}; run: python -m tutorial_site retrain {script.relative_to(root)}")
        else:
            stamp(root, script)
    return refused


def replay(root: Path, script: Path) -> dict[str, list[float]]:
    """The losses of the first steps of a script's first run, trained now."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "losses.json")
        _train(root, script, {"LLM_TUTORIAL_REPLAY": str(answer)})
        if not answer.exists():
            raise SiteError(f"{script}: wrote no losses when asked to replay (LLM_TUTORIAL_REPLAY)")
        return _read(answer)["losses"]


def _train(root: Path, script: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, str(script)], cwd=root, env=os.environ | environment, check=False)
    if done.returncode:
        raise SiteError(f"{script}: ended with code {done.returncode}")


def _differs(recorded: dict[str, list[float]], now: dict[str, list[float]]) -> str | None:
    if not now:
        return "the replay gave no losses"
    for run, losses in now.items():
        if run not in recorded:
            return f"the replay gave a run {run!r} that the manifest does not have"
        for step, (one, other) in enumerate(zip(recorded[run][:REPLAYED], losses, strict=False), 1):
            if not math.isclose(one, other, rel_tol=CLOSE):
                return (
                    f"run {run!r}, step {step}: loss {other:.5g}, recorded {one:.5g}: this code trains something else"
                )
        if len(losses) < min(REPLAYED, len(recorded[run])):
            return f"the replay of {run!r} stopped after {len(losses)} steps"
    return None


def retrain(root: Path, paths: Iterable[Path] = ()) -> list[str]:
    """Trains from nothing, compares the metrics with the former ones and stamps what agrees."""
    different = []
    for script in training_scripts(root, paths):
        manifest = manifest_of(root, script)
        former = _read(manifest)["metrics"] if manifest.exists() else {}
        _train(root, script, {"LLM_TUTORIAL_RETRAIN": "1"})
        content = _read(manifest)
        found = list(_metrics(former, content["metrics"], content.get("tolerance", METRICS)))
        different += [f"{manifest}: {difference}" for difference in found]
        if found:
            different.append(
                f"{manifest}: not stamped; where the new metrics are meant, run: python -m tutorial_site record"
            )
        else:
            stamp(root, script)
    return different


def _metrics(former: Any, now: Any, tolerance: float, name: str = "metrics") -> Iterator[str]:
    if isinstance(former, dict) and isinstance(now, dict):
        for key, value in former.items():
            yield from _metrics(value, now.get(key), tolerance, f"{name}.{key}")
    elif isinstance(former, list) and isinstance(now, list) and len(former) == len(now):
        for index, (one, other) in enumerate(zip(former, now, strict=True)):
            yield from _metrics(one, other, tolerance, f"{name}[{index}]")
    elif isinstance(former, int | float) and isinstance(now, int | float):
        if not math.isclose(former, now, rel_tol=tolerance, abs_tol=SMALL):
            yield f"{name} is {now:.5g}, was {former:.5g} (tolerance {tolerance:.0%})"
    elif former != now:
        yield f"{name} is {now!r}, was {former!r}"
