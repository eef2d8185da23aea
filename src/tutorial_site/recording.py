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


@dataclass(frozen=True)
class Recording:
    """Outputs by cell name, and the metadata of the run.

    ``outputs[cell]`` is a list of nbformat outputs (``stream``, ``display_data``, ``execute_result``).
    ``metadata`` has ``source`` (the script's digest), ``packages`` (name to version), ``date``
    (ISO) and ``time`` (the run-time class: "10 s", "1 min" or "5 min").
    """

    path: Path
    outputs: dict[str, list[dict[str, Any]]]
    metadata: dict[str, Any]

    def text(self, cell: str) -> str:
        """Everything the cell printed, and the plain text of its results."""
        return "".join(_text(output) for output in self.outputs[cell])

    def values(self, cell: str) -> dict[str, str]:
        """The lines ``name = value`` that the cell printed, as they stand."""
        return {match["name"]: match["value"].strip() for match in VALUE.finditer(self.text(cell))}


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output.get("data", {}).get("text/plain", ""))


def read_recording(script: Script, any_source: bool = False) -> Recording:
    """Reads a script's recording; it must exist and, unless ``any_source``, be that of this very source."""
    path = script.recording
    if not path.exists():
        raise SiteError(f"{script.path}: no recording; run: python -m tutorial_site record {script.path}")
    recording = _read(path, path.stat().st_mtime_ns)
    if recording.metadata.get("source") != script.digest and not any_source:
        raise SiteError(
            f"{script.path}: changed since it was recorded; run: python -m tutorial_site record {script.path}"
        )
    return recording


@cache
def _read(path: Path, modified: int) -> Recording:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    outputs = {cell["id"]: cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
    return Recording(path, outputs, notebook["metadata"]["tutorial"])
