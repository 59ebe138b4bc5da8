"""A folder of migrations, read and ordered.

Which files count is the format's to say (`claims`); hidden files and folders never do, links to
folders are not followed, and a link that leads nowhere is an error. A file that looks like a
migration and whose name carries no version is an error, never skipped.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from migrations.errors import FileNameError, FolderError
from migrations.formats import AS_IT_IS, Format, Reading
from migrations.formats.beside import LIST, MARK, Beside, allowed_in, carrying
from migrations.formats.detect import by_name, choose
from migrations.formats.foreign_tools import refuse_unread
from migrations.formats.merge import together
from migrations.formats.multi_folder import ONE_LIST, folders_of, in_one, prefixes
from migrations.formats.naming import SUFFIX, in_folder
from migrations.formats.native import is_ours
from migrations.formats.registry import FORMS_OF_OURS, GUESSED, MODULES, OURS, PLAIN, READERS
from migrations.formats.section_lines import refuse_hidden_downs
from migrations.gc_tuning import without_collector
from migrations.model.migration import Migration, SourceFile
from migrations.model.phases import check_units
from migrations.model.version import NAME_REMEDY, VERSION_MOST
from migrations.printable import PROBLEM, escaped, is_safe

FILE_MAX_BYTES = 60 * 2**20
"""Of one file: a leader sends it whole, and an agent's memory for texts is 64 MiB at first."""


@dataclass(frozen=True)
class Bundle:
    """Migrations in running order, each version once."""

    migrations: tuple[Migration, ...]


def load_folder(path: Path, format: str | None = None, reading: Reading = AS_IT_IS) -> Bundle:
    """Read every migration of a folder; the format is found by its marks unless it is named.

    Python modules with a version in their names belong to it, whatever the format, and so do files
    of our own format among those of another. Several folders, joined as in a PATH, are one history
    (`migrations.formats.multi_folder`). Raises LoadError, whose `file` is relative to the folder.
    """
    with without_collector():
        return _loaded(folders_of(path), format, reading)


def _loaded(paths: Sequence[Path], format: str | None, reading: Reading) -> Bundle:
    folders = [_Folder(one) for one in paths]
    readers = [_reader(folder, format) for folder in folders]
    if len(paths) > 1 and all(reader.name in ONE_LIST for reader in readers):
        joined = _Joined(prefixes(paths), folders)
        migrations = _migrations(joined, readers[0], reading)
    else:
        loaded = [
            _migrations(folder, reader, reading)
            for folder, reader in zip(folders, readers, strict=True)
        ]
        migrations = in_one(list(zip(paths, loaded, strict=True)))
    check_units(migrations)
    refuse_hidden_downs(migrations)
    for one in migrations:
        check_name(f"{one.version} {one.name}")
        _check_length(one)
    return Bundle(tuple(migrations))


def _check_length(migration: Migration) -> None:
    """Raise FileNameError for a version that the ledger cannot keep, or stands for such a one."""
    longest = max((migration.version, *(migration.replaces or ())), key=len)
    if len(longest) > VERSION_MOST:
        raise FileNameError(
            migration.files[0].name,
            None,
            f"it has a version of {len(longest):,} characters, and {VERSION_MOST} is the most",
            "Give it a shorter name, in folders with shorter names",
        )


def _reader(folder: _Folder, format: str | None) -> Format:
    known = READERS if format else GUESSED
    found = choose(known, format, folder.names, folder.read, folder.place, beside=OURS)
    if format is None and found in (GUESSED[0], PLAIN):
        refuse_unread(folder.names, folder.read)
    return found


def _migrations(folder: _Folder | _Joined, reader: Format, reading: Reading) -> list[Migration]:
    reading = replace(reading, beside=folder.beside)
    modules = folder.modules()
    files = [] if reader is MODULES else folder.read(reader.claims(folder.names))
    if not files and not modules:
        raise FolderError(
            folder.place,
            None,
            "the folder holds no .sql file",
            f"{NAME_REMEDY}; files in subfolders are not searched",
        )
    ours = set() if reader in FORMS_OF_OURS else {file.name for file in files if is_ours(file)}
    own = [file for file in files if file.name in ours]
    rest = [file for file in files if file.name not in ours]
    loaded = together(reader.load(rest, reading) if rest else [], OURS.load(own, reading))
    return list(map(carrying, together(loaded, MODULES.load(modules, reading))))


def load_files(
    format: str,
    files: Sequence[SourceFile],
    *,
    version: str = "",
    name: str = "",
    reading: Reading = AS_IT_IS,
) -> Migration:
    """Build one migration again from its own files, as they were hashed. Raises LoadError."""
    for part in (version, name, *(file.name for file in files)):
        check_name(part)
    for file in files:
        _check_inside(file.name)
    own = [file for file in files if not file.name.startswith(MARK)]
    carried = [file for file in files if file.name.startswith(MARK)]
    if carried:
        reading = replace(reading, beside=Beside.carried(carried))
    place = own[0].name if own else format
    return carrying(by_name(READERS, format, place).rebuild(version, name, own, reading))


def format_of(path: Path) -> str:
    """The format that a folder is read in; ours where there is none. Raises LoadError."""
    if not path.is_dir():
        return GUESSED[0].name
    return _reader(_Folder(path), None).name


class _Folder:
    """The files of a folder: their names at once, their bytes when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes: dict[str, SourceFile] = {}
        self.place = str(path)
        there = sorted(_tree(path, ""))
        for name in there:
            check_name(name)
        listed = allowed_in(there, self._one(LIST)) if LIST in there else frozenset()
        # What scripts read is no migration, whatever it is called.
        self.names = [name for name in there if name not in listed and name != LIST]
        self.beside = Beside(listed, frozenset(there), lambda name: self._one(name).content)

    def read(self, names: Sequence[str]) -> list[SourceFile]:
        """Files with their bytes, each read once. Raises LoadError."""
        return [self._one(name) for name in names]

    def modules(self) -> list[SourceFile]:
        """Its Python modules. Raises LoadError."""
        return self.read(MODULES.claims(self.names))

    def _one(self, name: str) -> SourceFile:
        if name not in self._bytes:
            self._bytes[name] = read_source(self._path, name)
        return self._bytes[name]


class _Joined:
    """Several folders as the subfolders of one; `prefixes` are their names in it."""

    def __init__(self, prefixes: Sequence[str], folders: Sequence[_Folder]) -> None:
        self._folders = dict(zip(prefixes, folders, strict=True))
        self._parts = {
            f"{prefix}/{name}": (prefix, name)
            for prefix, folder in self._folders.items()
            for name in folder.names
        }
        self.names = sorted(self._parts)
        self.beside = _joined_beside(self._folders)
        self.place = os.pathsep.join(folder.place for folder in folders)

    def read(self, names: Sequence[str]) -> list[SourceFile]:
        """Files with their bytes. Raises LoadError."""
        parts = [self._parts[name] for name in names]
        return [
            replace(file, name=f"{prefix}/{name}")
            for prefix, name in parts
            for file in self._folders[prefix].read([name])
        ]

    def modules(self) -> list[SourceFile]:
        """The Python modules of all folders. Raises LoadError."""
        return [
            replace(file, name=f"{prefix}/{file.name}")
            for prefix, folder in self._folders.items()
            for file in folder.modules()
        ]


def _joined_beside(folders: Mapping[str, _Folder]) -> Beside:
    def named(names: Callable[[_Folder], Iterable[str]]) -> frozenset[str]:
        return frozenset(
            f"{prefix}/{name}" for prefix, folder in folders.items() for name in names(folder)
        )

    def read(name: str) -> bytes:
        prefix = next(one for one in folders if name.startswith(f"{one}/"))
        return folders[prefix].beside.read(name.removeprefix(f"{prefix}/"))

    return Beside(
        named(lambda folder: folder.beside.allowed), named(lambda folder: folder.beside.there), read
    )


def _tree(path: Path, prefix: str) -> Iterator[str]:
    """Every name below `path`; links to folders are not followed, hidden ones are left out."""
    try:
        with os.scandir(path) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        place = prefix.rstrip("/") or str(path)
        remedy = "Name a readable folder"
        if isinstance(error, FileNotFoundError):
            remedy = "Name the folder that holds them, or begin one with `ledger create`"
        raise FolderError(place, None, f"cannot be listed ({error.strerror})", remedy) from None
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            below = list(_tree(Path(entry.path), f"{prefix}{entry.name}/"))
            # A folder with the name of a migration is one that somebody expects to be read, unless
            # the migration is in it.
            if entry.name.lower().endswith(SUFFIX) and not any(map(in_folder, below)):
                yield prefix + entry.name
            yield from below
        else:
            yield prefix + entry.name


def read_source(folder: Path, name: str) -> SourceFile:
    """One file of a folder; no link out of it is followed. Raises FolderError, FileNameError."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise FileNameError(shown, None, "the file name is not UTF-8", NAME_REMEDY) from None
    try:
        # Plain calls: path objects take as long as reading the file.
        path = os.path.join(folder, name)
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            path = _inside(folder, path, name)
            kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):
            raise FolderError(
                name,
                None,
                "is named like a migration and is not a file",
                "Rename or remove it; a symbolic link must lead to a file",
            )
        # Whatever was put in its place meanwhile is neither followed nor waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise FolderError(
            name,
            None,
            f"cannot be read ({error.strerror})",
            "Make it readable, or remove it",
        ) from None
    if len(content) > FILE_MAX_BYTES:
        raise FolderError(
            name,
            None,
            f"is larger than {FILE_MAX_BYTES:,} bytes, which are all that is kept and sent",
            "Split it into several files, or load what it holds outside of the migrations",
        )
    return SourceFile(name, content.removeprefix(codecs.BOM_UTF8))


def _inside(folder: Path, path: str, name: str) -> str:
    """Where a link leads. Raises FolderError if that is out of the folder."""
    root, found = os.path.realpath(folder), os.path.realpath(path)
    if os.path.commonpath((root, found)) != root:
        raise FolderError(
            name,
            None,
            "is a symbolic link that leads out of the folder",
            "Put the file itself in its place: what is registered is sent and kept for ever",
        )
    return found


def _check_inside(name: str) -> None:
    """Raise FileNameError for a name that leads out of its folder: whoever registered it lies."""
    path = name.removeprefix(MARK)
    if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise FileNameError(
            escaped(name), None, "the name leads out of the folder", "Name a file in the folder"
        )


def check_name(name: str) -> None:
    """Raise FileNameError for a name that could deceive whoever reads it."""
    if not is_safe(name):
        raise FileNameError(escaped(name), None, f"the name {PROBLEM}", "Give it another name")
