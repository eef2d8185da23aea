"""Extracts the documentation that `llm_tutorial.data.documentation` reads; its output is committed.

    python3.11 tools/extract_documentation.py

It is run once, on Python 3.11.7 for Linux, as the documentation changes with every release. The standard library is
imported, for much of it is written in C; numpy, scipy and scikit-learn are parsed, never imported, out of wheels that
pip verifies by their hash. The same input gives the same bytes.
"""

import ast
import gzip
import importlib
import inspect
import io
import json
import pkgutil
import re
import subprocess
import sys
import tempfile
import textwrap
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from llm_tutorial.data.documentation import LONGEST_PASSAGE, joined
from llm_tutorial.data.splits import SPLITS, key_of, split_of

FOLDER = Path(__file__).parents[1] / "src" / "llm_tutorial" / "data"
PYTHON = (3, 11, 7)
WHEELS = {  # manylinux_2_28_x86_64 for CPython 3.11; their Python files are those of the other platforms' wheels
    "numpy": ("numpy==2.4.6", "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93"),
    "scipy": ("scipy==1.17.1", "43af8d1f3bea642559019edfe64e9b11192a8978efbd1539d7bc2aaa23d92de4"),
    "sklearn": ("scikit-learn==1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df"),
}
LEFT_OUT = {  # jokes, applications, tests, what only other platforms use, and what is deprecated and was removed later
    "__main__", "aifc", "antigravity", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils",
    "genericpath", "idlelib", "imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "nt", "ntpath",
    "nturl2path", "ossaudiodev", "pipes", "pydoc_data", "smtpd", "sndhdr", "spwd", "sre_compile", "sre_constants",
    "sre_parse", "sunau", "telnetlib", "test", "this", "tix", "turtledemo", "uu", "xdrlib",
}  # fmt: skip
PUBLIC_NAMES = {"posix": "os", "posixpath": "os.path", "genericpath": "os.path"}
LONGEST_BODY = 4000  # characters: a longer body ends after the last paragraph that fits
SHORTEST_PASSAGE = 200  # a shorter rest joins the passage before it

Entry = dict[str, Any]


# ---------------------------------------------------------------- text


def flow(text: str) -> str:
    """Lines as one."""
    return re.sub(r"\s+", " ", re.sub(r"(?<=\w)-\n\s*(?=[a-z])", "-", text.strip()))


def plain(text: str) -> str:
    r"""Prose of one paragraph on one line, without reStructuredText; what is code stands in backquotes.

    >>> plain("Call :func:`~os.path.join` on\n``a`` and *b*, see [1]_.")
    'Call `os.path.join` on `a` and b, see [1].'
    """
    text = flow(text)
    text = re.sub(r":math:`([^`]*)`", r"\1", text)
    text = re.sub(r":[a-z:+-]+:`[~!]?([^`<]*?)(?: ?<[^>`]*>)?`", r"`\1`", text)
    text = re.sub(r"`+([^`]+?) <[^>`]*>`_{0,2}", r"\1", text)  # a link keeps its words
    text = re.sub(r"``([^`]+)''", r'"\1"', text)
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    text = re.sub(r"(?<![`\w])`(?!\s)([^`]+?)(?<!\s)`__?(?![\w`])", r"\1", text).replace("`~", "`")
    text = re.sub(
        r"(\b(?:in|by|[Ss]ee|from|of|to|and|[Rr]efs?\.?|[Rr]eferences?|per|also|cf\.) )\[(\w+)\]_", r"\1[\2\0", text
    )
    text = re.sub(r" ?\[[\w-]+\]_\b|(?<=[a-z.)])\s\[\d+\](?=[\s.,;)]|$)", "", text)  # footnotes
    text = text.replace("\0", "]")
    text = re.sub(r"(?<![\w*`\\)\]])\*\*(?=\w)([^*`]+?)(?<=\S)\*\*(?![\w*])", r"\1", text)
    text = re.sub(r"(?<![\w*`\\(/,'\"])\*(?=\w)([^*`\"',()]+?)(?<=\w)\*(?![\w*`])", r"\1", text)
    text = re.sub(r'(?<=")\*([\w ]+)\*(?=")', r"\1", text)
    text = re.sub(r"(?<=\()\*(?=\w)([^*`\"',()]+?)(?<=\w)\*(?![\w*`])", r"\1", text)
    text = re.sub(r"^:param (?:\w+ )?(\w+):", r"\1:", text)
    text = re.sub(r"^:returns?:", "Returns:", text)
    return re.sub(r"::$", ":", text)


def blocks(text: str) -> list[str]:
    """Paragraphs of a docstring: prose on one line, the items of a list on a line each, code with its lines."""
    text = re.sub(r"(?m)^( *)\.\. math::(.*(?:\n+\1 +.+)*)", _formula, text)
    text = re.sub(rf"(?m)^( *)\.\. (?:{DROPPED}|(?!\w+::)).*(?:\n\1 +.+)*(?:\n\n\1  +.+)*", "", text)
    text = re.sub(r"(?m)^( *)\.\. (\w+)::", lambda found: found[1] + TITLES.get(found[2], ""), text)
    found = list[str]()
    for block in chunks(text):
        lines = [
            line for line in block.split("\n") if not re.fullmatch(r"\s*(?:([-=~^*+_#])\1{2,}[-= ]*|\.{4,})", line)
        ]
        block = textwrap.dedent("\n".join(lines))
        if not block.strip():
            continue
        if is_code(block, lines[0].startswith((" ", "\t")), found[-1] if found else ""):
            block = block.replace("\0", "") if ">>>" in block else block.replace("\0", "").replace("``", "`")
            found.append(textwrap.indent(block, "    "))
            continue
        items = [
            " ".join(part for part in sentences(plain(item)) if not ELSEWHERE.search(part)) for item in items_of(block)
        ]
        if any(items):
            found.append("\n".join(filter(None, items)))
    return found


DROPPED = r"(?:plot|image|figure|only|index|versionadded|versionchanged|deprecated|seealso|autosummary|currentmodule|highlight|toctree|testsetup)::"
TITLES = {"note": "Note: ", "warning": "Warning: ", "hint": "Hint: ", "tip": "Tip: "}
ELSEWHERE = re.compile(r"sphx_glr|[Rr]ead more in|[Ss]ee (?:the )?`?(?:User Guide|user guide|Glossary)|^:toctree:")


def _formula(match: re.Match[str]) -> str:
    lines = [line.strip() for line in match[2].split("\n") if line.strip() and not re.match(r"\s*:\w+:", line)]
    return "\n\n" + "\n".join(f"{match[1]}    \0{line}" for line in lines) + "\n"


KEYWORDS = r"(?:async|case|class|def|elif|else|except|finally|for|if|match|try|while|with)\b"
TERM = re.compile(r"(?:class |classmethod |static |exception |coroutine )?[\w.]+(?:\(.*\))?(?: -> .*)?", re.DOTALL)


def chunks(text: str) -> list[str]:
    """Blocks between blank lines, and before code that a colon announces; code keeps its blank lines."""
    found = list[str]()
    text = re.sub(r"(?m)^(?! *(?:>>>|\.\.\.))( *)(\S.*)\n(?=\1 *>>> )", r"\1\2\n\n", text)
    text = re.sub(rf"(?m)^(?![-*•] |{KEYWORDS})(\S.*:)\n(?=(?: +.*(?:\n|$))+(?:\n|$|\Z))", r"\1\n\n", text)
    for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        depth = len(block) - len(block.lstrip(" "))
        if found and 0 < len(found[-1]) - len(found[-1].lstrip(" ")) <= depth:
            before, inner = textwrap.dedent(found[-1]), textwrap.dedent(block)
            goes_on = is_code(inner, True, "") or re.match("The above exception|During handling|Traceback", inner)
            if is_code(before, True, "") and goes_on and not TERM.fullmatch(before):
                found[-1] += "\n\n" + block
                continue
        if block.strip():
            found.append(block.rstrip())
    return found


def is_code(block: str, indented: bool, before: str) -> bool:
    """Whether a block is code: a session, or indented lines that Python can parse or that a colon announces."""
    if block.lstrip().startswith((">>>", "\0")) or "\n>>>" in block or " +--" in block:
        return True
    if not indented:
        return bool(re.match(r"(from \S+ import|import \S+$|with .*:$|for .* in .*:$|def \w+\()", block.split("\n")[0]))
    try:
        return bool(ast.parse(block).body)
    except (SyntaxError, ValueError):
        first, _, rest = block.partition("\n")
        if re.match(KEYWORDS, first) and first.endswith(":") and (not rest or rest.startswith(" ")):
            return True
        letters = sum(char.isalpha() or char in " \n,.'" for char in block)
        words = re.findall(r"[A-Za-z]{2,}", block)
        prose = (len(words) >= 6 and letters > 0.88 * len(block)) or re.match(r"[-*•] |(?:\d+|[IVX]+)\. ", block)
        return before.endswith(":") and not before.endswith(("Note:", "Warning:", "See also:")) and not prose


def items_of(block: str) -> list[str]:
    """A block of prose; or each item of a list; or each line of a table of short lines."""
    first, *rest = lines = block.split("\n")
    groups = re.split(r"\n(?=\S)", block)
    if all(re.match(r"(?![-*•] |\d+\. )\S+(?: \S+){0,3}(?<![.,:;])\n", group) for group in groups):
        return [group.replace("\n", ": ", 1) for group in groups]  # terms, and what is said of each
    if rest and all(re.match(r"\S+.*?(?: -- |\s{2,}|: | - )\S|\s", line) for line in lines):
        starts = [not line.startswith(" ") for line in rest]
    else:
        marks = [bool(re.match(r" *(?:[-*+•]|\d+[.)]|\(\w\)|:\w+ ?\w*:) ", line)) for line in lines]
        starts = [
            mark and (marks[0] or before.endswith((".", ":", ";")))
            for mark, before in zip(marks[1:], lines, strict=False)
        ]
    items = [first]
    for line, start in zip(rest, starts, strict=True):
        if start:
            items.append(line)
        else:
            items[-1] += "\n" + line
    return items


ABBREVIATIONS = r"(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?<!cf\.)(?<!\bno\.)(?<!al\.)(?<!\.\.\.)"


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph.

    >>> sentences("Return it, e.g. a list. Nothing else.")
    ['Return it, e.g. a list.', 'Nothing else.']
    """
    return re.split(r"(?<=[.!?])" + ABBREVIATIONS + r"\s+(?=[A-Z\"'`(<\[])", text)


def summary_and_body(document: str) -> tuple[str, str] | None:
    """First sentence and what follows it, or None where there is no usable sentence."""
    paragraphs = blocks(document)
    if not paragraphs or paragraphs[0].startswith("    "):
        return None
    summary, *rest = sentences(paragraphs[0].split("\n")[0])
    rest += paragraphs[0].split("\n")[1:]
    summary = re.sub(r"^[\w.]+(?: --?|:) (?=[A-Z])", "", summary).rstrip(" ,;") + (
        "" if summary.endswith((".", "!", "?")) else "."
    )
    paragraphs = [*([" ".join(rest)] if rest else []), *paragraphs[1:]]
    if not 2 <= len(summary.split()) <= 40 or re.search(
        r"^[^\w`'\"(]|^\w+_\w*, |:\.$|>>>|\.\.\.|->| = |%\(|\{\w+\}", summary
    ):
        return None
    while paragraphs and (len(paragraphs[-1]) < 3 or paragraphs[-1].endswith((":", "::"))):
        paragraphs.pop()  # announces what was left out
    body = ""
    for paragraph in paragraphs:
        if len(body) + len(paragraph) + 2 > LONGEST_BODY:
            break
        body += ("\n\n" if body else "") + paragraph
    flat = re.sub(r"\s+", " ", body)
    if summary.rstrip(".") in flat or "%(" in body:
        return None
    return summary, body


SIGNATURE = r"(?:async )?(?:[\w.]+\.)?{name}\((?:[^()]|\([^()]*\))*\)(?:\s*->\s*(?:\([^()]*\)|[^\n:]+?))?"


def split_signature(document: str, name: str) -> tuple[str, str]:
    r"""The lines like `range(stop) -> range object` at the head of a docstring of C, and the rest.

    >>> split_signature("cos(x) -> float\n\nReturn it.", "cos")
    ('cos(x) -> float', 'Return it.')
    >>> split_signature("f(x) -- do it.", "f")
    ('f(x)', 'do it.')
    """
    found, pattern = list[str](), SIGNATURE.format(name=re.escape(name))
    while match := re.match(rf"\s*({pattern})\s*(?:\n|$|--+\s+|:\s+|-\s+|—\s+)", document):
        found.append(re.sub(r"\s+", " ", match[1]))
        document = document[match.end() :]
    return "\n".join(found), inspect.cleandoc(document) if found else document


NOISE = re.compile(
    r"^Alias for field number|^Return self|^See help\(type|^Deprecated|^Initialize self|^Helper for pickle"
)


def entry(
    name: str, module: str, kind: str, signature: str, document: str, parameters: list[list[str]]
) -> Entry | None:
    """One line of the committed file, or None where there is nothing to read."""
    if (
        re.search(r"\.(do|help)_", name)
        or re.search(r"deprecated", document[:400], re.IGNORECASE)
        or NOISE.search(document)
        or "autosummary" in document
    ):
        return None
    if not (parts := summary_and_body(document)):
        return None
    if re.match(rf"(?:async )?(?:[\w.]+\.)?{re.escape(name.rpartition('.')[2])}\(", parts[0]):
        return None
    return {
        "name": name, "module": module, "kind": kind, "signature": signature, "summary": parts[0], "body": parts[1],
        "parameters": parameters,
    }  # fmt: skip


def once(entries: Iterable[Entry | None]) -> list[Entry]:
    """Entries without those that repeat a text, such as an inherited docstring."""
    found, names = dict[str, Entry](), set[str]()
    for new in entries:
        if new and new["name"] not in names:
            names.add(new["name"])
            found.setdefault(letters(new["summary"] + new["body"]), new)
    return apart(list(found.values()))


def apart(entries: list[Entry]) -> list[Entry]:
    """Entries without those of one split that repeat, or nearly repeat, one of a split behind it."""
    known, kept = set[str](), set[int]()
    for split in reversed(SPLITS):
        new = [entry for entry in entries if split_of(entry["module"]) == split and not repeats(entry, known)]
        kept.update(map(id, new))
        known.update(*map(texts_of, new), *map(shingles, new))
    return [entry for entry in entries if id(entry) in kept]


def repeats(entry: Entry, known: set[str]) -> bool:
    """Whether an entry has a text that is known, or more than a fifth of its sequences of words are."""
    found = shingles(entry)
    return bool(texts_of(entry) & known) or len(found & known) > len(found) / 5


def texts_of(entry: Entry) -> set[str]:
    return {key_of(entry[part]) for part in ("summary", "body") if entry[part]}


def shingles(entry: Entry) -> set[str]:
    """All sequences of eight words."""
    words = f"{entry['summary']} {entry['body']}".lower().split()
    return {" ".join(words[place : place + 8]) for place in range(len(words) - 7)}


def letters(text: str) -> str:
    """What two layouts of a text have in common."""
    return re.sub(r"\W+", "", text).lower()


# ---------------------------------------------------------------- the standard library, imported


def standard_library() -> list[Entry]:
    """Documented public objects, each once, under the shortest public name."""
    seen, entries = set[int](), list[Entry | None]()
    for module in sorted(_modules(), key=lambda module: (module.__name__.count("."), module.__name__)):
        name = PUBLIC_NAMES.get(module.__name__, module.__name__)
        entries.append(entry(name, name, "module", "", _own_document(module), []))
        for attribute in sorted(getattr(module, "__all__", None) or vars(module)):
            value = getattr(module, attribute, None)
            home = getattr(value, "__module__", None) or name
            listed = hasattr(module, "__all__") or home == name
            same = PUBLIC_NAMES.get(home, home).split(".")[0].lstrip("_") == name.split(".")[0]
            if attribute.startswith("_") or not listed or not same or id(value) in seen:
                continue
            if inspect.isclass(value):
                seen.add(id(value))
                entries.append(_object(f"{name}.{attribute}", name, "class", value))
                for method, function in sorted(vars(value).items()):
                    if isinstance(function, staticmethod | classmethod):
                        function = function.__func__
                    if not method.startswith("_") and inspect.isroutine(function) and id(function) not in seen:
                        seen.add(id(function))
                        entries.append(_object(f"{name}.{attribute}.{method}", name, "method", function))
            elif inspect.isroutine(value):
                seen.add(id(value))
                entries.append(_object(f"{name}.{attribute}", name, "function", value))
    return once(entries)


def _modules() -> Iterator[ModuleType]:
    for top in sorted(sys.stdlib_module_names - LEFT_OUT):
        if top.startswith("_"):
            continue
        try:
            module = importlib.import_module(top)
        except ImportError:  # of another platform
            continue
        yield module
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{top}."):
            if not any(part.startswith("_") or part in LEFT_OUT | {"tests"} for part in found.name.split(".")):
                try:
                    yield importlib.import_module(found.name)
                except ImportError:
                    continue


def _own_document(value: object) -> str:
    document = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    return inspect.cleandoc(document) if isinstance(document, str) else ""


def _object(name: str, module: str, kind: str, value: Any) -> Entry | None:
    short = name.rpartition(".")[2]
    head, document = split_signature(_own_document(value), short)
    try:
        signature = head or short + str(inspect.signature(value))
    except (TypeError, ValueError):
        signature = ""
    if re.search(r" at 0x|environ\(|'/\w", signature) or signature == f"{short}(*args, **kwargs)":
        signature = ""  # what it says depends on the machine, or it says nothing
    if document.startswith(f"{short}(") and head == "":  # what `dataclass` and `namedtuple` write by themselves
        return None
    return entry(name, module, kind, signature, document, [])


# ---------------------------------------------------------------- numpy, scipy and scikit-learn, parsed


def wheel_library(package: str) -> list[Entry]:
    """Documented public objects of a wheel, under the shortest public name; the module is where they are defined."""
    requirement, digest = WHEELS[package]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "requirements.txt").write_text(f"{requirement} --hash=sha256:{digest}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--require-hashes"]
        subprocess.run([*command, "--requirement=requirements.txt"], cwd=folder, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{package}/") and name.endswith(".py")]
            names = [
                name
                for name in names
                if not re.search(r"/(tests|externals|conftest|array_api_compat|distutils|f2py)\b", name)
            ]
            trees = {_module_name(name): ast.parse(archive.read(name)) for name in sorted(names)}
            packages = {_module_name(name) for name in names if name.endswith("/__init__.py")}
    return once(_Library(trees, packages).entries())


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Library:
    """Modules of a package as syntax trees, and what their imports mean."""

    def __init__(self, trees: dict[str, ast.Module], packages: set[str]) -> None:
        self.trees, self.packages = trees, packages
        self.defined = {
            module: {node.name: node for node in _statements(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            for module, tree in trees.items()
        }

    def entries(self) -> Iterator[Entry | None]:
        seen = set[tuple[str, str]]()
        public = [module for module in self.trees if not any(part.startswith("_") for part in module.split("."))]
        for module in sorted(public, key=lambda name: (name.count("."), name)):
            yield entry(module, module, "module", "", ast.get_docstring(self.trees[module]) or "", [])
            for name in sorted(self.names(module)):
                found = self.resolve(module, name)
                if name.startswith("_") or not found or found in seen:
                    continue
                seen.add(found)
                node = self.defined[found[0]][found[1]]
                yield _documented(f"{module}.{name}", found[0], node)
                for method in node.body if isinstance(node, ast.ClassDef) else ():
                    if (
                        isinstance(method, ast.FunctionDef)
                        and not method.name.startswith("_")
                        and not _is_property(method)
                    ):
                        yield _documented(f"{module}.{name}.{method.name}", found[0], method, "method")
        for module, tree in self.trees.items():
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "add_newdoc" and len(call.args) == 3:
                    yield from _newdoc(module, call)

    def names(self, module: str) -> set[str]:
        """What a module hands on: its `__all__` where that is one plain list, else all that it defines and imports."""
        listed, names = list[str](), set(self.defined[module])
        for node in _statements(self.trees[module]):
            if re.match(r"__all__( =|\.extend|\.append| \+=)", code := ast.unparse(node)):
                strings = re.fullmatch(r"__all__ = [\[(]('\w+'(?:, )?)*[\])]", code)
                listed = ast.literal_eval(code.partition(" = ")[2]) if strings else []
            elif isinstance(node, ast.ImportFrom):
                target = self.target(module, node)
                for alias in node.names:
                    if alias.name != "*":
                        names.add(alias.asname or alias.name)
                    elif target in self.trees and target != module:
                        names |= self.names(target)
        return set(listed) or {name for name in names if not name.startswith("_")}

    def resolve(self, module: str, name: str, depth: int = 0) -> tuple[str, str] | None:
        """Module and name of the definition behind a name."""
        if depth > 8 or module not in self.trees:
            return None
        if name in self.defined[module]:
            return module, name
        for node in _statements(self.trees[module]):
            if isinstance(node, ast.ImportFrom):
                target = self.target(module, node)
                for alias in node.names:
                    if (alias.asname or alias.name) not in (name, "*"):
                        continue
                    if found := self.resolve(target, name if alias.name == "*" else alias.name, depth + 1):
                        return found
        return None

    def target(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + (module in self.packages)]
        return ".".join([*parts, *filter(None, [node.module])])


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If | ast.Try):
            yield from node.body
            yield from node.orelse
        else:
            yield node


def _is_property(node: ast.FunctionDef) -> bool:
    return any(re.search("property|setter", ast.unparse(decorator)) for decorator in node.decorator_list)


def _documented(name: str, module: str, node: ast.FunctionDef | ast.ClassDef, kind: str = "") -> Entry | None:
    inner = node.body if isinstance(node, ast.ClassDef) else []
    made = next((item for item in inner if getattr(item, "name", "") in ("__init__", "__new__")), node)
    signature = ""
    if isinstance(made, ast.FunctionDef):
        arguments = ast.unparse(made.args)
        if kind == "method" or made is not node:
            arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
        signature = f"{node.name}({arguments})"
    kind = kind or ("class" if isinstance(node, ast.ClassDef) else "function")
    return _numpydoc(name, module, kind, signature, ast.get_docstring(node) or "")


def _newdoc(module: str, call: ast.Call) -> Iterator[Entry | None]:
    """What numpy says of its functions and methods in C: `add_newdoc(place, name, text)` or `(method, text)`."""
    if not module.startswith("numpy."):
        return
    try:
        _, name, document = (ast.literal_eval(argument) for argument in call.args)
    except ValueError:
        return
    kind = "function"
    if isinstance(document, tuple):
        name, document, kind = f"{name}.{document[0]}", document[1], "method"
    head, rest = split_signature(inspect.cleandoc(document), name.rpartition(".")[2])
    if (head or kind == "function") and "._" not in f".{name}":  # else an attribute
        yield _numpydoc(f"numpy.{name}", module, kind, head, rest)


SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ \t]*$", re.MULTILINE)


def _numpydoc(name: str, module: str, kind: str, signature: str, document: str) -> Entry | None:
    """The head of a docstring and its notes are the text; the parameters stand apart."""
    _, document = split_signature(document, name.rpartition(".")[2])
    head, *parts = SECTION.split(document)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    text = head.rstrip() + "\n\n" + textwrap.dedent(sections.get("Notes", ""))
    parameters = _parameters(sections.get("Parameters", ""))
    return entry(name, module, kind, signature, text, parameters)


def _parameters(section: str) -> list[list[str]]:
    """Names, types and descriptions of a section of parameters."""
    found = []
    for part in re.split(r"\n(?=\S)", textwrap.dedent(section).strip("\n")):
        head, _, description = part.partition("\n")
        names, _, type_ = re.sub(r"[`*\\]", "", plain(head)).partition(" : ")
        text = "\n\n".join(blocks(textwrap.dedent(description)))
        if re.fullmatch(r"[\w, .]+", names.strip()) and text and "%(" not in text:
            found.append([names.strip(), type_.strip(), text])
    return found


# ---------------------------------------------------------------- the language reference


def reference() -> list[Entry]:
    """Passages of `pydoc_data.topics`: each paragraph once, in the smallest topic that has it."""
    from pydoc_data.topics import topics

    seen, by_topic = set[str](), dict[str, list[Entry]]()
    for topic in sorted(topics, key=lambda topic: (len(topics[topic]), len(topic), topic)):
        by_topic[topic] = []
        for heading, sections in groupby(_sections(topics[topic]), key=lambda section: section[0]):
            paragraphs = [paragraph for _, found in sections for paragraph in found]
            new = [paragraph for paragraph in paragraphs if letters(paragraph) not in seen]
            seen |= set(map(letters, new))
            by_topic[topic] += [{"topic": topic, "heading": heading, "text": text} for text in packed(new)]
    return [passage for topic in sorted(by_topic) for passage in by_topic[topic]]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Heading paths and the paragraphs below each, without grammar and footnotes."""
    path: list[tuple[str, str]] = []
    parts = re.split(r"^(\S.*)\n([*=\-~]{3,})$", text, flags=re.MULTILINE)
    for title, line, body in [("", "", parts[0]), *zip(parts[1::3], parts[2::3], parts[3::3], strict=True)]:
        if line:
            marks = "*=-~"
            path = [step for step in path if marks.index(step[1]) < marks.index(line[0])]
            path.append((plain(_code(title)), line[0]))
        body = re.split(r"(?m)^-\[ Footnotes \]-$", body)[0]
        heading = " > ".join(step[0] for step in path)
        for term, paragraphs in _terms(body):
            if term and sum(map(len, paragraphs)) < SHORTEST_PASSAGE:
                yield heading, [f"{term.rpartition(' > ')[2]}: {paragraphs[0]}", *paragraphs[1:]]
            else:
                yield " > ".join(filter(None, [heading, term])), paragraphs


def _terms(text: str) -> Iterator[tuple[str, list[str]]]:
    """Paragraphs of a section, those below a term such as `object.__new__(cls)` together with it."""
    term, below, paragraphs = "", list[str](), list[str]()
    found = chunks(_tables(text))
    for block, following in zip(found, [*found[1:], ""], strict=False):
        heads = bool(TERM.fullmatch(block)) and ("(" in block or "." in block)
        heads |= (
            following.startswith("   ")
            and not is_code(textwrap.dedent(following), True, "")
            and bool(re.fullmatch(r"(?![*•] |\d+\. |>>>|\x01)\S[^\n]{,60}(?<![.,:;])", block))
        )
        if term and (heads or not block.startswith("   ")):
            yield from _below(term, below)
            term, below = "", []
        if heads:
            if paragraphs:
                yield "", paragraphs
            term, paragraphs = block.split("\n")[0], []
        elif term:
            below.append(re.sub(r"(?m)^   ", "", block))
        else:
            _add(paragraphs, block)
    if paragraphs:
        yield "", paragraphs
    yield from _below(term, below)


def _below(term: str, below: list[str]) -> Iterator[tuple[str, list[str]]]:
    for inner, paragraphs in _terms("\n\n".join(below)) if below else ():
        yield " > ".join(filter(None, [term, inner])), paragraphs


LIST = re.compile(r"(^|\n)([*•]|\d+\.) .*$")
NOTICES = re.compile(r"(?:^|\n)(?:Note|Warning|See also|CPython implementation detail):$")


def _add(paragraphs: list[str], block: str) -> None:
    """Append a block; code, lists and what follows a colon stay with the paragraph before them."""
    indented, inner = block.startswith(" "), textwrap.dedent(block)
    before = paragraphs[-1] if paragraphs else ""
    if re.fullmatch(r"[=\s]+", block):
        return
    if "::=" in block:  # grammar
        if before:
            paragraphs[-1] = re.sub(
                r":$", ".", re.sub(r"(^| )(Syntax|The (syntax|grammar|general form)[^.]*):$", "", before)
            )
    elif is_code(inner, indented, before):
        code = textwrap.indent(inner, "    ")
        if before:
            paragraphs[-1] += "\n\n" + code
        else:
            paragraphs.append(code)
    else:
        items = [inner] if inner.startswith("\1") else [plain(_code(item)) for item in items_of(inner)]
        new = "\n".join(items).replace("\1", "")
        if NOTICES.search(before):
            paragraphs[-1] += " " + new.removeprefix("* ")
        elif new[:1].islower() and before.rpartition("\n\n")[2].startswith("    "):
            paragraphs[-1] += "\n\n" + new  # the sentence goes on after the code
        elif before and (before.endswith(":") or re.match(r"[*•] ", new) or (indented and LIST.search(before))):
            paragraphs[-1] += "\n" + new
        else:
            paragraphs.append(new)


def _code(text: str) -> str:
    """Double quotes stand for code in these texts, as real ones are curved.

    >>> _code('The "for" statement and ""spam"".')
    'The `for` statement and `"spam"`.'
    """
    return re.sub(r'(?<![\w"`])"(\S|\S.*?\S)"(?!"|(?!s\b)\w)', r"`\1`", flow(text))


def _tables(text: str) -> str:
    """Tables drawn with lines become rows with bars."""

    def rows(match: re.Match[str]) -> str:
        lines, row = list[str](), list[str]()
        for line in textwrap.dedent(match[0]).strip().split("\n"):
            if line.startswith(("+", "|=")):
                if any(row):
                    lines.append(" | ".join(plain(_code(cell)) for cell in row if cell.strip()))
                row = []
            else:
                cells = [cell.strip() for cell in re.split(r" \| |\| (?=\s)", line.strip("|"))]
                row = [f"{a}\n{b}".strip() for a, b in zip(row or [""] * len(cells), cells)]  # noqa: B905
        return f"{match[1]}\1" + f"\n{match[1]}".join(lines) + "\n"

    return re.sub(r"(?m)^( *)\+-.*\n(?:\1[|+].*\n)+", rows, text)


def packed(paragraphs: list[str]) -> list[str]:
    """Paragraphs joined into passages of readable size; a longer one is cut between code, rows or sentences."""
    pieces = list[str]()
    for paragraph in paragraphs:
        for glue in ("\n\n", "\n", " ", "; "):
            if len(paragraph) > LONGEST_PASSAGE and glue in paragraph:
                parts = sentences(paragraph) if glue == " " else paragraph.split(glue)
                pieces += joined(filter(str.strip, parts), glue)
                break
        else:
            pieces.append(paragraph)
    passages = joined(pieces, "\n\n")
    if len(passages) > 1 and len(passages[-1]) < SHORTEST_PASSAGE:
        rest = passages.pop()
        passages[-1] += "\n\n" + rest
    return [re.sub(r":$", ".", passage) for passage in passages]


# ---------------------------------------------------------------- the files


def write(name: str, entries: list[Entry]) -> None:
    """One JSON line an entry, compressed, without name and time."""
    lines = "".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n" for entry in entries)
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(lines.encode())
    (FOLDER / name).write_bytes(buffer.getvalue())
    print(f"{name}: {len(entries)} entries, {len(lines) / 1e6:.1f} MB as text, {len(buffer.getvalue()) / 1e6:.2f} MB")


def main() -> None:
    if sys.version_info[:3] != PYTHON or sys.platform != "linux":
        sys.exit("The committed files were made with Python {}.{}.{} on Linux.".format(*PYTHON))
    warnings.simplefilter("ignore")  # deprecated modules
    write("documentation-reference.jsonl.gz", reference())
    write("documentation-python.jsonl.gz", standard_library())
    for package in WHEELS:
        write(f"documentation-{package}.jsonl.gz", wheel_library(package))


if __name__ == "__main__":
    main()
