"""The reader's answer to each checker: ``test_merge.py`` checks ``merge.py``.

Or its solution, if EXERCISE_SOLUTION=1.
"""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> ModuleType:
    name = request.path.name.removeprefix("test_")
    folder = request.path.parent
    if os.environ.get("EXERCISE_SOLUTION"):
        folder /= "solutions"
    path = Path(os.environ.get("EXERCISE_ANSWER", folder / name))
    spec = importlib.util.spec_from_file_location("answer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_configure() -> None:
    pytest.say = lambda english, chinese: f"\n\n  {english}\n  {chinese}\n"
