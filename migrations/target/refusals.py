"""Why nothing of a migration may be believed: what the guards of a target say in words."""

from __future__ import annotations

import asyncpg

from migrations.errors import (
    GuardsReset,
    JournalTouched,
    LockLost,
    RunError,
    StaleEpoch,
    TransactionEnded,
)
from migrations.model.attempt import Epoch
from migrations.model.folder_history import JOURNAL_SCHEMA


def stale_epoch(epoch: Epoch) -> StaleEpoch:
    """The refusal of an order that is older than the last one seen here."""
    return StaleEpoch(
        f"a later order than {epoch.term}.{epoch.position} was here before, so this one must not "
        "run any more"
    )


def transaction_ended() -> TransactionEnded:
    """The refusal of a script that ended the transaction it ran in."""
    return TransactionEnded(
        "the script ended the transaction that guards it, so that parts of it may be committed; "
        "take COMMIT and ROLLBACK out of it"
    )


def guards_reset() -> GuardsReset:
    """The refusal of a script after which its transaction is not known for the guarded one."""
    return GuardsReset(
        "the script reset the settings that guard its transaction, or rolled it back; nothing of "
        "it is committed; take RESET ALL, set_config() of our own settings and ROLLBACK out of it"
    )


def made_meanwhile() -> LockLost:
    """The refusal of a first contact where somebody else was faster."""
    return LockLost(
        f"somebody made the schema {JOURNAL_SCHEMA} meanwhile: another migrator for a schema of "
        "this database, then order this again; or somebody else, who is named then"
    )


def way_out(version: str, owner: str = "") -> str:
    """How a person settles what is in doubt; `owner` is the ledger that asked for the work."""
    one = f"`ledger db resolve {version} --applied --reason WHY`"
    of_a_fleet = f"`ledger resolve DATABASE {version} --applied --reason WHY`"
    command = of_a_fleet if owner else one
    return f"look at the database, then say what you see there with {command}, or --not-applied"


def is_touched(message: str) -> bool:
    """Whether the server's message is that of `untouched`."""
    return "migration_ledger_journal_was_touched" in message


def journal_touched() -> JournalTouched:
    """The refusal of a migration that wrote to our journal, or altered it."""
    return JournalTouched(
        f"the migration, or a trigger that it set off, changed {JOURNAL_SCHEMA}.journal, which "
        "belongs to no migration; all of it is rolled back; find what names the journal, also by a "
        "computed name or in a trigger's function, and take it out"
    )


def journal_touched_for_good(why: str) -> JournalTouched:
    """The refusal of what did so outside of a transaction, so that it stays; `why` says where."""
    return JournalTouched(
        f"what ran outside of a transaction changed {JOURNAL_SCHEMA}.journal, which belongs to no "
        f"migration, and nothing of it is rolled back: {why}"
    )


def written_too_late(error: asyncpg.PostgresError) -> RunError:
    """What it means that the server refuses a write at the end of a migration's transaction.

    Where neither a program wrote nor a function, which the server names with its parentheses, it
    is the row of the journal: the transaction was read-only before.
    """
    if not error.context and "()" not in str(error):
        return GuardsReset(
            "the script made its transaction READ ONLY, in which the row of the journal cannot be "
            "written that says that it is done; all of it is rolled back; take READ ONLY and "
            "transaction_read_only out of it"
        )
    return JournalTouched(
        "something that the migration left behind would have written at the commit, when it was "
        "over: a trigger that defers constraints again, or a cursor WITH HOLD; all of it is rolled "
        "back; take that out"
    )


def to_grant(error: asyncpg.PostgresError) -> str:
    """What to add to the server's refusal of a look; empty where no right is missing."""
    if not isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ""
    if " pg_" in str(error):
        return "; every user has that right until it is revoked: grant it to the user again"
    return f"; grant the user the role that schema {JOURNAL_SCHEMA} and its tables belong to"
