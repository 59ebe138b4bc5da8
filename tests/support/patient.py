"""A command line that waits for what it completes a word with as long as a busy machine needs."""

from __future__ import annotations

from tests.support.patience import PATIENCE_S


def ledger() -> None:
    """Run `ledger`."""
    from ledger.cli.app import completion, start

    setattr(completion, "PATIENCE_S", PATIENCE_S)  # noqa: B010
    start.main()
