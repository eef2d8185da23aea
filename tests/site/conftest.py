import shutil
from pathlib import Path

import pytest
from fixture import configure, make_site

from tutorial_site import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def recorded_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture site as it is made; tests change a copy of it."""
    return make_site(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def site(recorded_site: Path, tmp_path: Path) -> Path:
    """A copy of the fixture site that a test may change."""
    root = tmp_path / "site"
    shutil.copytree(recorded_site, root)
    configure(root)
    return root


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real site, built once a session."""
    folder = tmp_path_factory.mktemp("built")
    problems = build.build(ROOT, folder)
    assert not problems, "\n".join(problems)
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real site for reading from a folder."""
    folder = tmp_path_factory.mktemp("archive")
    problems = build.build(ROOT, folder, configs=build.OFFLINE)
    assert not problems, "\n".join(problems)
    return folder
