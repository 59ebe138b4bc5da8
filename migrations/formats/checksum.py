"""What of a section's text its checksum covers.

A migration is the same whatever a checkout, an editor or a pipe makes of its lines' ends: carriage
returns before newlines, blanks at the ends of lines, newlines at the end of the text and a byte
order mark at its beginning are left out before the text is hashed. Everything else counts, comments
too (`ops/decisions/0027-what-is-no-change.md`).

Blanks at the end of a line count inside of a literal, a quoted name and the data of a COPY, where
they are values; the body of a function or DO block is code, and only its own literals are such.
Carriage returns before newlines never count: a checkout rewrites them in literals as anywhere, so
that whoever means one writes `E'\\r\\n'`.
"""

from __future__ import annotations

import bisect
import codecs
import hashlib
import io
import re
import tokenize
from collections.abc import Iterator

_AT_LINE_END = re.compile(r"[ \t\r\f\v]+(?=\n)|[ \t\r\f\v\n]+\Z")
_OPENING = re.compile(
    r"--[^\r\n]*|/\*|'|\"|(?<![\w$\x80-\xff])\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$|\\[^\n]*|;",
    re.ASCII,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPING = re.compile(r"(?<![\w$\x80-\xff])[eE]\Z", re.ASCII)
_ESCAPED_END = re.compile(r"[^'\\]*(?:(?:\\.|'')[^'\\]*)*'", re.DOTALL)
_BEFORE_CODE = re.compile(r"\b(?:AS|DO|LANGUAGE\s+\w+)\s*\Z", re.IGNORECASE | re.ASCII)
_CODE_WORD_CHARS = 200
"""How far before a dollar quote the word is looked for that makes it code."""
_COPY = re.compile(r"\s*(?:--[^\n]*\n\s*)*\\?COPY\b.*\bFROM\s+P?STDIN\b", re.IGNORECASE | re.DOTALL)
_DATA_END = re.compile(r"^\\\.[ \t]*$", re.MULTILINE)


def checksum(text: bytes) -> str:
    """The SHA-256, in hex, of what counts of a section in SQL or of a psql script."""
    return hashlib.sha256(counted(text)).hexdigest()


def module_checksum(text: bytes) -> str:
    """The SHA-256, in hex, of what counts of a Python module."""
    joined = _lines(text)
    return hashlib.sha256(_without_ends(joined, list(_strings(joined)))).hexdigest()


def counted(text: bytes) -> bytes:
    """What counts of a section in SQL: its text with lines that end one way."""
    joined = _lines(text)
    return _without_ends(joined, list(_literals(joined, 0, len(joined))))


def _lines(text: bytes) -> str:
    """One character per byte, so that any encoding passes and comes back."""
    return text.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").decode("latin-1")


def _without_ends(text: str, literals: list[tuple[int, int]]) -> bytes:
    """The text without blanks at the ends of lines outside of `literals`, which are in order."""
    starts = [start for start, _ in literals]

    def kept(match: re.Match[str]) -> str:
        before = bisect.bisect_right(starts, match.start()) - 1
        return match.group() if before >= 0 and match.start() < literals[before][1] else ""

    found = _AT_LINE_END.sub(kept, text)
    return (f"{found}\n" if found and not found.endswith("\n") else found).encode("latin-1")


def _literals(text: str, at: int, end: int, *, code: bool = False) -> Iterator[tuple[int, int]]:
    """Where literals, quoted names and data stand between two places, of a script or in `code`.

    What has no end is one up to the last place.
    """
    statement = at
    while found := _OPENING.search(text, at, end):
        opened, start = found.group(), found.start()
        at = found.end()
        if opened == "/*":
            at = _comment_end(text, at, end)
        elif opened == ";" or opened.startswith("\\"):
            if _COPY.match(text, statement, at) and (data := _DATA_END.search(text, at, end)):
                yield text.find("\n", at) + 1, data.start()
                at = data.end()
            statement = at
        elif not opened.startswith("--"):
            at = _literal_end(text, found, end)
            if opened.startswith("$") and not code and _is_code(text, start):
                inner = max(found.end(), at - len(opened))
                yield from _literals(text, found.end(), inner, code=True)
            else:
                yield start, at


def _literal_end(text: str, opening: re.Match[str], end: int) -> int:
    """Behind the literal or quoted name that is opened there."""
    at, quote = opening.end(), opening.group()
    if quote == "'" and _ESCAPING.search(text, max(0, opening.start() - 2), opening.start()):
        found = _ESCAPED_END.match(text, at, end)
        return found.end() if found else end
    closing = text.find(quote, at, end)
    return closing + len(quote) if closing >= 0 else end


def _comment_end(text: str, at: int, end: int) -> int:
    """Behind a comment in slashes, which may hold others."""
    depth = 1
    while depth:
        found = _COMMENT_EDGE.search(text, at, end)
        if found is None:
            return end
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at


def _is_code(text: str, at: int) -> bool:
    """Whether the dollar quote there holds the body of a function or of a DO block."""
    return _BEFORE_CODE.search(text, max(0, at - _CODE_WORD_CHARS), at) is not None


def _strings(text: str) -> Iterator[tuple[int, int]]:
    """Where strings of a Python module stand; up to where it can be read."""
    places = [0]
    for line in text.split("\n"):
        places.append(places[-1] + len(line) + 1)
    depth, begun = 0, (1, 0)
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline="\n").readline):
            name = tokenize.tok_name[token.type]
            if name == "STRING" and not depth:
                yield _place(places, token.start), _place(places, token.end)
            elif name.endswith("STRING_START"):
                begun = begun if depth else token.start
                depth += 1
            elif name.endswith("STRING_END"):
                depth -= 1
                if not depth:
                    yield _place(places, begun), _place(places, token.end)
    except (tokenize.TokenError, SyntaxError):
        return


def _place(places: list[int], at: tuple[int, int]) -> int:
    return places[at[0] - 1] + at[1]
