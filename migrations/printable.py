"""Between data and whoever reads it: what moves a cursor, hides or turns text is shown, not obeyed.

Names, reasons and messages come from authors, tenants and operators. Control characters (C0, C1,
DEL), line separators and characters that change the direction of text could paint lines that
nobody wrote, and by those that nobody sees two names look like one; joiners stay, which some
scripts are written with. Where such a text comes in as a name or a reason it is refused; wherever
a text is shown or kept, they are escaped as in Python: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re

_CODES = (
    r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u3164\uffa0\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[{_CODES}]")
_ESCAPED = re.compile(f"[{_CODES}\ud800-\udfff]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

PROBLEM = "holds control characters, or ones that cannot be seen or change the direction of text"
"""Why a name or a reason is refused."""


def is_safe(text: str, *, lines: bool = False) -> bool:
    """Whether a text holds nothing that has to be escaped; with `lines`, line ends and tabs may."""
    return _UNSAFE.search(text.replace("\n", "").replace("\t", "") if lines else text) is None


def escaped(text: str, *, lines: bool = False) -> str:
    """A text for one line of a terminal, a log or a page; `lines` keeps line ends of our own."""
    if text.isascii() and text.isprintable():
        return text
    return _ESCAPED.sub(lambda found: _spelled(found[0], lines), text)


def escaped_json(document: str) -> str:
    r"""A JSON text with the same characters as `\u0000`: it means exactly what it meant before."""
    return _ESCAPED.sub(lambda found: _in_json(found[0]), document)


def why_unreadable(error: OSError | UnicodeError) -> str:
    """Why a file could not be read as a text, in a word or two."""
    if isinstance(error, UnicodeError):
        return "it is no text in UTF-8"
    return error.strerror or "the system gives no reason"


def _spelled(character: str, lines: bool) -> str:
    if lines and character == "\n":
        return character
    code = ord(character)
    width = "x02" if code < 0x100 else "u04" if code < 0x10000 else "U08"
    return _NAMED.get(character) or f"\\{width[0]}{code:{width[1:]}x}"


def _in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
