"""``python -m tutorial_site record | rerun | check | build | serve | retrain``."""

import argparse
import sys
from pathlib import Path

from tutorial_site import SiteError, repository


def record(root: Path, paths: list[Path]) -> list[str]:
    """Run the scripts that changed, or those that are named, and write their recordings."""
    from tutorial_site import manifests, record

    problems = manifests.refresh(root, paths)
    for path in repository.scripts(root, paths):
        if paths or record.staleness(root, path):
            record.record(root, path)
    return problems


def rerun(root: Path, paths: list[Path]) -> list[str]:
    """Run every script again and compare with its recording."""
    from tutorial_site import record

    return [problem for path in repository.scripts(root, paths) for problem in record.rerun(root, path)]


def retrain(root: Path, paths: list[Path]) -> list[str]:
    """Train again from nothing and compare the metrics."""
    from tutorial_site import manifests

    return manifests.retrain(root, paths)


def check(root: Path) -> list[str]:
    """Check everything that can be checked without running a script."""
    from tutorial_site import check

    return check.errors(root)


def build(root: Path, offline: bool) -> list[str]:
    """Build the site in both languages, strictly."""
    from tutorial_site import build

    return build.build(root, root / "build/archive", build.OFFLINE) if offline else build.build(root, root / "site")


def serve(root: Path) -> list[str]:
    """Build, serve on this machine and rebuild at every edit."""
    from tutorial_site import serve

    serve.serve(root)
    return []


def main(words: list[str] | None = None) -> int:
    """Runs one command; problems go to stderr, one a line, and give exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tutorial_site", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for run in (record, rerun, check, build, serve, retrain):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.set_defaults(run=run)
        if run in (record, rerun, retrain):
            command.add_argument(
                "paths", nargs="*", type=Path, metavar="PATH", help="scripts or folders; all when left out"
            )
        if run is build:
            command.add_argument("--offline", action="store_true", help="for reading from a folder: build/archive/")
    options = vars(parser.parse_args(words))
    root = repository.find_root()
    try:
        if not (root / "mkdocs.yml").exists():
            raise SiteError("no mkdocs.yml here or above: run this inside the repository")
        problems = options.pop("run")(root, **options)
    except SiteError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem.replace(f"{root}/", ""), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
