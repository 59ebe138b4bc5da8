"""Choosing a format by name or by marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from migrations.errors import FormatError
from migrations.formats import Format, Reading
from migrations.formats.detect import choose
from migrations.model.migration import Migration, SourceFile


@dataclass(frozen=True)
class Marked:
    """A format whose files hold its name."""

    name: str

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        return names

    def detect(self, files: Sequence[SourceFile]) -> bool:
        return any(self.name.encode() in file.content for file in files)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        return []

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        raise NotImplementedError


RED, BLUE = Marked("red"), Marked("blue")


def chosen(name: str | None, *contents: bytes) -> Format:
    def read(names: Sequence[str]) -> list[SourceFile]:
        return [SourceFile(one, contents[int(one)]) for one in names]

    return choose((RED, BLUE), name, [str(number) for number in range(len(contents))], read, "dir")


def test_the_format_whose_marks_are_there_is_chosen() -> None:
    assert chosen(None, b"x", b"blue") is BLUE


def test_a_named_format_wins_over_marks() -> None:
    assert chosen("red", b"blue") is RED


def test_without_marks_the_first_format_explains_what_to_write() -> None:
    assert chosen(None, b"x") is RED


def test_mixed_formats_are_refused() -> None:
    with pytest.raises(FormatError, match=r"dir: files of several formats .*red, blue"):
        chosen(None, b"red", b"blue")
