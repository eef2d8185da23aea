"""Which library code a script leans on: parsed, never imported.

A digest is of the parsed code without docstrings and comments, so that better words in a docstring
ask for no new run, while any change of what the code does asks for one.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tutorial_site import SiteError
from tutorial_site.repository import read

LIBRARY = "llm_tutorial"
TAKES = ("results", "weights")  # functions of `llm_tutorial.results`
SOURCES = "src"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def code_digest(text: str) -> str:
    """SHA-256 of the code in ``text`` without docstrings, comments and layout.

    >>> code_digest("x = 1  # one") == code_digest("x=1")
    True
    """
    return hashlib.sha256(_dump(_parse(text)).encode()).hexdigest()


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _dump(node: object) -> str:
    """Like ``ast.dump``, without what is empty or a docstring: equal for every Python that we support."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {
        name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name not in ("ctx", "kind")
    }
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return f"{type(node).__name__}({','.join(f'{name}={_dump(value)}' for name, value in fields.items())})"


def imported(path: Path) -> frozenset[str]:
    """Dotted names that the code in a file imports, ``from a import b`` as both ``a`` and ``a.b``."""
    return _imported(read(path))


@cache
def _imported(text: str) -> frozenset[str]:
    names = set[str]()
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):  # absolute: the library has no other imports
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def modules(root: Path, path: Path) -> list[Path]:
    """Library modules that the code in ``path`` imports, directly or through each other, sorted."""
    found, unread = set[Path](), [path]
    while unread:
        names = [name.split(".") for name in imported(unread.pop()) if name.split(".")[0] == LIBRARY]
        bases = {root.joinpath(SOURCES, *parts[:end]) for parts in names for end in range(1, len(parts) + 1)}
        files = {file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
        unread += files - found
        found |= files
    return sorted(found)


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """Digest of the code in each file, by its path from the root."""
    return {file.relative_to(root).as_posix(): code_digest(read(file)) for file in files}


def trained(root: Path, path: Path) -> set[tuple[str, str]]:
    """Chapter and name of each long run that a script, or library code it uses, takes results or weights of.

    Raises:
        SiteError: ``results`` or ``weights`` is called with something else than two strings, which nobody can follow.
    """
    found = set()
    for file in (path, *modules(root, path)):
        for line, name, words in _taken(read(file)):
            if len(words) != 2 or None in words:
                raise SiteError(f"{file}:{line}: {name}() is called with two strings, none computed")
            found.add((str(words[0]), str(words[1])))
    return found


@cache
def _taken(text: str) -> list[tuple[int, str, list[object]]]:
    """Line, function and arguments of each call that takes results or weights; None for what is computed."""
    return [
        (node.lineno, node.func.id, [each.value if isinstance(each, ast.Constant) else None for each in node.args])
        for node in ast.walk(_parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TAKES
    ]


def library(root: Path, path: Path) -> dict[str, str]:
    """Digest of each library module that the script in ``path`` uses, and of each long run that it takes."""
    found = digests(root, modules(root, path))
    for chapter, name in sorted(trained(root, path)):
        seal = root / SOURCES / LIBRARY / chapter / "weights" / name / "SHA256SUMS"  # of manifest and weights alike
        if not seal.exists():
            raise SiteError(f"{path}: there is no long run {name!r} of chapter {chapter!r}, or it has no SHA256SUMS")
        found[seal.relative_to(root).as_posix()] = hashlib.sha256(seal.read_bytes()).hexdigest()
    return found


def changed(was: dict[str, str], now: dict[str, str]) -> str:
    """The files whose digests differ, for a message; empty where all agree."""
    return ", ".join(sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name)))


def packages(root: Path, path: Path) -> set[str]:
    """Top-level packages that the script and the library code it uses import."""
    return {name.split(".")[0] for file in [path, *modules(root, path)] for name in imported(file)} - {LIBRARY}
