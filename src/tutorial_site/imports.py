"""Which library code a script leans on: parsed, never imported.

A digest is of the parsed code without docstrings and comments, so that better words in a docstring
ask for no new run, while any change of what the code does asks for one.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LIBRARY = "llm_tutorial"
SOURCES = "src"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


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


def imported(tree: ast.AST, package: str = "") -> Iterator[str]:
    """Dotted names that the code imports, ``from a import b`` as both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def module_file(root: Path, name: str) -> Path | None:
    """The file of a library module, or None where the name is no module."""
    base = root.joinpath(SOURCES, *name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def modules(root: Path, path: Path) -> list[Path]:
    """Library modules that the code in ``path`` imports, directly or through each other, sorted."""
    found, open_ = set[Path](), [path]
    while open_:
        file = open_.pop()
        inside = file.relative_to(root / SOURCES).with_suffix("").parts if file.is_relative_to(root / SOURCES) else ()
        package = ".".join(inside[:-1])
        for name in imported(_parse(file.read_text(encoding="utf-8")), package):
            if name.split(".")[0] != LIBRARY:
                continue
            parts = name.split(".")
            for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b first
                module = module_file(root, ".".join(parts[:end]))
                if module and module not in found:
                    found.add(module)
                    open_.append(module)
    return sorted(found)


def library(root: Path, path: Path) -> dict[str, str]:
    """Digest of each library module and each training result that the script in ``path`` uses."""
    digests = {
        module.relative_to(root).as_posix(): code_digest(module.read_text(encoding="utf-8"))
        for module in modules(root, path)
    }
    return digests | {manifest.relative_to(root).as_posix(): _results(manifest) for manifest in _manifests(root, path)}


def _manifests(root: Path, path: Path) -> Iterator[Path]:
    """Manifests of long runs that the script names in a string."""
    tree = _parse(path.read_text(encoding="utf-8"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for manifest in sorted(root.glob(f"{SOURCES}/{LIBRARY}/*/weights/*/manifest.json")):
        if any(manifest.parent.name == word.rpartition("/")[2] for word in words):
            yield manifest


def _results(manifest: Path) -> str:
    """Digest of a manifest without its code hashes: a renewed hash changes nothing that a page shows."""
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content.pop("code", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def packages(root: Path, path: Path) -> set[str]:
    """Top-level packages that the script and the library code it uses import."""
    trees = [_parse(file.read_text(encoding="utf-8")) for file in [path, *modules(root, path)]]
    return {name.split(".")[0] for tree in trees for name in imported(tree)} - {LIBRARY, ""}
