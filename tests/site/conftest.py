import shutil
from pathlib import Path

import pytest
from fixture import configure, make_site


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
