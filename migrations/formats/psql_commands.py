r"""Where the commands of psql stand in a script: lines that a backslash begins, outside of quotes.

One pass over the text, whose time grows with its length alone. What must be stepped over are
literals in their four forms (`'…'`, `E'…'`, `"…"`, `$tag$…$tag$`) and both kinds of comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NEXT = re.compile(
    r"^[ \t]*\\(?P<command>\w+)[ \t]*(?P<rest>[^\n]*)$"
    r"|--[^\n]*"
    r"|(?P<block>/\*)"
    r"|(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'?"
    r"|'[^']*'?"
    r'|"[^"]*"?'
    r"|(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$",
    re.MULTILINE | re.DOTALL,
)
_OF_BLOCK = re.compile(r"/\*|\*/")


def commands(text: str) -> Iterator[re.Match[str]]:
    """The commands in order, each a whole line; the groups are `command` and `rest`."""
    at = 0
    while found := _NEXT.search(text, at):
        at = found.end()
        if found["command"] is not None:
            yield found
        elif found["block"] is not None:
            at = _end_of_block(text, at)
        elif found["tag"] is not None:
            closed = text.find(f"${found['tag']}$", at)
            at = closed + len(found["tag"]) + 2 if closed >= 0 else len(text)


def _end_of_block(text: str, at: int) -> int:
    """Where a comment ends that began before `at`; comments inside it have ends of their own."""
    depth = 1
    while depth and (found := _OF_BLOCK.search(text, at)):
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at if depth == 0 else len(text)
