"""Reads a large YAML file item by item: what is made of one item is gone before the next is read.

Everything knows the line on which it stands, so that whoever finds a fault can name the place. The
grammar is libyaml's where the installed PyYAML has it, which is ten times as fast; places of
errors are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.events import DocumentStartEvent, MappingEndEvent, SequenceEndEvent
from yaml.resolver import Resolver

_Sink = Callable[[Any], None]
DEEPEST = 6
"""Parts within parts of such a file; what is deeper is no description of a fleet."""
LONGEST = 100
"""Letters of a value that is no text: a date, a number, yes or no."""
FREE_PARTS, PARTS_PER_LETTER = 100_000, 8
"""So many parts a file may stand for, with what its aliases repeat: it takes that much memory."""
_MERGED = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_NO_VALUE = "a value looks like a date or a number and is none; write it in quotes"


class PlacedKey(str):
    """A key of a mapping, and the line on which it stands."""

    __slots__ = ("line",)
    line: int


class PlacedMapping(dict[PlacedKey, Any]):
    """A mapping of the file: where it begins, and its keys that stand in it a second time."""

    __slots__ = ("line", "repeated")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.repeated: list[PlacedKey] = []


@dataclass(frozen=True, slots=True)
class OtherItem:
    """What stands in the list, and is no mapping."""

    line: int


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _Loader(Composer, CParser, SafeConstructor, Resolver):
        """Composes node by node what libyaml has parsed."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

else:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Loader(Composer, Reader, Scanner, Parser, SafeConstructor, Resolver):  # type: ignore[no-redef]
        """The same in Python alone."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)


def read_items(text: str, streamed: str, took: _Sink, other: Callable[[str, Any], None]) -> bool:
    """Read a mapping: `other` gets each key with its value, in the order of the file.

    The list under the key `streamed` is empty there: `took` gets its items, one by one. Mappings
    are `PlacedMapping`, their keys and those of `other` `PlacedKey`; an item that is no mapping is
    an `OtherItem`.

    False, and nothing is told, when the document is no mapping. Raises `yaml.YAMLError`.
    """
    loader: Any = _Loader(text)
    loader.parts_left = FREE_PARTS + PARTS_PER_LETTER * len(text)
    try:
        loader.get_event()
        if not loader.check_event(DocumentStartEvent):
            return False
        loader.get_event()
        if not loader.check_event(yaml.MappingStartEvent):
            return False
        loader.get_event()
        while not loader.check_event(MappingEndEvent):
            loader.reading = loader.compose_node(None, None)
            key = _key(loader, loader.reading)
            if key == streamed and loader.check_event(yaml.SequenceStartEvent):
                loader.get_event()
                other(key, [])
                while not loader.check_event(SequenceEndEvent):
                    loader.reading = node = loader.compose_node(None, None)
                    is_mapping = isinstance(node, yaml.MappingNode)
                    took(_value(loader, node) if is_mapping else OtherItem(_line(node)))
                loader.get_event()
            else:
                other(key, _value(loader, loader.compose_node(None, None)))
        loader.get_event()
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            raise yaml.YAMLError("another document begins")
        return True
    finally:
        loader.dispose()


def _value(loader: Any, node: Any, depth: int = 0) -> Any:
    """A node of the document, as Python has it."""
    _count(loader, 1)
    if depth > DEEPEST:
        raise _fault(node, "there are too many parts within parts")
    match node:
        case yaml.MappingNode():
            return _mapping(loader, node, depth)
        case yaml.SequenceNode():
            return [_value(loader, one, depth + 1) for one in node.value]
        case _:
            if node.tag != _TEXT and len(node.value) > LONGEST:
                raise _fault(node, _NO_VALUE)
            try:
                made = loader.construct_object(node, deep=True)
            except (ValueError, AttributeError, LookupError, ArithmeticError, TypeError):
                # PyYAML takes it that whoever writes a tag writes what it stands for.
                raise _fault(node, _NO_VALUE) from None
            # It keeps what it has made, with its node, until the end of a document.
            loader.constructed_objects.clear()
            return made


def _mapping(loader: Any, node: yaml.MappingNode, depth: int) -> PlacedMapping:
    made = PlacedMapping(_line(node))
    if not hasattr(node, "is_flat"):
        # What is merged into a mapping stands in it afterwards, and may be said again by itself.
        own: set[str] = set()
        for one, _ in node.value:
            key = _key(loader, one)
            if key in own:
                made.repeated.append(key)
            own.add(key)
        _flatten(loader, node)
    for one, value in node.value:
        made[_key(loader, one)] = _value(loader, value, depth + 1)
    return made


def _flatten(loader: Any, node: yaml.MappingNode) -> None:
    """Put what is merged into a mapping (`<<`) in front of its own parts, which win."""
    node.is_flat = True  # type: ignore[attr-defined]
    merged: list[Any] = []
    for key, value in node.value:
        if key.tag != _MERGED:
            continue
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in reversed(sources):
            if not isinstance(source, yaml.MappingNode):
                raise _fault(source, "`<<` takes in mappings, and this is none")
            if not hasattr(source, "is_flat"):
                _flatten(loader, source)
            _count(loader, len(source.value))
            merged += source.value
    node.value = [*merged, *(one for one in node.value if one[0].tag != _MERGED)]


def _count(loader: Any, parts: int) -> None:
    """Aliases of aliases make thousands of millions of parts out of one screen of text."""
    loader.parts_left -= parts
    if loader.parts_left < 0:
        what = "aliases repeat more than such a file can mean; write out what it says"
        raise _fault(loader.reading, what)


def _fault(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _key(loader: Any, node: Any) -> PlacedKey:
    key = PlacedKey(node.value if isinstance(node, yaml.ScalarNode) else "")
    key.line = _line(node)
    return key


def _line(node: Any) -> int:
    """As people count."""
    return int(node.start_mark.line) + 1
