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
from dataclasses import dataclass

from migrations.errors import MarkerError, ModuleError
from migrations.formats.data import is_declaration
from migrations.formats.encoding import text_of
from migrations.formats.markers import SectionMarker, options_of
from migrations.model.migration import Options, SourceFile

_SECTIONS = ("Up", "Down", "Verify", "Data")
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


def read_module(file: SourceFile) -> Module:
    """What the file declares. Raises EncodingError, ModuleError and MarkerError."""
    text = text_of(file)
    tree = _tree(text, file.name)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if (first := functions.get(node.name)) is not None:
            raise ModuleError(
                file.name,
                node.lineno,
                f"a second {node.name} (the first is on line {first.lineno})",
                "Define each function once",
            )
        functions[node.name] = node
    markers = _markers(text, file.name)
    declarations = {name: one for name, one in markers.items() if is_declaration(one)}
    options = {
        name: options_of(one, file.name)
        for name, one in markers.items()
        if name not in declarations
    }
    return Module(file.name, text, tree, functions, options, declarations)


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


def _markers(text: str, file: str) -> dict[str, SectionMarker]:
    found: dict[str, SectionMarker] = {}
    for line, comment in _comments(text):
        if (match := _LIKE_MARKER.match(comment)) is None:
            continue
        words = match.group(1).split()
        if not words or words[0] not in _SECTIONS or not comment.startswith(_EXACT):
            raise MarkerError(
                file,
                line,
                f"unknown marker `{comment.strip()}`",
                "Write one of " + ", ".join(f"`{_EXACT}{name} …`" for name in _SECTIONS),
            )
        if words[0] in found:
            raise MarkerError(
                file, line, f"a second marker for {words[0]}", "Write its options on one line"
            )
        found[words[0]] = SectionMarker(words[0], tuple(words[1:]), line, 0, 0)
    return found


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
