"""Why nothing of a migration may be believed: what the guards of a target say in words."""

from __future__ import annotations

from migrations.errors import JournalTouched, StaleEpoch, TransactionEnded
from migrations.model.attempt import Epoch

JOURNAL_SCHEMA = "migration_ledger"


def stale_epoch(epoch: Epoch) -> StaleEpoch:
    """The refusal of an order that is older than the last one seen here."""
    return StaleEpoch(
        f"a later order than {epoch.term}.{epoch.position} was here before, so this one must not "
        "run any more"
    )


def transaction_ended() -> TransactionEnded:
    """The refusal of a script that ended the transaction it ran in."""
    return TransactionEnded(
        "the script ended the transaction that guards it, or reset its settings, so that parts of "
        "it may be committed; take COMMIT, ROLLBACK and RESET ALL out of it, look at the "
        "database, and settle the migration "
        "with `ledger resolve`"
    )


def is_touched(message: str) -> bool:
    """Whether the server's message is that of `untouched`."""
    return f"{JOURNAL_SCHEMA}.journal_was_touched" in message


def journal_touched() -> JournalTouched:
    """The refusal of a migration that wrote to our journal, or altered it."""
    return JournalTouched(
        f"the migration, or a trigger that it set off, changed {JOURNAL_SCHEMA}.journal, which "
        "belongs to no migration; all of it is rolled back; find what names the journal, also by a "
        "computed name or in a trigger's function, and take it out"
    )
