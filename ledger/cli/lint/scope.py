"""Which migrations are judged: those that some database lacks, that a branch adds, or all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ledger.cli.app.command import flags_of, opened
from ledger.cli.app.help_page import WHICH_MIGRATIONS
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.options import MIGRATIONS, FolderOption, FormatOption, VarOption
from ledger.cli.app.variables import declared
from ledger.domain.wording import number_of
from ledger.errors import LedgerError, WrongArgument
from migrations.printable import escaped

if TYPE_CHECKING:
    from migrations.lint.finding import LargestTable
    from migrations.model.migration import Migration


@dataclass(frozen=True, slots=True)
class JudgedOptions(OptionGroup):
    """What is read, and what of it is judged."""

    HEADING: ClassVar = WHICH_MIGRATIONS

    folder: FolderOption = MIGRATIONS
    format: FormatOption = None
    var: VarOption = None
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Judge every file, each as if those before it were applied long ago."
        ),
    ] = False
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="REF", help="Judge what changed since this commit or branch of git."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """A folder, and the files of it that were named; none means whatever is pending."""

    folder: Path
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The versions that are judged, and how that was decided, in a sentence.

    With `together` they meet databases one after the other and at once; else each meets a database
    that has had those before it for long.
    """

    versions: frozenset[str]
    together: bool
    said: str
    silent: bool = False
    """Whether a ledger is named that could not be asked."""


def place_of(paths: Sequence[Path], folder: Path) -> NamedFiles:
    """What the command line names: a folder, or files of one. Raises `WrongArgument`."""
    if not paths:
        return NamedFiles(folder)
    if len(paths) == 1 and (paths[0].is_dir() or os.pathsep in str(paths[0])):
        return NamedFiles(paths[0])
    for one in paths:
        if not one.is_file():
            what = f"there is no file {escaped(str(one))}"
            if one.is_dir():
                what = f"{escaped(str(one))} is a folder, and stands beside others"
            raise WrongArgument(f"{what}; name one folder, or files of one folder")
    resolved = [one.resolve() for one in paths]
    home = folder.resolve()
    if not all(home in one.parents for one in resolved):
        folders = {one.parent for one in resolved}
        if len(folders) > 1:
            raise WrongArgument(
                "the files stand in several folders; name the folder of the history with --folder"
            )
        folder, home = paths[0].parent, folders.pop()
    return NamedFiles(folder, tuple(one.relative_to(home).as_posix() for one in resolved))


def shown_path(folder: Path, file: str) -> str:
    """A file of the folder as seen from where the program was started, for editors and pages."""
    from migrations.formats.multi_folder import folders_of, prefixes

    folders = folders_of(folder)
    if file == str(folder):
        return file
    if len(folders) == 1:
        return Path(os.path.normpath(folder / file)).as_posix()
    for prefix, one in zip(prefixes(folders), folders, strict=True):
        if file.startswith(f"{prefix}/"):
            return Path(os.path.normpath(one / file.removeprefix(f"{prefix}/"))).as_posix()
    return file


async def scope_of(
    ctx: typer.Context, place: NamedFiles, migrations: Sequence[Migration], which: JudgedOptions
) -> Scope:
    """What is judged of the folder's migrations.

    Raises `WrongArgument` for a commit that git does not know, and a file that is no migration.
    """
    whole = frozenset(one.version for one in migrations)
    count = number_of(len(whole), "migration")
    if which.every:
        return Scope(
            whole, False, f"all of {count}, each as if those before it were applied long ago"
        )
    if place.files:
        return _named(place, migrations)
    if which.since is not None:
        return await _since(which.since, place.folder, migrations)
    if flags_of(ctx).load().settings.database_url is None:
        said = (
            f"all of {count}: no ledger is named that knows which are applied; --since REF judges "
            "what a branch adds, --all each by itself"
        )
        return Scope(whole, True, said)
    return await _pending(ctx, place.folder, whole, which)


async def sizes_of(
    ctx: typer.Context, migrations: Sequence[Migration], scope: Scope, limit_mb: float
) -> dict[str, LargestTable]:
    """How large tables of the fleet are that judged migrations touch, where a ledger can say so."""
    from ledger.domain.refusals import RequestRefusal
    from migrations.preflight.touched_tables import touched_by

    if scope.silent or flags_of(ctx).load().settings.database_url is None:
        return {}
    judged = [one.up for one in migrations if one.version in scope.versions]
    names = [one.name for one in touched_by(judged).tables]
    if not names:
        return {}
    try:
        async with opened(ctx) as session:
            fleet = await session.ledger.fleet.state()
            active = [name for name, one in fleet.databases.items() if one.active]
            return await session.ledger.checks.table_sizes(names, active, limit_mb)
    except (LedgerError, RequestRefusal):
        # What is judged without them is what the text alone says.
        return {}


def _named(place: NamedFiles, migrations: Sequence[Migration]) -> Scope:
    found = {one.version for one in migrations for file in one.files if file.name in place.files}
    known = {file.name for one in migrations for file in one.files}
    for name in place.files:
        if name not in known:
            raise WrongArgument(
                f"{escaped(name)} is no migration of {escaped(str(place.folder))}; name one that is"
            )
    are = "is" if len(found) == 1 else "are"
    said = f"{number_of(len(found), 'migration')} that {are} named"
    return Scope(frozenset(found), True, said)


async def _since(ref: str, folder: Path, migrations: Sequence[Migration]) -> Scope:
    from ledger.service.commit import ask_git
    from migrations.formats.multi_folder import folders_of, prefixes

    folders = folders_of(folder)
    # As `--end-of-options` does, for older ones: what begins with a dash is no name of a commit.
    base = None
    if not ref.startswith("-"):
        base = await ask_git(folders[0], "merge-base", ref, "HEAD")
    if base is None:
        raise WrongArgument(
            f"git knows no commit {escaped(ref)!r} that this one comes from in "
            f"{escaped(str(folders[0]))}; fetch it first, or name another with --since"
        )
    changed: set[str] = set()
    for prefix, one in zip(prefixes(folders), folders, strict=True):
        lead = f"{prefix}/" if len(folders) > 1 else ""
        for asked in (
            ("diff", "--name-only", "-z", "--no-renames", "--relative", base.strip(), "--", "."),
            ("ls-files", "--others", "--exclude-standard", "-z", "--", "."),
        ):
            listed = await ask_git(one, *asked)
            if listed is None:
                raise WrongArgument(
                    f"git does not say what changed in {escaped(str(one))}; name the files, or "
                    "judge them --all"
                )
            changed |= {lead + name for name in listed.split("\0") if name}
    found = {one.version for one in migrations if any(file.name in changed for file in one.files)}
    said = f"{number_of(len(found), 'migration')} that changed since {escaped(ref)}"
    return Scope(frozenset(found), True, said)


async def _pending(
    ctx: typer.Context,
    folder: Path,
    whole: frozenset[str],
    which: JudgedOptions,
) -> Scope:
    """What some database of the fleet lacks; everything where nobody can say."""
    from ledger.domain.refusals import RequestRefusal

    count = number_of(len(whole), "migration")
    try:
        async with opened(ctx) as session:
            variables = declared(which.var, session.settings)
            found = await session.ledger.rollouts.lacking(folder, which.format, variables)
    except (LedgerError, RequestRefusal) as why:
        return Scope(
            whole,
            True,
            f"all of {count}, for the ledger cannot say what is applied: {why}",
            silent=True,
        )
    versions = frozenset(found) & whole
    said = f"{number_of(len(versions), 'migration')} of {len(whole):,} that some database lacks"
    return Scope(versions, True, said)
