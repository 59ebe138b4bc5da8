"""Reads a large YAML file item by item: what is made of one item is gone before the next is read.

The grammar is libyaml's where the installed PyYAML has it, which is ten times as fast; places of
errors are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.events import DocumentStartEvent, MappingEndEvent, SequenceEndEvent
from yaml.resolver import Resolver

_Sink = Callable[[Any], None]

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

    The list under the key `streamed` is empty there: `took` gets its items, one by one.

    False, and nothing is told, when the document is no mapping. Raises `yaml.YAMLError`.
    """
    loader = _Loader(text)
    try:
        loader.get_event()
        if not loader.check_event(DocumentStartEvent):
            return False
        loader.get_event()
        if not loader.check_event(yaml.MappingStartEvent):
            return False
        loader.get_event()
        while not loader.check_event(MappingEndEvent):
            key = _value(loader)
            if key == streamed and loader.check_event(yaml.SequenceStartEvent):
                loader.get_event()
                other(streamed, [])
                while not loader.check_event(SequenceEndEvent):
                    took(_value(loader))
                loader.get_event()
            else:
                other(str(key), _value(loader))
        loader.get_event()
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            raise yaml.YAMLError("another document begins")
        return True
    finally:
        loader.dispose()


def _value(loader: Any) -> Any:
    """The next node of the document, as Python has it."""
    return loader.construct_document(loader.compose_node(None, None))
