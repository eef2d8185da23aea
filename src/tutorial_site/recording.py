"""What a script printed and drew when it was recorded, read from its notebook."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tutorial_site import SiteError
from tutorial_site.cells import Script

VALUE = re.compile(r"^(?P<name>[A-Za-z_]\w*) = (?P<value>.+)$", re.MULTILINE)
SECONDS = {"10 s": 10, "1 min": 60, "5 min": 300}  # the classes of run time
NOTEBOOK = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

FIGURES = ("image/svg+xml", "image/png")

Output = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """Outputs by cell name, and the metadata of the run.

    ``outputs[cell]`` is a list of nbformat outputs (``stream``, ``display_data``, ``execute_result``).
    ``metadata`` has ``source`` (the script's digest), ``library`` (digests of the code it uses), ``packages``
    (name to version), ``date`` (ISO) and ``time`` (the run-time class, a key of ``SECONDS``).
    """

    outputs: dict[str, list[Output]]
    metadata: dict[str, Any]

    def values(self, cell: str) -> dict[str, str]:
        """The lines ``name = value`` that the cell printed, as they stand."""
        printed = "".join(map(text_of, self.outputs[cell]))
        return {match["name"]: match["value"].strip() for match in VALUE.finditer(printed)}


def figure(output: Output) -> str | None:
    """The image type that a page shows of an output, or None."""
    return next((kind for kind in FIGURES if kind in output.get("data", {})), None)


def text_of(output: Output) -> str:
    """What an output printed, or its plain text."""
    return "".join(
        output["text"] if output["output_type"] == "stream" else output.get("data", {}).get("text/plain", "")
    )


def read_recording(script: Script, any_source: bool = False) -> Recording:
    """Reads a script's recording; it must exist and, unless ``any_source``, be that of this very source."""
    path, command = script.recording, f"run: python -m tutorial_site record {script.path}"
    if not path.exists():
        raise SiteError(f"{script.path}: no recording; {command}")
    recording = _read(path, path.stat().st_mtime_ns)
    if recording.metadata.get("source") != script.digest and not any_source:
        raise SiteError(f"{script.path}: changed since it was recorded; {command}")
    return recording


@cache
def _read(path: Path, modified: int) -> Recording:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    outputs = {cell["id"]: cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
    return Recording(outputs, notebook["metadata"]["tutorial"])
