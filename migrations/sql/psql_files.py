r"""Which files a psql script reads, and what it is with the scripts that it includes. Pure.

`\copy … from 'file'`, `\i`, `\ir` and `\lo_import` read what they name; in backquotes and behind
`program` it is what `cat` and its like are given, and what stands behind `<`.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from migrations.model.migration import Program
from migrations.sql.psql_shell import reaches_out, words

_INCLUDES = {"i": False, "include": False, "ir": True, "include_relative": True}
"""Whether the path is relative to the script that names it."""
_READERS = {
    "cat": "", "head": "cn", "tail": "cn", "base64": "w", "zcat": "", "gunzip": "", "xz": "",
    "od": "AjNtw",
}  # fmt: skip
"""Programs whose arguments are files, each with the options behind which comes something else."""
_FROM = re.compile(r"\bfrom\s+(program\s+)?('(?:[^']|'')*'|\S+)", re.IGNORECASE)
_COMPUTED = re.compile(r"[\\`\"';]|:[\w'\"{]")
"""What psql makes something else of in the argument of a command: escapes, quotes, variables."""
_GROUP = re.compile(r"\([^()']*(?:'[^']*'[^()']*)*\)")
_BACKQUOTED = re.compile(r"`([^`\n]*)`")
_STREAMS = frozenset({"stdin", "pstdin"})


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file that a script reads: `path` as written, `None` where it cannot be told."""

    line: int
    shown: str
    path: str | None
    relative: bool = False
    """To the script that names it; else to where psql runs."""
    script: bool = False
    """Whether it is run, and not only read."""
    perhaps: bool = False
    """Whether it is a word for a program that may be no file: one that is there is meant."""


def file_reads(text: str) -> Iterator[FileRead]:
    """What the script reads, in order. Absolute paths are the machine's own, and are told, too."""
    for at, word, rest in words(text):
        line = text.count("\n", 0, at) + 1
        shown = f"\\{word}"
        if word in _INCLUDES:
            path = _plain(rest.strip())
            yield FileRead(line, shown, path, relative=_INCLUDES[word], script=True)
        elif word == "copy":
            yield from _copied(line, rest)
        elif word == "lo_import":
            yield FileRead(line, shown, _plain(rest.strip().split(" ")[0]))
        for found in _BACKQUOTED.finditer(rest):
            yield from _given_to_programs(line, "`", found[1])


def expanded(program: Program) -> str:
    """The script with those that it includes in their places, to be looked at and not run."""
    return _expanded(program.text, posixpath.dirname(program.file), _contents(program), set())


def scripts(program: Program) -> Iterator[tuple[str, str]]:
    """The script and every other that it includes, each as psql reads it, by itself; its name."""
    contents, seen = _contents(program), set[str]()
    waiting = [(program.text, program.file)]
    while waiting:
        text, name = waiting.pop()
        yield text, name
        for one in file_reads(text):
            place = _place(one, posixpath.dirname(name))
            if one.script and place in contents and place not in seen:
                seen.add(place)
                waiting.append((contents[place].decode(errors="replace"), place))


def leaves(program: Program, variables: Iterable[tuple[str, str]]) -> tuple[int, str] | None:
    """As `reaches_out`, of the script and all that it includes: each by itself, and together."""
    known, names = tuple(variables), _contents(program).keys()
    for text, name in scripts(program):
        folder = posixpath.dirname(name)
        reads = [one for one in file_reads(text) if one.script and _place(one, folder) in names]
        if found := reaches_out(text, known, names, {one.path for one in reads}):
            return found
    return reaches_out(expanded(program), known, names, names)


def _contents(program: Program) -> dict[str, bytes]:
    return {one.name: one.content for one in program.files}


def _place(one: FileRead, folder: str) -> str:
    path = one.path or ""
    return posixpath.normpath(posixpath.join(folder, path) if one.relative else path)


def _expanded(text: str, folder: str, contents: dict[str, bytes], seen: set[str]) -> str:
    """Each script once: to read it again tells nothing new, and would take for ever."""
    lines = text.split("\n")
    included: dict[int, list[str]] = {}
    for one in file_reads(text):
        place = _place(one, folder)
        if one.script and place in contents:
            inner = ""
            if place not in seen:
                seen.add(place)
                inner = contents[place].decode(errors="replace")
                inner = _expanded(inner, posixpath.dirname(place), contents, seen)
            included.setdefault(one.line, []).append(inner)
    for line, texts in included.items():
        lines[line - 1] = "\n".join(texts)
    return "\n".join(lines)


def _copied(line: int, rest: str) -> Iterator[FileRead]:
    bare = rest
    while bare != (bare := _GROUP.sub(" ", bare)):
        pass
    found = _FROM.search(bare)
    if found is None or found[2].lower() in _STREAMS:
        return
    if found[1]:
        yield from _given_to_programs(line, "\\copy", _unquoted(found[2]))
    else:
        # Nothing in it is a variable: \copy takes its line as it is.
        yield FileRead(line, "\\copy", _unquoted(found[2].rstrip(";")))


def _plain(word: str) -> str | None:
    """A path that is written out; `None` for one that psql makes another of."""
    path = _unquoted(word)
    if not path or _COMPUTED.search(path) or (path == word and re.search(r"\s", path)):
        return None
    return path


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] == "'":
        return word[1:-1].replace("''", "'")
    return word


def _given_to_programs(line: int, shown: str, command: str) -> Iterator[FileRead]:
    """The files that programs read, where they are written out."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    program = before = ""
    try:
        for word in lexer:
            if word[0] in "|;&()":
                program = before = ""
            elif program or before == "<":
                yield from _given(line, shown, program, before, word)
                before = word
            else:
                before = word
                program = "" if word[0] in "<>" else word
    except ValueError:
        # A quote without its end, which the shell refuses.
        return


def _given(line: int, shown: str, program: str, before: str, word: str) -> Iterator[FileRead]:
    """The file that a word of a program's line is, which stands behind the word `before`."""
    if before.startswith(">") or word[0] in "-<>" or re.search(r"[$:*?]|^[+]?[0-9]+$", word):
        return
    options = _READERS.get(program)
    if before != "<" and options and before[:1] == "-" and before[1:] in options:
        return
    yield FileRead(line, shown, word, perhaps=before != "<" and options is None)
