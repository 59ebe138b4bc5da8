"""Choosing a dialect by name or by marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from migrations.dialects.detect import choose
from migrations.errors import DialectError
from migrations.migration import Migration, SourceFile


@dataclass(frozen=True)
class Marked:
    """A dialect whose files hold its name."""

    name: str

    def detect(self, files: Sequence[SourceFile]) -> bool:
        return any(self.name.encode() in file.content for file in files)

    def load(self, files: Sequence[SourceFile]) -> list[Migration]:
        return []


RED, BLUE = Marked("red"), Marked("blue")


def files(*contents: bytes) -> list[SourceFile]:
    return [SourceFile(f"{number}.sql", content) for number, content in enumerate(contents)]


def test_the_dialect_whose_marks_are_there_is_chosen() -> None:
    assert choose((RED, BLUE), None, files(b"x", b"blue"), "folder") is BLUE


def test_a_named_dialect_wins_over_marks() -> None:
    assert choose((RED, BLUE), "red", files(b"blue"), "folder") is RED


def test_without_marks_the_first_dialect_explains_what_to_write() -> None:
    assert choose((RED, BLUE), None, files(b"x"), "folder") is RED


def test_mixed_dialects_are_refused() -> None:
    with pytest.raises(DialectError, match=r"folder: files of several dialects .*red, blue"):
        choose((RED, BLUE), None, files(b"red", b"blue"), "folder")
