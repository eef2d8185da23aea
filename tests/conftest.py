"""For all tests: what passed and did not change since is not run again, and folders that all processes share."""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from tutorial_site import SiteError, stamps

WORKER = "PYTEST_XDIST_WORKER" in os.environ
STAMP = pytest.StashKey[str | None]()
UNCHANGED = pytest.StashKey[dict[str, int]]()
Once = Callable[[str, Callable[[Path], object]], Path]

if WORKER:  # the processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def key_of(item: pytest.Item) -> str | None:
    """The name of the stamp that a test leaves when it passes; None where it leaves none."""
    with suppress(SiteError):  # nobody can tell what it depends on; the test will say more
        return stamps.key(item.nodeid, item.get_closest_marker("stamp").args[0]())
    return None


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests with a stamp, but for ``FULL=1``."""
    kept, unchanged = [], Counter[str]()
    for item in items:
        if mark := item.get_closest_marker("stamp"):
            item.stash[STAMP] = key_of(item)
        if mark and not os.environ.get("FULL") and item.stash[STAMP] and stamps.has(item.stash[STAMP]):
            unchanged[mark.kwargs["what"]] += 1
        else:
            kept.append(item)
    config.stash[UNCHANGED] = unchanged
    items[:] = kept
    if WORKER:
        config.workeroutput["unchanged"] = dict(unchanged)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Takes over what a process left out; all left out the same."""
    node.config.stash[UNCHANGED] = getattr(node, "workeroutput", {}).get("unchanged", {})


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> None:
    """Stamps a test that passed, unless what it is about was edited meanwhile."""
    name = item.stash.get(STAMP, None)
    if name and call.when == "call" and not call.excinfo and key_of(item) == name:
        stamps.leave(name)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing to run is no failure where nothing changed."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash.get(UNCHANGED, {}):
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what was left out."""
    for what, count in config.stash.get(UNCHANGED, {}).items():
        terminalreporter.write_line(f"{what} unchanged since they passed: {count}, not run again (FULL=1 runs all)")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder when the first of the processes that run the tests needs it.

    One folder at a time: builds of the real site share what lies in ``build/``.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if WORKER else base

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(shared / "once.lock"):
            if not folder.exists():
                unfinished = shared / f"{name}-unfinished"
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return get
