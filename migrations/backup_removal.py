"""Taking away what data migrations saved in one database, by a person's word."""

from __future__ import annotations

from collections.abc import Collection

from migrations.chance import SYSTEM_CHANCE
from migrations.inspection import glance
from migrations.model.attempt import Backup, Epoch, Failure, FailureClass, Limits, Mode, Verdict
from migrations.model.work import Outcome, Silence, Work
from migrations.runner import run
from migrations.running.plan import half_done
from migrations.standalone import Outside
from migrations.target.session import ConnectionSettings


async def drop_backups(
    settings: ConnectionSettings,
    versions: Collection[str],
    limits: Limits,
    *,
    target: str = "",
    outside: Outside | None = None,
) -> tuple[tuple[Backup, ...], Outcome]:
    """Drop what these migrations saved, or every backup for no version: what went, and how.

    A backup of a migration that is half done stays: its way back needs it. Naming such a version,
    or one without a backup, is a refusal, and nothing is dropped.
    """
    found = await glance(settings, target)
    if found.failure is not None:
        failed = Outcome(Verdict.FAILED, (), found.identity, found.journal_head, found.failure)
        return (), failed
    begun = half_done(found.entries)
    free = tuple(backup for backup in found.backups if backup.version not in begun)
    wanted = set(versions) or {backup.version for backup in free}
    if missing := sorted(wanted - {backup.version for backup in free}):
        why = "is half done" if missing[0] in begun else "has no backup here"
        failure = Failure(
            FailureClass.DATA, f"{missing[0]} {why}; `ledger db status` shows the backups"
        )
        refused = Outcome(Verdict.REFUSED, (), found.identity, found.journal_head, failure)
        return (), refused
    # Without an owner the stored epoch stays as it is, whatever this one says.
    work = Work(
        command_id=SYSTEM_CHANCE.uuid(),
        rollout="",
        epoch=Epoch(0, 0),
        mode=Mode.DOWN,
        migrations=(),
        target=target,
        reason=outside.reason if outside else "",
        drops=frozenset(wanted),
    )
    outcome = await run(settings, work, limits, Silence(), allow_outside=outside is not None)
    gone = () if outcome.failure else tuple(b for b in free if b.version in wanted)
    return gone, outcome
