"""Every event the log can hold: what it says, who may write it, which code makes and reads it.

Who makes and who reads an event is found in the source: a module that calls the event's class makes
it, one that names it in any other way (a case, a parameter, an isinstance, a table) reads it, and
so does a file of queries that has its name as a text.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel

from ledger.contracts.events import EVENT_TYPES, EVENTS, EventType
from ledger.contracts.streams import Author, Stream
from ops.reference.markdown import code, one_line, table

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ledger", "agents", "migrations")
CONTRACTS = ROOT / "ledger" / "contracts"
SCHEMA = ROOT / "ledger" / "store" / "schema"
"""What is said of events there is who may write them, and what they look like."""

AUTHORS = {
    Author.PERSON: "a person",
    Author.LEDGER: "the ledger",
    Author.AGENT: "an agent",
    Author.NOTIFIER: "the notifier",
    Author.AUDITOR: "an audit",
}
WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "yes or no",
    UUID: "UUID",
    datetime: "time",
}
"""Types of fields as people say them."""


def at_a_glance() -> str:
    """A table of events for each kind of stream."""
    parts = []
    for stream in Stream:
        rows = [
            (f"[`{one.name}`](#{one.name.lower()})", one.sense, AUTHORS[one.author])
            for one in EVENT_TYPES.values()
            if stream in one.streams
        ]
        parts += [f"### `{_shown(stream)}`", table(("event", "says", "comes from"), rows)]
    return "\n\n".join(parts)


def every_event() -> str:
    """A section for each event: in which streams, who may write it, who makes and reads it."""
    parts = []
    for one in EVENT_TYPES.values():
        parts += [f"### {one.name}", _text(one.event), _facts(one), _fields_table(one.event)]
    return "\n\n".join(parts)


def values() -> str:
    """A section for each class that stands in a field, in the order in which they are met."""
    parts = []
    for one in _values():
        parts += [f"### {one.__name__}", _text(one), _fields_table(one)]
    return "\n\n".join(parts)


def _values() -> list[type]:
    found: dict[type, None] = {}
    wanted = [each for event in EVENTS.values() for each, _ in _fields(event).values()]
    while wanted:
        annotation = wanted.pop(0)
        wanted += get_args(annotation)
        if isinstance(annotation, type) and _is_value(annotation) and annotation not in found:
            wanted += [each for each, _ in _fields(annotation).values()]
            found[annotation] = None
    return list(found)


def _is_value(annotation: type) -> bool:
    return issubclass(annotation, BaseModel) or is_dataclass(annotation)


def _fields(one: type) -> dict[str, tuple[Any, bool]]:
    """The fields of a class: their types, and whether they must be there."""
    if issubclass(one, BaseModel):
        return {
            name: (field.annotation, field.is_required())
            for name, field in one.model_fields.items()
        }
    types = get_type_hints(one)
    return {
        field.name: (types[field.name], field.default is field.default_factory is MISSING)
        for field in (fields(one) if is_dataclass(one) else ())
    }


def _fields_table(one: type) -> str:
    rows = [
        (code(name), _spoken(annotation) + ("" if required else "; may be left out"))
        for name, (annotation, required) in _fields(one).items()
    ]
    return table(("field", "holds"), rows)


def _facts(one: EventType) -> str:
    made, read = _mentions()[one.name]
    streams = ", ".join(code(_shown(stream)) for stream in one.streams)
    roles = " and ".join(code(role) for role in one.roles)
    lines = [
        f"stream {streams}, version {one.version}; may be written by {roles}",
        f"made in {_files(made)}",
        f"read in {_files(read)}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _shown(stream: Stream) -> str:
    return stream.value.replace("<id>", "ID")


def _text(one: type) -> str:
    paragraphs = inspect.cleandoc(one.__doc__ or "").split("\n\n")
    return "\n\n".join(one_line(paragraph) for paragraph in paragraphs)


def _spoken(annotation: Any) -> str:
    """A type in words; what is a class of ours, by its name."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _spoken(arguments[0])
    if origin in (Union, UnionType):
        kinds = [_spoken(one) for one in arguments if one is not NoneType]
        return " or ".join(kinds) + (", or nothing" if NoneType in arguments else "")
    if origin is Literal:
        return " or ".join(code(str(one)) for one in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return "(" + ", ".join(_spoken(one) for one in arguments) + ")"
    if origin is tuple:
        return f"list of {_spoken(arguments[0])}"
    if origin is dict:
        return f"{_spoken(arguments[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(code(str(one.value)) for one in annotation)
    if annotation in WORDS:
        return WORDS[annotation]
    name = annotation.__name__
    return f"[`{name}`](#{name.lower()})"


def _files(paths: list[str]) -> str:
    return ", ".join(code(path) for path in paths) or "no module"


@cache
def _mentions() -> dict[str, tuple[list[str], list[str]]]:
    """For each event the files that make it and those that read it, outside of the contracts."""
    found: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in EVENTS}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if CONTRACTS in path.parents:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            made, seen = set(_made(tree)), set(_named(tree))
            for name, (makers, readers) in found.items():
                if name in made:
                    makers.append(path.relative_to(ROOT).as_posix())
                if name in seen:
                    readers.append(path.relative_to(ROOT).as_posix())
        for path in sorted((ROOT / package).rglob("*.sql")):
            if SCHEMA in path.parents:
                continue
            for name in set(re.findall(r"'(\w+)'", path.read_text(encoding="utf-8"))) & {*found}:
                found[name][1].append(path.relative_to(ROOT).as_posix())
    return found


def _made(tree: ast.AST) -> Iterator[str]:
    """The names of what is called, or chosen in order to be called: `A if … else B`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield _name(node.func)
        elif isinstance(node, ast.IfExp):
            yield from (_name(node.body), _name(node.orelse))


def _named(tree: ast.AST) -> Iterator[str]:
    """The names that are read for themselves: neither called nor chosen nor declared."""
    passed = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            passed |= {id(node.body), id(node.orelse)}
        for types in _types(node):
            passed |= {id(inner) for inner in ast.walk(types)}
    for node in ast.walk(tree):
        if id(node) not in passed:
            yield _name(node)


def _types(node: ast.AST) -> Iterator[ast.AST]:
    """The types that a node declares, but for those of parameters, which are taken to be read."""
    returned = getattr(node, "returns", None)
    if isinstance(returned, ast.AST):
        yield returned
    if isinstance(node, ast.AnnAssign):
        yield node.annotation


def _name(node: ast.AST) -> str:
    """What a name or an attribute is called; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
