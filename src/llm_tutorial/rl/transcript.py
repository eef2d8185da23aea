"""What a policy wrote while it was trained: a line for each step, kept on disk with the run's state."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_tutorial.rl.rewards import Rewards
from llm_tutorial.rl.sampling import Completion
from llm_tutorial.rl.sentences import frame, has_room_for_a_verb


class Transcript:
    """Called after each step, as ``each`` of ``llm_tutorial.rl.trainer.train``.

    Args:
        file: Keeps a line for each step; a step that is taken again after an interruption is written again.

    Attributes:
        steps: Of each step: ``frames`` (different ones, as a share), ``room`` (share with room for a verb), ``answer`` (the
            first to the first prompt), ``core`` (seconds of processor time since the step before; ``None`` for the first
            step of a process).

    Example:
        >>> import tempfile, torch
        >>> from llm_tutorial.rl.three_words import prompt_of
        >>> one = Completion(prompt_of(("cat", "hat", "moon")), [1], [2], [0.0], "A cat, a hat, a moon.", False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     transcript = Transcript(Path(folder, "transcript.jsonl"))
        ...     transcript(0, [[one, one]], Rewards(torch.ones(2), {}))
        >>> transcript.steps[0]["frames"], transcript.steps[0]["room"], transcript.steps[0]["answer"]
        (0.5, 0.0, 'A cat, a hat, a moon.')
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._last: float | None = None
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.steps: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def __call__(self, step: int, groups: Sequence[Sequence[Completion]], rewards: Rewards) -> None:
        """Writes down a step."""
        answers = [answer for group in groups for answer in group]
        now = time.process_time()
        del self.steps[step:]
        self.steps.append(
            {
                "frames": len({frame(each.prompt, each.text) for each in answers}) / len(answers),
                "room": sum(has_room_for_a_verb(each.prompt, each.text) for each in answers) / len(answers),
                "answer": answers[0].text,
                "core": None if self._last is None else now - self._last,
            }
        )
        self._last = now
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(each) + "\n" for each in self.steps)
        self.file.write_text(text, encoding="utf-8")
