"""Commands of the site's engine; each says what is wrong, a line for each problem.

record [PATH ...]   run the scripts that changed, or those that are named, and write their recordings
rerun [PATH ...]    run every script again and compare with its recording
retrain [PATH ...]  train again from nothing and compare the metrics
check               check everything that can be checked without running a script
build [--offline]   build the site in both languages, strictly; for reading from a folder into build/archive/
serve               build, serve on this machine and rebuild at every edit
"""

import argparse
import sys
from pathlib import Path

from tutorial_site import SiteError
from tutorial_site.repository import find_root, scripts


def run(command: str, root: Path, paths: list[Path], offline: bool) -> list[str]:
    """Runs a command; only what it needs is imported, since a site is built without what runs scripts."""
    if not (root / "mkdocs.yml").exists():
        raise SiteError("no mkdocs.yml here or above: run this inside the repository")
    match command:
        case "record":
            from tutorial_site import manifests, record

            problems = manifests.refresh(root, paths)
            for path in scripts(root, paths):
                if paths or record.staleness(root, path):
                    record.record(root, path)
            return problems
        case "rerun":
            from tutorial_site import record

            return [problem for path in scripts(root, paths) for problem in record.rerun(root, path)]
        case "retrain":
            from tutorial_site import manifests

            return manifests.retrain(root, paths)
        case "check":
            from tutorial_site import check

            return check.errors(root)
        case "build":
            from tutorial_site import build

            return (
                build.build(root, root / "build/archive", build.OFFLINE)
                if offline
                else build.build(root, root / "site")
            )
    from tutorial_site import serve

    return serve.serve(root)


def main(words: list[str] | None = None) -> int:
    """Runs one command; problems go to stderr and give exit code 1."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tutorial_site", description=__doc__, formatter_class=form)
    parser.add_argument("command", choices=["record", "rerun", "retrain", "check", "build", "serve"])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="scripts or folders; all when left out")
    parser.add_argument("--offline", action="store_true")
    options, root = parser.parse_args(words), find_root()
    try:
        problems = run(options.command, root, options.paths, options.offline)
    except SiteError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem.replace(f"{root}/", ""), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
