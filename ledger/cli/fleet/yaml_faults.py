"""What is wrong with a file that is no YAML: where, and in words that say what to write."""

from __future__ import annotations

import re
from typing import Final

import yaml

_TAB: Final = re.compile(r"[ ]*\t")
_SAID: Final = {
    r"found character": "a text that begins with such a sign needs quotes",
    r"mapping values are not allowed": "a `:` stands where none can be; put the text into quotes, "
    "or correct how far the line is indented",
    r"could not find expected ':'": "a `:` is missing behind a name",
    r"(did not find )?expected ',' or '[\]}]'": "a `,`, or the bracket at the end, is missing",
    r"(did not find )?expected (<block end>|key|'-')|block sequence entries": "it is indented "
    "otherwise than the lines that it belongs to",
    r"(did not find )?expected (the )?node content": "a value is missing, or a bracket has no "
    "partner",
    r"found unexpected end of stream": "a quote is not closed",
    r"found unknown escape": "a text in double quotes has a \\ before a letter that means nothing; "
    "write it in single quotes",
    r"found undefined alias": "`*` begins an alias, and none is called so; put it into quotes",
    r"(second|duplicate) ": "an anchor, `&`, stands there twice",
    r"another document|(did not find )?expected <document": "another document begins; write one",
    r"unacceptable|control characters": "a character is there that no text can have",
    r"could not determine a constructor": "`!` begins a kind of value; leave it out",
}
"""By how the library calls it, in Python or in C; it may repeat a secret that is in the file."""


def place_and_fault(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line of a text that is no YAML, from 1, and what is wrong there."""
    mark, called = getattr(error, "problem_mark", None), str(getattr(error, "problem", error))
    position = getattr(error, "position", None)
    if mark is not None:
        line = mark.line + 1
    else:
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    if type(error) is yaml.MarkedYAMLError:
        # The library raises its children; this one is in our own words.
        return line, called
    if _TAB.match("".join(text.split("\n")[line - 1 : line])):
        return line, "it begins with a tab; write spaces"
    fault = next((said for known, said in _SAID.items() if re.match(known, called)), "")
    return line, fault or "it cannot be read"
