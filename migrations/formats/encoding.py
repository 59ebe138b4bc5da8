"""Bytes to text, refusing what would be misread later.

NUL is refused because the parser would not see anything after it. A byte order mark says nothing
and is left out. Where one file holds both ways, `Legible` keeps what is wrong with a line for the
section that it stands in.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from migrations.errors import EncodingError
from migrations.model.migration import SourceFile

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(file: SourceFile) -> str:
    """The text of a file, byte for byte but for a byte order mark.

    Raises EncodingError with the place of the first fault.
    """
    content = file.content.removeprefix(codecs.BOM_UTF8)
    _refuse_utf16(file)
    for fault in _faults(file.name, content):
        raise fault
    return content.decode()


def text_or_fault(file: SourceFile) -> tuple[str, EncodingError | None]:
    """The text of a file, or an empty one and what is wrong with its bytes."""
    try:
        return text_of(file), None
    except EncodingError as error:
        return "", error


@dataclass(frozen=True, slots=True)
class Legible:
    """A text with U+FFFD in the place of what is none; `faults` in order, one for a line."""

    text: str
    faults: tuple[EncodingError, ...] = ()

    def fault(self, first: int, last: int) -> EncodingError | None:
        """What is wrong from one line to another, both included."""
        return next((one for one in self.faults if first <= (one.line or 0) <= last), None)

    def refuse_before(self, line: int) -> None:
        """Raise EncodingError for what is wrong above a line."""
        if fault := self.fault(0, line - 1):
            raise fault


def legible(file: SourceFile) -> Legible:
    """The text of a file as far as it is one. Raises EncodingError where nothing of it can be."""
    content = file.content.removeprefix(codecs.BOM_UTF8)
    _refuse_utf16(file)
    text = content.decode(errors="replace").replace("\0", "\ufffd")
    return Legible(text, tuple(_faults(file.name, content)))


def _refuse_utf16(file: SourceFile) -> None:
    if file.content.startswith(_UTF16):
        raise EncodingError(file.name, 1, "the file is UTF-16, not UTF-8", "Save it as UTF-8")


def _faults(name: str, content: bytes) -> Iterator[EncodingError]:
    """The first fault of each line that has one."""
    if b"\0" not in content and _is_utf8(content):
        return
    start = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        if (at := line.find(b"\0")) >= 0:
            yield EncodingError(
                name,
                number,
                f"NUL at byte {start + at}",
                "Remove it: PostgreSQL texts cannot hold NUL, and nothing after it would be read",
            )
        else:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                yield EncodingError(
                    name,
                    number,
                    f"byte {start + error.start} (0x{line[error.start]:02X}) is not UTF-8",
                    "Save the file as UTF-8",
                )
        start += len(line) + 1


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
