r"""Files beside a psql script that it reads: carried with the migration, if the folder allows them.

psql runs in a folder of its own, on an agent that has no checkout. So what `\copy … from 'file'`,
`\i` and `\ir` read, and `cat file` in backquotes, has to come along:

    psql-files.txt  names the files, one pattern a line ─┐
    the script      names a file ────────────────────────┴─▶ carried, and part of the checksum

What a script reads and is not there, or is not named, is an error when the folder is read.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from migrations.errors import FolderError, PsqlScriptError
from migrations.formats.checksum import checksum as checksum_of
from migrations.model.migration import Migration, SourceFile
from migrations.sql.psql_files import FileRead, file_reads

LIST = "psql-files.txt"
"""In the migrations folder: patterns of the files that scripts may read; `#` begins a comment."""
MARK = "beside:"
"""In front of the name of a file that is carried, among the files of its migration."""
MAX_BYTES = 8 * 2**20
"""Of all that one script reads: it is kept for ever, and sent to every agent."""
MAX_DEPTH = 50
"""Scripts that include scripts."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The files that scripts of a folder may read, by their names in it."""

    allowed: frozenset[str] = frozenset()
    there: frozenset[str] = frozenset()
    """Every file of the folder, so that one which is not allowed is told from none."""
    read: Callable[[str], bytes] = field(default=lambda name: b"", repr=False)

    @classmethod
    def carried(cls, files: Iterable[SourceFile]) -> Beside:
        """Those that a migration brought along."""
        contents = {one.name.removeprefix(MARK): one.content for one in files}
        names = frozenset(contents)
        return cls(names, names, contents.__getitem__)


NOTHING = Beside()


def allowed_in(names: Sequence[str], listed: SourceFile) -> frozenset[str]:
    """The names that the list allows. Raises FolderError for a list that cannot be meant."""
    found: set[str] = set()
    for number, line in enumerate(listed.content.decode(errors="replace").splitlines(), start=1):
        pattern = line.partition("#")[0].strip()
        if not pattern:
            continue
        if pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
            raise FolderError(
                LIST, number, f"{pattern} leads out of the folder", "Name files in the folder"
            )
        matching = {name for name in names if name != LIST and fnmatchcase(name, pattern)}
        if not matching:
            raise FolderError(
                LIST, number, f"no file is called {pattern}", "Correct the name, or take it out"
            )
        found |= matching
    return frozenset(found)


def files_of(text: str, file: str, first_line: int, beside: Beside) -> tuple[SourceFile, ...]:
    """What the script reads, by the places where psql will look for it.

    Raises PsqlScriptError for what is not there, not allowed, too much, or cannot be told.
    """
    found: dict[str, bytes] = {}
    _collect(text, file, first_line, posixpath.dirname(file), beside, found, ())
    return tuple(SourceFile(place, found[place]) for place in sorted(found))


def _collect(
    text: str,
    file: str,
    first_line: int,
    folder: str,
    beside: Beside,
    found: dict[str, bytes],
    chain: tuple[str, ...],
) -> None:
    for one in file_reads(text):
        line = first_line + one.line - 1
        if one.path is None:
            raise PsqlScriptError(
                file, line, f"{one.shown} reads a file whose name cannot be told",
                "Write the file's name out, relative to the migrations folder",
            )  # fmt: skip
        is_missing = _there(one, folder, beside) is None
        if one.path.startswith(("/", "~")) or (one.perhaps and is_missing):
            # The agent's own; only where it lets scripts leave the database. Or no file at all.
            continue
        name, place = _resolved(one, folder, beside)
        if name is None or place.startswith(("../", "~")):
            # psql takes a ~ in front for somebody's home.
            raise _missing(one, file, line, folder, beside)
        if place in chain:
            raise PsqlScriptError(
                file, line, "scripts include each other without end", "Take one of them out"
            )
        if len(chain) >= MAX_DEPTH:
            problem = f"scripts include scripts that include scripts, more than {MAX_DEPTH} deep"
            raise PsqlScriptError(file, line, problem, "Include them one after the other")
        if place in found:
            continue
        content = beside.read(name)
        found[place] = content
        if sum(map(len, found.values())) > MAX_BYTES:
            raise PsqlScriptError(
                file, line, f"the script reads more than {MAX_BYTES:,} bytes of files",
                "Load such data by other means: what a migration carries is kept for ever",
            )  # fmt: skip
        if one.script:
            inner = content.decode(errors="replace")
            _collect(inner, name, 1, posixpath.dirname(place), beside, found, (*chain, place))


def _resolved(one: FileRead, folder: str, beside: Beside) -> tuple[str | None, str]:
    """The file of the folder that is meant, and where psql will look for it."""
    path = one.path or ""
    beside_script = posixpath.normpath(posixpath.join(folder, path))
    if one.relative:
        return (beside_script if beside_script in beside.allowed else None), beside_script
    place = posixpath.normpath(path)
    if place.startswith("../"):
        return None, place
    for name in (place, beside_script):
        if name in beside.allowed:
            return name, place
    return None, place


def _there(one: FileRead, folder: str, beside: Beside) -> str | None:
    """The file of the folder that is meant, whether it is allowed or not."""
    path = one.path or ""
    names = (posixpath.normpath(path), posixpath.normpath(posixpath.join(folder, path)))
    return next((name for name in names if name in beside.there), None)


def _missing(one: FileRead, file: str, line: int, folder: str, beside: Beside) -> PsqlScriptError:
    path = one.path or ""
    there = _there(one, folder, beside)
    if there is not None:
        problem = f"{one.shown} reads another file, {path}, which the folder does not allow"
        remedy = f"Name it in {LIST} of the migrations folder, a line: {there}"
    else:
        problem = (
            f"{one.shown} reads another file, {path}, which the migration's checksum would not "
            "cover: the folder has no such file"
        )
        remedy = f"Put the file there, and name it in {LIST}; paths are relative to the folder"
        remedy += "; or write the other file's text in its place" if one.script else ""
    return PsqlScriptError(file, line, problem, remedy)


def checksum_with(checksum: str, files: Sequence[SourceFile]) -> str:
    """The checksum of a section that reads these; its own where it reads none."""
    if not files:
        return checksum
    hashed = hashlib.sha256(checksum.encode())
    for one in files:
        digest = _digest(one)
        hashed.update(f"\n{len(one.name.encode())} {one.name} {digest}".encode())
    return hashed.hexdigest()


def _digest(file: SourceFile) -> str:
    """The SHA-256, in hex, of what counts of a file beside a script, whatever ends its lines."""
    if file.name.lower().endswith(".sql"):
        return checksum_of(file.content)
    is_text = b"\0" not in file.content
    content = file.content.replace(b"\r\n", b"\n") if is_text else file.content
    return hashlib.sha256(content).hexdigest()


def carrying(migration: Migration) -> Migration:
    """The migration with what its scripts read among its files, each once."""
    sections = (migration.up, migration.down, migration.verify)
    programs = [one.program for one in sections if one is not None and one.program is not None]
    beside = {f"{MARK}{one.name}": one for program in programs for one in program.files}
    if not beside:
        return migration
    for program in programs:
        for one in program.files:
            if beside[f"{MARK}{one.name}"].content != one.content:
                raise PsqlScriptError(
                    program.file, 1, f"{one.name} is another file for another script of it",
                    "Give the two files different names",
                )  # fmt: skip
    own = tuple(one for one in migration.files if not one.name.startswith(MARK))
    carried = tuple(replace(one, name=name) for name, one in sorted(beside.items()))
    return replace(migration, files=own + carried)
