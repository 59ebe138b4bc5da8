"""Events as bytes, for tests of the log itself, which looks at very little of them."""

from __future__ import annotations

from uuid import uuid4

from tests.support.raw_event import NewEvent


def an_event(body: bytes = b"{}", type_: str = "MigrationApplied") -> NewEvent:
    """An event with an id of its own."""
    return NewEvent(uuid4(), type_, 1, body, b'{"agent":"a"}')


def some_events(count: int, type_: str = "MigrationApplied") -> list[NewEvent]:
    """Events that differ."""
    return [an_event(b'{"number":%d}' % number, type_) for number in range(count)]


def about(database: str, type_: str = "MigrationApplied", more: str = "") -> NewEvent:
    """An event about a database, as a contract renders it."""
    return an_event(b'{"database":"%s"%s}' % (database.encode(), more.encode()), type_)


def verdict(database: str, word: str) -> NewEvent:
    """The last word on an attempt."""
    return about(database, "AttemptFinished", f',"verdict":"{word}"')
