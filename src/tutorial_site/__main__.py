"""``python -m tutorial_site record | rerun | check | build | serve | retrain``."""

import argparse
import sys
from pathlib import Path

from tutorial_site import SiteError


def find_root() -> Path:
    """The nearest folder from here upwards that holds ``mkdocs.yml``, else ``snippets/``."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "mkdocs.yml").exists() or (folder / "snippets").is_dir():
            return folder
    raise SiteError("no mkdocs.yml here or above: run this inside the repository")


def _record(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site import manifests, record

    long = [path for path in arguments.paths if path.name.startswith("train_")]
    quick = [path for path in arguments.paths if path not in long]
    problems = manifests.refresh(root, long) if long or not quick else []
    for path in record.scripts(root, quick) if quick or not long else []:
        if arguments.all or arguments.paths or not record.is_fresh(root, path):
            record.record(root, path)
    return problems


def _rerun(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site import record

    return [problem for path in record.scripts(root, arguments.paths) for problem in record.rerun(root, path)]


def _check(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site import check

    return check.errors(root)


def _build(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site import build

    if arguments.offline:
        return build.build(root, root / "build" / "archive", configs=build.OFFLINE)
    return build.build(root, root / "site")


def _serve(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site.serve import serve

    serve(root)
    return []


def _retrain(root: Path, arguments: argparse.Namespace) -> list[str]:
    from tutorial_site import manifests

    return manifests.retrain(root, arguments.paths)


COMMANDS = {
    "record": (_record, "run the scripts that changed and write their recordings"),
    "rerun": (_rerun, "run every script again and compare with its recording"),
    "check": (_check, "everything that can be checked without running a script"),
    "build": (_build, "build the site in both languages, strictly"),
    "serve": (_serve, "build, serve on this machine and rebuild at every edit"),
    "retrain": (_retrain, "train again from nothing and compare the metrics"),
}


def main(words: list[str] | None = None) -> int:
    """Runs one command; problems go to stderr, one a line, and give exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tutorial_site", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, words_of_help) in COMMANDS.items():
        command = commands.add_parser(name, help=words_of_help)
        if name in ("record", "rerun", "retrain"):
            command.add_argument(
                "paths", nargs="*", type=Path, metavar="PATH", help="scripts or folders; all when left out"
            )
        if name == "build":
            command.add_argument(
                "--offline", action="store_true", help="for reading from a folder, into build/archive/"
            )
        if name == "record":
            command.add_argument(
                "--all", action="store_true", help="also those whose source and library code did not change"
            )
    arguments = parser.parse_args(words)
    root = Path.cwd()
    try:
        root = find_root()
        problems = COMMANDS[arguments.command][0](root, arguments)
    except SiteError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem.replace(f"{root}/", ""), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
