"""Reads a Python module without running it: its functions, its options, what it declares.

What is needed to load a migration is in the text, so a folder is listed, hashed, planned and
checked on machines that never run the code. Options stand in comments, one for each function, in
the words of the SQL markers:

    # +migrate Up lock_timeout=2s
    # +migrate Down notransaction
"""

from __future__ import annotations

import ast
import io
import platform
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

from migrations.errors import LoadError, MarkerError, ModuleError
from migrations.formats.data import is_declaration
from migrations.formats.encoding import text_of
from migrations.formats.markers import SectionMarker, nearest, options_of
from migrations.model.migration import Options, SourceFile

_SECTIONS = ("Up", "Down", "Verify", "Data")
_WAY_BACK = frozenset({"down", "restored"})
_ENTRIES = frozenset({"up", "verify", "transform"}) | _WAY_BACK
"""The functions that are called by their names."""
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_EXACT = "# +migrate "
_LIKE_MARKER = re.compile(r"#[ \t]*\+[ \t]*migrate\b(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Module:
    """What a module declares: its top-level functions by name, and the options of its sections."""

    file: str
    text: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
    options: dict[str, Options]
    """By the name of a section: `Up`, `Down`, `Verify`."""
    declarations: dict[str, SectionMarker]
    """Markers that say how to go through a table: Data, and Down when it restores."""
    fault: LoadError | None = None
    """What is wrong with the way back alone, where something is."""


def read_module(file: SourceFile) -> Module:
    """What the file declares. Raises EncodingError, ModuleError and MarkerError.

    What is wrong with the way back alone is not raised: it is the module's `fault`.
    """
    text = text_of(file)
    module = Module(file.name, text, _tree(text, file.name), {}, {}, {})
    faults: list[LoadError] = []
    for node in module.tree.body:
        try:
            _add_function(module, node)
        except ModuleError as error:
            if _WAY_BACK.isdisjoint(_named(node)):
                raise
            faults.append(error)
    for marker, problem in _markers(text):
        try:
            _add_marker(module, marker, problem)
        except MarkerError as error:
            if nearest(marker.command, _SECTIONS) != "Down":
                raise
            faults.append(error)
    return replace(module, fault=faults[0] if faults else None)


def _add_function(module: Module, node: ast.stmt) -> None:
    for name in _named(node):
        first = module.functions.get(name)
        if first is not None and (name in _ENTRIES or isinstance(node, _FUNCTION)):
            raise ModuleError(
                module.file,
                node.lineno,
                f"a second {name} (the first is on line {first.lineno})",
                "Define each function once",
            )
        if isinstance(node, _FUNCTION):
            module.functions[name] = node
        elif name in _ENTRIES:
            raise ModuleError(
                module.file,
                node.lineno,
                f"{name} is no function at the top level",
                f"Write a plain `async def {name}` there, and call from it what it is now",
            )


def _named(node: ast.stmt) -> list[str]:
    """The names that a statement at the top level gives to functions, or to what may be one."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [one.id for one in node.targets if isinstance(one, ast.Name)]
        case ast.AnnAssign(target=ast.Name()) if node.value is not None:
            return [node.target.id] if isinstance(node.target, ast.Name) else []
        case ast.Import() | ast.ImportFrom():
            return [one.asname or one.name for one in node.names]
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
            inner = (one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt))
            return [name for one in inner for name in _named(one)]
        case _:
            return []


def _add_marker(module: Module, marker: SectionMarker, problem: str) -> None:
    if problem:
        raise MarkerError(
            module.file,
            marker.line,
            problem,
            "Write one of " + ", ".join(f"`{_EXACT}{name} …`" for name in _SECTIONS),
        )
    if marker.command in module.options or marker.command in module.declarations:
        raise MarkerError(
            module.file,
            marker.line,
            f"a second marker for {marker.command}",
            "Write its options on one line",
        )
    if is_declaration(marker):
        module.declarations[marker.command] = marker
    else:
        module.options[marker.command] = options_of(marker, module.file)


def takes(module: Module, name: str, *parameters: str) -> bool:
    """Whether the module has `async def name(parameters)`; the names of parameters are free.

    Raises ModuleError when it has another function of that name.
    """
    found = module.functions.get(name)
    if found is None:
        return False
    wanted = f"async def {name}({', '.join(parameters)})"
    if not isinstance(found, ast.AsyncFunctionDef):
        raise ModuleError(
            module.file, found.lineno, f"{name} is not async", f"Write `{wanted}` and await in it"
        )
    given = found.args
    plain = len(given.posonlyargs) + len(given.args)
    others = [given.vararg, given.kwarg, *given.kwonlyargs]
    if plain != len(parameters) or any(others):
        raise ModuleError(
            module.file,
            found.lineno,
            f"{name} has other parameters than it will be called with",
            f"Write `{wanted}`",
        )
    if found.decorator_list or _yields(found):
        raise ModuleError(
            module.file,
            found.lineno,
            f"{name} is decorated or yields, so that calling it does not run it",
            f"Write a plain `{wanted}` and call other functions from it",
        )
    return True


def _tree(text: str, file: str) -> ast.Module:
    version = platform.python_version()
    try:
        with warnings.catch_warnings():
            # An escape that Python warns of is the author's business, not an error of loading.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, file)
            # What the parser lets through, such as a `return` outside of a function.
            compile(tree, file, "exec", dont_inherit=True)
            return tree
    except SyntaxError as error:
        raise ModuleError(
            file,
            error.lineno,
            f"Python {version} says: {error.msg}",
            "Correct it; agents run it with their own Python, so write for the oldest of them",
            error.offset,
        ) from None
    except (RecursionError, MemoryError, ValueError):
        raise ModuleError(
            file,
            None,
            f"Python {version} cannot read it: it is nested too deeply",
            "Take long expressions apart",
        ) from None


def _markers(text: str) -> Iterator[tuple[SectionMarker, str]]:
    """Comments that are markers, or look like one, and what is wrong with their writing."""
    for line, comment in _comments(text):
        if (match := _LIKE_MARKER.match(comment)) is None:
            continue
        words = match.group(1).split() or [""]
        wrong = words[0] not in _SECTIONS or not comment.startswith(_EXACT)
        problem = f"unknown marker `{comment.strip()}`" if wrong else ""
        yield SectionMarker(words[0], tuple(words[1:]), line, 0, 0), problem


def _comments(text: str) -> list[tuple[int, str]]:
    """Comments with their lines; only those of which the line holds nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (token.start[0], token.string)
        for token in tokens
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    ]


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Whether calling it makes a generator; functions defined inside it do not count."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return False
