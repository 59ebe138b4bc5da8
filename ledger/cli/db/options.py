"""Options of `ledger db`: leave to change a fleet's database, patience, and a file to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ledger.cli.app.command import flags_of
from ledger.cli.app.confirm import confirm
from ledger.cli.app.help_page import OUTPUT, RECORD, TIMEOUTS
from ledger.cli.app.option_groups import OptionGroup
from ledger.errors import WrongArgument
from migrations.model.migration import TIMEOUT_MAX_S
from migrations.printable import escaped, why_unreadable

if TYPE_CHECKING:
    from migrations.model.attempt import Limits
    from migrations.standalone import Outside


@dataclass(frozen=True, slots=True)
class OutsideLedgerOptions(OptionGroup):
    """Leave to change a database that belongs to a ledger's fleet."""

    HEADING: ClassVar = RECORD

    outside_ledger: Annotated[
        bool,
        typer.Option(
            "--outside-ledger",
            help="Change it although a ledger owns it; that is recorded. Needs --reason.",
        ),
    ] = False
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")
    ] = None

    def granted(self, *, keeps_reason: bool = False) -> Outside | None:
        """The permission, if it was given; a command that `keeps_reason` takes one without it, too.

        Raises `WrongArgument` when it lacks a reason, and for one that nobody would keep.
        """
        from migrations.standalone import Outside

        if not self.outside_ledger:
            if self.reason is not None and not keeps_reason:
                raise WrongArgument(
                    "--reason does nothing without --outside-ledger; say both, or neither"
                )
            return None
        if not (self.reason or "").strip():
            raise WrongArgument("--outside-ledger needs --reason, which the ledger will record")
        return Outside(self.reason or "")


def said_of(outside: Outside | None) -> list[str]:
    """What a question about a database adds when its own ledger is passed by."""
    if outside is None:
        return []
    return [f"outside of the ledger that owns it, which will record: {outside.reason}"]


def confirm_outside(place: str, what: str, outside: Outside | None, *, yes: bool) -> None:
    """Ask, but only before a fleet's database is changed without its ledger.

    Raises what `ledger.cli.app.confirm.confirm` raises.
    """
    if outside is not None:
        confirm(place, [what, *said_of(outside)], yes=yes, what="Database")


@dataclass(frozen=True, slots=True)
class TimeoutOptions(OptionGroup):
    """How long statements may wait and run."""

    HEADING: ClassVar = TIMEOUTS

    lock_timeout: Annotated[
        float | None,
        typer.Option(
            "--lock-timeout",
            metavar="SECONDS",
            min=0.0,
            max=TIMEOUT_MAX_S,
            help="Patience of a statement for a lock.",
        ),
    ] = None
    statement_timeout: Annotated[
        float | None,
        typer.Option(
            "--statement-timeout",
            metavar="SECONDS",
            min=0.0,
            max=TIMEOUT_MAX_S,
            help="Per statement; 0 is none.",
        ),
    ] = None

    def limits(self, ctx: typer.Context) -> Limits:
        """These, or what the settings say."""
        from migrations.model.attempt import Limits

        general = flags_of(ctx).load().settings.rollout
        lock, length = self.lock_timeout, self.statement_timeout
        return Limits(
            lock_timeout_s=general.lock_timeout_s if lock is None else lock,
            statement_timeout_s=general.statement_timeout_s if length is None else length,
        )


def file_option(help_text: str) -> Any:
    """`--to FILE`: what the command found is written there."""
    return typer.Option("--to", metavar="FILE", help=help_text, rich_help_panel=OUTPUT)


def refuse_unwritable(file: Path | None) -> None:
    """Raise `WrongArgument` for a file that cannot be, before anything takes time."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise WrongArgument(
            f"{escaped(str(file))} cannot be written, for there is no such folder; name a file in "
            "one that is there"
        )


def write_file(file: Path, content: bytes) -> None:
    """Write what `--to` asks for. Raises `WrongArgument`."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise WrongArgument(
            f"{escaped(str(file))} cannot be written ({why_unreadable(error)}); name another file"
        ) from None
