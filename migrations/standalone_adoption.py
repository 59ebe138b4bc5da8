"""One database without a ledger: adopting, seeing what would be adopted, repairing, settling.

What `ledger db` does with histories. Changes go through `migrations.runner` like all others, so a
database that belongs to a ledger is refused here too unless that is allowed with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrations.adoption.history_tables import history_for
from migrations.adoption.match import Match, match, up_to
from migrations.chance import SYSTEM_CHANCE
from migrations.errors import AdoptionRefused
from migrations.inspection import Inspection, inspect
from migrations.model.attempt import Adoption, Epoch, Limits, Mode, Resolution, Verdict
from migrations.model.foreign_history import ForeignHistory
from migrations.model.migration import Migration
from migrations.model.work import BASELINE, Outcome, Repair, Silence, Work
from migrations.runner import run
from migrations.running.plan import applied_versions, half_done, in_doubt, is_text_of
from migrations.standalone import Outside
from migrations.target.look import become_registered, looking
from migrations.target.session import ConnectionSettings, close_session, open_session

APPLICATION_NAME = "migration-ledger look"
"""What `pg_stat_activity` shows."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an adoption would find; `history` is `None` for a baseline."""

    history: ForeignHistory | None
    match: Match
    known: frozenset[str] = frozenset()
    """Versions that our own journal holds for applied already."""


async def preview(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    adoption: Adoption,
    *,
    target: str = "",
) -> Preview:
    """What `adopt` would find, over a read-only session that needs no more than SELECT.

    Raises Unreachable and AdoptionRefused.
    """
    found = await inspect(settings, target)
    known = frozenset(applied_versions(found.entries))
    if adoption.source == BASELINE:
        return Preview(None, up_to(migrations, adoption.through), known)
    connection = await open_session(
        settings, application_name=APPLICATION_NAME, target=target, read_only=True
    )
    try:
        await become_registered(connection, settings.role)
        async with looking(connection, as_the_script=True):
            history = await history_for(connection, adoption)
    finally:
        await close_session(connection)
    matched = match(
        history, migrations, through=adoption.through, accept_missing=adoption.accept_missing
    )
    return Preview(history, matched, known)


async def adopt(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    adoption: Adoption,
    limits: Limits,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Take over what `adoption` rests on, in one transaction; nothing is run."""
    work = replace(
        _work(migrations, target, outside.reason if outside else ""),
        mode=Mode.ADOPT,
        adoption=adoption,
    )
    return await run(settings, work, limits, Silence(), allow_outside=outside is not None)


async def accept_changed(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    version: str,
    reason: str,
    limits: Limits,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Take the up section that the folder has now for the one that was applied.

    Raises AdoptionRefused when there is nothing to accept.
    """
    found = await inspect(settings, target)
    if found.failure is not None:
        return _failed(found)
    entry = applied_versions(found.entries).get(version)
    migration = next((one for one in migrations if one.version == version), None)
    if migration is None or entry is None or entry.up_checksum is None:
        raise AdoptionRefused(
            f"{version} is not both in the folder and applied here; see `ledger db status`"
        )
    if is_text_of(entry, migration):
        raise AdoptionRefused(f"{version} has not changed since it was applied")
    word = Repair(version, (entry.up_checksum,), reason)
    work = replace(_work((), target, reason), migrations=(migration,), repairs=(word,))
    return await run(settings, work, limits, Silence(), allow_outside=outside is not None)


async def accept_gone(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    version: str,
    reason: str,
    limits: Limits,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Note that the file of an applied migration is gone on purpose.

    Raises AdoptionRefused when it is not applied, or not gone.
    """
    found = await inspect(settings, target)
    if found.failure is not None:
        return _failed(found)
    entry = applied_versions(found.entries).get(version)
    if entry is None or any(one.version == version for one in migrations):
        raise AdoptionRefused(
            f"{version} is not applied here without a file; see `ledger db status`"
        )
    word = Repair(version, (), reason, gone=True)
    work = replace(_work((), target, reason), repairs=(word,))
    return await run(settings, work, limits, Silence(), allow_outside=outside is not None)


async def resolve(
    settings: ConnectionSettings,
    migrations: Sequence[Migration],
    word: Resolution,
    limits: Limits,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> Outcome:
    """Write a person's word on a migration whose state is unknown, or that is half done.

    Raises AdoptionRefused when it is neither.
    """
    found = await inspect(settings, target)
    if found.failure is not None:
        return _failed(found)
    if word.version not in {*in_doubt(found.entries), *half_done(found.entries)}:
        raise AdoptionRefused(
            f"{word.version} is not in doubt here, and not half done; see `ledger db status`"
        )
    # What counts as applied is known by the checksum of its file; what is not would be run.
    named = tuple(one for one in migrations if word.applied and one.version == word.version)
    work = replace(_work(named, target, word.reason), resolutions=(word,))
    return await run(settings, work, limits, Silence(), allow_outside=outside is not None)


def _work(migrations: Sequence[Migration], target: str, reason: str) -> Work:
    # Without an owner the stored epoch stays as it is, whatever this one says.
    return Work(
        command_id=SYSTEM_CHANCE.uuid(),
        rollout="",
        epoch=Epoch(0, 0),
        mode=Mode.UP,
        migrations=tuple(migrations),
        target=target,
        reason=reason,
    )


def _failed(found: Inspection) -> Outcome:
    """A look that found out nothing, as an outcome."""
    return Outcome(Verdict.FAILED, (), found.identity, found.journal_head, found.failure)
