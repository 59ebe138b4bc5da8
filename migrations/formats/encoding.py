"""Bytes to text, refusing what would be misread later.

NUL is refused because the parser would not see anything after it. A byte order mark says nothing
and is left out.
"""

from __future__ import annotations

import codecs

from migrations.errors import EncodingError
from migrations.model.migration import SourceFile

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(file: SourceFile) -> str:
    """The text of a file, byte for byte but for a byte order mark.

    Raises EncodingError with the place of the first fault.
    """
    content = file.content.removeprefix(codecs.BOM_UTF8)
    if content.startswith(_UTF16):
        raise EncodingError(file.name, 1, "the file is UTF-16, not UTF-8", "Save it as UTF-8")
    if (at := content.find(b"\0")) >= 0:
        raise EncodingError(
            file.name,
            _line(content, at),
            f"NUL at byte {at}",
            "Remove it: PostgreSQL texts cannot hold NUL, and nothing after it would be read",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EncodingError(
            file.name,
            _line(content, error.start),
            f"byte {error.start} (0x{content[error.start]:02X}) is not UTF-8",
            "Save the file as UTF-8",
        ) from None


def text_or_fault(file: SourceFile) -> tuple[str, EncodingError | None]:
    """The text of a file, or an empty one and what is wrong with its bytes."""
    try:
        return text_of(file), None
    except EncodingError as error:
        return "", error


def _line(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1
