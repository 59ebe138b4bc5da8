r"""Whether a psql script reaches out of the database: programs, files, variables, other servers.

psql runs on the agent, with its rights: `\!`, backquotes and `… | program` start programs there,
`\copy … '/run/secrets/acme'` reads its files, `\getenv` its variables, `\connect` takes the
password elsewhere. So only commands that are known to do nothing of the kind pass without leave;
what is not known counts as reaching out. Pure.

psql puts the value of `:name` in as it is, commands included. So a value that may hold a backslash,
because it is declared or set with one or comes from the database by `\gset`, may stand as `:'name'`
and `:"name"` only. Nor may a script change by what psql finds the ends of quotes: the encoding, and
whether a backslash in quotes is one. What is not seen all the same (such a setting under a name
that is computed) starts nothing: where no shell is allowed, psql runs in
`migrations.running.confinement`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

_TOKEN = re.compile(
    r"--[^\n]*"
    r"|(?P<block>/\*)"
    r"|(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'?"
    r"|'[^']*'?"
    r'|"[^"]*"?'
    r"|(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$"
    r"|(?P<end>;)"
    r"|(?<!:):(?P<plain>[A-Za-z_]\w*)"
    r"|\\(?P<command>[^\s\\]+|[\\ \t])(?P<rest>(?:'(?:[^'\\\n]|\\.|'')*'|[^'\\\n]|'(?![^'\n]*'))*)",
    re.DOTALL,
)
_OF_BLOCK = re.compile(r"/\*|\*/")
_DATA_FOLLOWS = re.compile(r"\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_END_OF_DATA = re.compile(r"^\\\.[ \t]*$", re.MULTILINE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_GROUP = re.compile(r"\([^()]*\)")
_TARGET = re.compile(r"\b(?:from|to)\s+(\S+)", re.IGNORECASE)
_STREAMS = frozenset({"stdin", "stdout", "pstdin", "pstdout"})
_NAME = r"(?:\"[^\"]*\"|[\w$]+)"
_COPY_FILE = re.compile(
    rf"\s*{_NAME}(?:\.{_NAME})?\s*(?:\([^()']*\))?\s+from\s+"
    r"(?!program\b|p?std)('(?:[^']|'')*'|[^\s';]+)(?:\s.*)?;?\s*",
    re.IGNORECASE | re.DOTALL,
)
"""From its beginning, as psql reads it: a table may be called `from`."""
_INSIDE = frozenset(
    {
        "set", "unset", "echo", "qecho", "warn", "pset", "t", "a", "x", "f", "H", "C", "T",
        "timing", "errverbose", "if", "elif", "else", "endif", "q", "r", "reset",
        "gset", "gexec", "gdesc", "crosstabview", "bind", "bind_named", "parse", "close",
        "close_prepared", "restrict", "unrestrict", "prompt", ".", ";", "\\", " ", "\t",
        "p", "print", "conninfo", "lo_list", "z", "sf", "sv", "sf+", "sv+",
    }
)  # fmt: skip
"""Commands whose every form stays inside the database and this script."""
INCLUDING = frozenset({"i", "include", "ir", "include_relative"})
_DESCRIBES = re.compile(r"(?:d|l)[A-Za-z]{0,4}[S+x]*")


_READ_BY = re.compile(
    r"\b(?:client_encoding|standard_conforming_strings|set\s+(?:session\s+|local\s+)?names)\b",
    re.IGNORECASE,
)
"""What decides where psql sees quotes and commands."""
_READ_AS_WE_DO = re.compile(
    r"\bset\s+(?:session\s+|local\s+)?(?:"
    r"client_encoding\s*(?:=|\bto\b)\s*(?:'utf-?8'|utf8|'unicode'|default)(?![\w'])"
    r"|names\s+(?:'utf-?8'|default)(?![\w'])"
    r"|standard_conforming_strings\s*(?:=|\bto\b)\s*(?:on|'on'|true|default)(?![\w']))"
    r"|\b(?:show|reset)\s+(?:client_encoding|standard_conforming_strings)\b"
    r"|\bcurrent_setting\s*\(\s*'(?:client_encoding|standard_conforming_strings)'",
    re.IGNORECASE,
)
_OURS = frozenset({"", "utf8", "utf-8", "unicode"})
"""The only encoding, as `\\encoding` takes it, in which psql reads a script as we do: there are
some in which a letter takes the quote behind it along."""


_WHOLE_LINES = frozenset({"copy", "!"})
"""Commands for which a backquote is a letter like any other."""
_BACKQUOTED = re.compile(r"`([^`\n]*)`")
_ENDING = (
    'echo "psql:{file}:{line}: error: a program {where} failed (exit status $?)" >&2; kill $PPID'
)
_WATCHING = "trap 'case $? in 0) ;; *) {ending};; esac' EXIT; "
"""In front of a command of the shell: what ends it ends psql, too, when it has failed."""
_FED = "141"
"""How a program ends that feeds another one which has had enough (SIGPIPE)."""
_FOUND_NOTHING = "1|141"
_SEARCHES = re.compile(r"\s*(?:[A-Za-z_]\w*=\S*\s+)*(?:[efz]?grep|diff|cmp|comm)\b")
"""Programs that say with 1 that there is nothing, and with more that they could not look."""
_STAGE = re.compile(
    r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|(?<![^\s;|&])#.*|(?P<list>\|\||&&|;)|(?P<pipe>\|)", re.DOTALL
)
"""What a command of the shell consists of, as far as its pipes go."""
_COMPOUND = re.compile(r"[(){}]|\b(?:if|for|while|until|case)\b")
"""What has pipelines inside of it: left as it is written."""
_SAFE = re.compile(r"[\w ./+-]+")
"""Names that the shell may be given in quotes."""
_PIPED = frozenset({"g", "gx", "o", "out", "w", "write"})
"""Commands that may give what comes to a program: what stands behind a bar is its line."""
_COPY_PROGRAM = re.compile(r"\b(?:from|to)\s+program\s+('(?:[^']|'')*')", re.IGNORECASE)
_FOREIGN = frozenset({"LAST_ERROR_MESSAGE", "DBNAME", "USER", "HOST", "PORT", "ENCODING"})
"""Variables of psql's own that say what others wrote."""


def reaches_out(
    text: str,
    declared: Iterable[tuple[str, str]] = (),
    carried: Container[str] = (),
    included: Container[str | None] = (),
) -> tuple[int, str] | None:
    """The 1-based line and the word that leaves the database, or may; `None` if none does.

    `declared` are the variables that psql is given, with their values; `carried` are the paths of
    files that the script brought along, which it may read, `included` those of the scripts among
    them, as this one writes them.
    """
    if (otherwise := _reads_otherwise(text)) is not None:
        return otherwise
    doubtful = {name for name, value in declared if "\\" in value} | _FOREIGN
    from_the_database = False
    plain: list[tuple[int, str]] = []
    for at, word, rest in words(text):
        if word.startswith(":"):
            plain.append((at, word))
            continue
        if "`" in rest or not _stays(word, rest, carried, included):
            shown = "`" if "`" in rest and _stays(word, "", carried, included) else f"\\{word}"
            return text.count("\n", 0, at) + 1, shown[:20]
        if word == "gset":
            from_the_database = True
        if word == "set" and ("\\" in rest or ":" in rest):
            doubtful.add(rest.split(maxsplit=1)[0])
    for at, word in plain:
        if from_the_database or word[1:] in doubtful:
            return text.count("\n", 0, at) + 1, f"{word} and not :'{word[1:]}'"
    return None


def _reads_otherwise(text: str) -> tuple[int, str] | None:
    """The line and the setting by which psql would not see quotes where we do."""
    harmless = [found.span() for found in _READ_AS_WE_DO.finditer(text)]
    for found in _READ_BY.finditer(text):
        if not any(start <= found.start() < end for start, end in harmless):
            return text.count("\n", 0, found.start()) + 1, " ".join(found[0].split())
    return None


def checked(text: str, file: str) -> str:
    """The script, called `file`, in which a program that fails ends psql.

    psql itself takes what a program in backquotes wrote, nothing perhaps, and goes on; so does it
    behind `\\!` and what it writes to, and where one fails that feeds another, of `\\copy` too. No
    line moves.
    """
    file = file if _SAFE.fullmatch(file) else "a script beside"
    pieces, done = [], 0
    for at, word, rest in words(text):
        command, bar, _ = word.partition("|")
        start = at + 1 + len(command if bar else word)
        if start <= done:
            # A letter of a line that the shell was given as a whole.
            continue
        end = text.find("\n", start)
        line = text[start : len(text) if end < 0 else end]
        # The shell would take the carriage return of a line's end for a letter of the command.
        whole = line.rstrip("\r")
        known = {"file": file, "line": text.count("\n", 0, at) + 1}
        if command == "copy" and (found := _COPY_PROGRAM.search(rest)):
            program = found[1][1:-1].replace("''", "'")
            watched = _piped(program, _ENDING.format(where="in a pipe", **known))
            quoted = "''".join(watched.split("'"))
            replaced = f"{rest[: found.start(1)]}'{quoted}'{rest[found.end(1) :]}"
        elif command == "!" and whole.strip():
            rest = line
            replaced = f" {_watched(whole, _ENDING.format(where='of the shell', **known))}"
        elif command in _PIPED and (at_bar := _bar(whole)) is not None:
            rest, ending = line, _ENDING.format(where="that is written to", **known)
            replaced = f"{whole[:at_bar]}|{_watched(whole[at_bar + 1 :], ending)}"
        elif command not in _WHOLE_LINES and "`" in rest:
            ending = _ENDING.format(where="in backquotes", **known)
            parts = _BACKQUOTED.split(rest)
            parts[1::2] = [f"`{_watched(one, ending)}`" for one in parts[1::2]]
            replaced = "".join(parts)
        else:
            continue
        pieces += [text[done:start], replaced]
        done = start + len(rest)
    return "".join([*pieces, text[done:]])


def _bar(rest: str) -> int | None:
    """Where a command's program begins, behind options in parentheses; `None` if it has none."""
    bare = _GROUP.sub(lambda found: " " * len(found[0]), rest)
    at = len(bare) - len(bare.lstrip())
    return at if bare[at : at + 1] == "|" else None


def _watched(command: str, ending: str) -> str:
    """A command of the shell that ends psql when it fails, or what feeds another one in it.

    It runs in a shell of its own, which it may replace (`exec`) or watch itself (`trap`).
    """
    for found in _STAGE.finditer(command):
        if found[0].startswith("#"):
            command = command[: found.start()]
    if not command.strip():
        return command
    return f"{_WATCHING.format(ending=ending)}( {_piped(command, ending)} )"


def _piped(command: str, ending: str) -> str:
    """A command of the shell in which every program that feeds another ends psql when it fails."""
    if _COMPOUND.search(command):
        return command
    pieces, stages, at = [], list[str](), 0
    for one in (*_STAGE.finditer(command), None):
        if one is not None and not (one["list"] or one["pipe"]):
            continue
        stage = command[at : one.start() if one else len(command)]
        if one is not None and one["pipe"]:
            stages.append(_feeding(stage, ending))
        else:
            pieces.append("|".join([*stages, stage]) + (one[0] if one else ""))
            stages = []
        at = one.end() if one else len(command)
    return "".join(pieces)


def _feeding(stage: str, ending: str) -> str:
    fine = _FOUND_NOTHING if _SEARCHES.match(stage) else _FED
    return f" {{ {stage.strip()} || case $? in {fine}) ;; *) {ending}; exit 1;; esac; }} "


def _stays(
    command: str, rest: str, carried: Container[str], included: Container[str | None]
) -> bool:
    if command in ("g", "gx"):
        return not _GROUP.sub("", _QUOTED.sub("", rest)).strip() and "|" not in rest
    if command in ("o", "out"):
        return not rest.strip()
    if command == "copy":
        bare = _QUOTED.sub("''", rest)
        while bare != (bare := _GROUP.sub(" ", bare)):
            pass
        read = _COPY_FILE.fullmatch(rest)
        if read is not None:
            quoted = read[1].startswith("'")
            return (read[1][1:-1].replace("''", "'") if quoted else read[1]) in carried
        target = _TARGET.search(bare)
        return target is not None and target[1].lower() in _STREAMS
    if command == "encoding":
        return rest.strip().strip("'\"").lower() in _OURS
    if command in INCLUDING:
        return rest.strip().strip("'") in included
    return command in _INSIDE or _DESCRIBES.fullmatch(command) is not None


def words(text: str) -> Iterator[tuple[int, str, str]]:
    """Commands, with what follows on the line, and `:name`; none in quotes, comments or data."""
    at, statement = 0, 0
    while found := _TOKEN.search(text, at):
        at = _end_of_token(text, found)
        if found["command"] is not None:
            yield found.start(), found["command"], found["rest"]
        elif found["plain"] is not None:
            yield found.start(), found[0], ""
        elif found["end"] is not None:
            if _DATA_FOLLOWS.match(text, statement, found.start()):
                at = _after_data(text, at)
            statement = at
        elif found[0].startswith(("--", "/*")) and not text[statement : found.start()].strip():
            # A comment in front of a statement is no part of it.
            statement = at


def _end_of_token(text: str, found: re.Match[str]) -> int:
    """Where goes on what the token begins: a comment, a quote, or the data of a `\\copy`."""
    at = found.end()
    if found["block"] is not None:
        return _end_of_block(text, at)
    if found["tag"] is not None:
        closed = text.find(f"${found['tag']}$", at)
        return closed + len(found["tag"]) + 2 if closed >= 0 else len(text)
    if found["command"] == "copy" and re.search(r"\bstdin\b", found["rest"], re.IGNORECASE):
        return _after_data(text, at)
    return at


def _after_data(text: str, at: int) -> int:
    """Where lines of data end that begin on the line after `at`."""
    line = text.find("\n", at)
    if line < 0:
        return len(text)
    found = _END_OF_DATA.search(text, line + 1)
    return found.end() if found else len(text)


def _end_of_block(text: str, at: int) -> int:
    """Where a comment ends that began before `at`; comments inside it have ends of their own."""
    depth = 1
    while depth and (found := _OF_BLOCK.search(text, at)):
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at if depth == 0 else len(text)
