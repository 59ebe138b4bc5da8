"""One database without a ledger: what the commands of `ledger db` do, for development.

The journal is the same, with an empty rollout. On a database that belongs to a fleet, changes are
refused unless they are allowed with a reason; the ledger's next contact then makes events of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.errors import OtherHistory, RunError
from migrations.inspection import Inspection, glance
from migrations.model.attempt import Backup, Epoch, Failure, Limits, Mode, Verdict
from migrations.model.baselines import gap, gaps, set_aside, standing_for
from migrations.model.folder_history import FolderHistory, journal_key
from migrations.model.migration import Language, Migration
from migrations.model.ordering import late
from migrations.model.phases import Phase
from migrations.model.preflight import PreflightPolicy, PreflightResult
from migrations.model.work import Observer, Outcome, Work
from migrations.preflight.preflight import ask_by_itself
from migrations.preflight.touched_tables import touched_by
from migrations.runner import run
from migrations.running.other_history import is_of_one_history, name_in, refuse_folder
from migrations.running.plan import (
    Execute,
    applied_versions,
    changed,
    half_done,
    in_doubt,
    is_text_of,
    plan,
)
from migrations.target.entries import GONE, Entry
from migrations.target.failure import from_error
from migrations.target.refusals import way_out
from migrations.target.session import DRIVER_ERRORS, ConnectionSettings
from migrations.verify_applied import Verification, verify

__all__ = [
    "FolderStatus",
    "Outside",
    "Standing",
    "StatusLine",
    "Verification",
    "down",
    "preflight",
    "status",
    "up",
    "verify",
]


class Standing(StrEnum):
    """How a migration stands on a database."""

    APPLIED = "applied"
    CHANGED = "changed"
    """Applied with another up section than the file has now."""
    PENDING = "pending"
    HALF_DONE = "half done"
    IN_DOUBT = "in doubt"
    """Nothing can tell whether it is applied: a person has to say."""
    HELD_BACK = "held back"
    """Not applied, and a phase that goes only when it is asked for."""
    COVERED = "covered"
    """Need not run here: a baseline stands in its place, or it is one for other databases."""
    LATE = "late"
    """Pending, and older than something that is applied."""
    MISSING = "missing"
    """Applied, and not among the files."""
    GONE = "gone"
    """Applied, not among the files, and accepted as such: by `ledger db repair`, or by a baseline.
    """


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One migration's standing; `at`, `rollout` and `note` of the entry that says so.

    `problem` says what is wrong with it, with the choices.
    """

    version: str
    name: str
    standing: Standing
    at: datetime | None = None
    rollout: str = ""
    note: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """The standing of every migration, files first; `failure` when the database cannot be asked."""

    lines: tuple[StatusLine, ...]
    owner: str = ""
    failure: Failure | None = None
    backups: tuple[Backup, ...] = ()
    in_use: str = ""
    """Why nothing would be applied, when somebody goes on with the tool that was adopted."""
    warnings: tuple[str, ...] = ()
    """What in the database reaches our tables, and is no reason to stop."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Leave to change a database that belongs to a ledger, and why."""

    reason: str


async def journal_of(
    settings: ConnectionSettings, schema: str, name: str, folder: FolderHistory | None = None
) -> str:
    """The key of the journal that the history of this name has in a database.

    Its own, if there is one; the one that goes by the schema alone, if it is of this history, or
    nobody's yet; else one of its own, which does not exist yet.
    """
    own, plain = journal_key(schema, name), journal_key(schema)
    if (await glance(settings, own)).record is not None:
        return own
    if folder is None:
        return plain
    found = await glance(settings, plain)
    if found.record is None:
        return plain
    entries = found.record.entries
    begun_as = name_in(entries)
    ours = begun_as == name or is_of_one_history(folder, entries)
    nobodys = not begun_as and not applied_versions(entries)
    return plain if ours or nobodys else own


async def up(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    limits: Limits,
    observer: Observer,
    *,
    target: str = "",
    outside: Outside | None = None,
    out_of_order: bool = False,
    programs: frozenset[Language] = frozenset(),
    psql_shell: bool = False,
    folder: FolderHistory | None = None,
) -> Outcome:
    """Apply what is not applied yet, in the order given."""
    work = replace(_work(Mode.UP, migrations, target, outside), out_of_order=out_of_order)
    work = replace(work, programs=programs, psql_shell=psql_shell, folder=folder)
    return await run(settings, work, limits, observer, allow_outside=outside is not None)


async def down(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    limits: Limits,
    observer: Observer,
    *,
    count: int = 1,
    target: str = "",
    outside: Outside | None = None,
    programs: frozenset[Language] = frozenset(),
    psql_shell: bool = False,
    folder: FolderHistory | None = None,
) -> Outcome:
    """Undo the newest `count` of the given migrations that are applied or half done."""
    found = await glance(settings, target)
    if found.failure is not None:
        return Outcome(Verdict.FAILED, (), found.identity, found.journal_head, found.failure)
    there = {*applied_versions(found.entries), *half_done(found.entries)}
    # A repeatable one without a down section has nothing to go back to.
    back = [item for item in migrations if not item.repeatable or item.down is not None]
    newest = [item for item in reversed(back) if item.version in there][:count]
    work = _work(Mode.DOWN, newest, target, outside)
    work = replace(work, programs=programs, psql_shell=psql_shell, folder=folder)
    return await run(settings, work, limits, observer, allow_outside=outside is not None)


async def preflight(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    policy: PreflightPolicy,
    *,
    target: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[PreflightResult, ...] | Failure:
    """What every check says before what is pending is applied, or why it cannot; read-only."""
    found = await glance(settings, target)
    if found.failure is not None:
        return found.failure
    work = _work(Mode.UP, migrations, target, None)
    runs = [one for one in plan(work, found.entries) if isinstance(one, Execute)]
    touched = touched_by(one.section for one in runs)
    try:
        return await ask_by_itself(settings, target, policy, touched, clock)
    except (RunError, *DRIVER_ERRORS) as error:
        return from_error(error)


async def status(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    *,
    target: str = "",
    folder: FolderHistory | None = None,
) -> FolderStatus:
    """How each migration stands; read-only."""
    found = await glance(settings, target)
    if found.failure is not None:
        return FolderStatus((), found.owner, found.failure)
    if folder is not None and (other := _of_another(found, folder)) is not None:
        return FolderStatus((), found.owner, from_error(other))
    return FolderStatus(
        _lines(found, migrations),
        found.owner,
        backups=found.backups,
        in_use=found.in_use,
        warnings=found.warnings,
    )


async def refuse_another(settings: ConnectionSettings, target: str, folder: FolderHistory) -> None:
    """Raise OtherHistory for a folder that has nothing in common with what is applied there.

    In front of what would take its word for what is there. A database that cannot be asked says so
    itself then.
    """
    other = _of_another(await glance(settings, target), folder)
    if other is not None:
        raise other


def _of_another(found: Inspection, folder: FolderHistory) -> OtherHistory | None:
    try:
        if found.record is not None:
            refuse_folder(folder, found.record.entries)
    except OtherHistory as error:
        return error
    return None


def _work(
    mode: Mode, migrations: Sequence[Migration], target: str, outside: Outside | None
) -> Work:
    # Without an owner the stored epoch stays as it is, whatever this one says.
    return Work(
        command_id=SYSTEM_CHANCE.uuid(),
        rollout="",
        epoch=Epoch(0, 0),
        mode=mode,
        migrations=tuple(migrations),
        target=target,
        reason=outside.reason if outside else "",
    )


def _lines(found: Inspection, migrations: Sequence[Migration]) -> tuple[StatusLine, ...]:
    applied = applied_versions(found.entries)
    begun = {one.version for one in found.half_done if not one.doubtful}
    doubtful = in_doubt(found.entries)
    messages = late(migrations, applied)
    there = {*applied, *begun, *doubtful}
    aside = set_aside(migrations, there)
    messages |= {
        version: gap(version, lacking) for version, lacking in gaps(migrations, there).items()
    }
    lines = [
        _doubtful(migration)
        if migration.version in doubtful
        else _covered(migration, aside[migration.version])
        if migration.version in aside
        else _line(
            migration, applied.get(migration.version), messages, begun=migration.version in begun
        )
        for migration in migrations
    ]
    known = {migration.version for migration in migrations}
    lines += [
        _missing(entry, standing_for(migrations, version))
        for version, entry in applied.items()
        if version not in known
    ]
    return tuple(lines)


def _doubtful(migration: Migration) -> StatusLine:
    problem = f"an earlier attempt left its state unknown; {way_out(migration.version)}"
    return StatusLine(migration.version, migration.name, Standing.IN_DOUBT, problem=problem)


def _covered(migration: Migration, reason: str) -> StatusLine:
    return StatusLine(migration.version, migration.name, Standing.COVERED, note=reason)


def _line(
    migration: Migration, entry: Entry | None, messages: Mapping[str, str], *, begun: bool
) -> StatusLine:
    if begun:
        return StatusLine(migration.version, migration.name, Standing.HALF_DONE)
    if entry is None:
        problem = messages.get(migration.version, "")
        waits = Standing.HELD_BACK if migration.phase == Phase.CONTRACT else Standing.PENDING
        standing = Standing.LATE if problem else waits
        return StatusLine(migration.version, migration.name, standing, problem=problem)
    same = is_text_of(entry, migration)
    if not same and migration.repeatable:
        return StatusLine(migration.version, migration.name, Standing.PENDING)
    return StatusLine(
        migration.version,
        migration.name,
        Standing.APPLIED if same else Standing.CHANGED,
        entry.finished_at,
        entry.rollout,
        entry.note,
        "" if same else changed(migration.version),
    )


def _missing(entry: Entry, baseline: str | None) -> StatusLine:
    """An applied version without a file; none is missed that a `baseline` stands for."""
    gone = entry.direction == GONE or baseline is not None
    return StatusLine(
        entry.migration,
        "",
        Standing.GONE if gone else Standing.MISSING,
        entry.finished_at,
        entry.rollout,
        entry.note,
        "" if gone else missing(entry.migration),
    )


def missing(version: str) -> str:
    """What to say of an applied migration that the folder does not have."""
    return (
        "applied here, and no file of the folder has it; restore the file, or accept that it is "
        f"gone with `ledger db repair {version} --gone --reason WHY`"
    )
