"""`ledger db`: what the schema of a database is, and how it differs from another's."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.schemas import schemas_in
from ledger.cli.db.options import file_option, refuse_unwritable, write_file
from ledger.cli.db.target import DatabaseOptions, connection_of
from ledger.domain.wording import failure_text
from ledger.errors import WrongArgument
from migrations.printable import escaped, why_unreadable

if TYPE_CHECKING:
    from migrations.catalog.difference import CatalogDifference, ObjectChange
    from migrations.catalog.neutral import TenantNames
    from migrations.model.attempt import Failure

SNAPSHOT_FILE = "snapshot:"
"""What a file that `ledger db snapshot` wrote begins with where a database could stand."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of two that are compared, or why it cannot be."""

    fingerprint: str = ""
    document: bytes = b""
    names: TenantNames | None = None
    failure: Failure | None = None


def register(db_app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        db_app,
        "snapshot",
        examples=("ledger db snapshot", "ledger db snapshot --to schema.json"),
    )(snapshot)
    command(
        db_app,
        "diff",
        examples=(
            "ledger db diff env:STAGING_URL",
            "ledger db diff snapshot:schema.json",
            "ledger db diff env:DATABASE_URL --schema acme --other-schema globex",
        ),
        needs_arguments=True,
    )(diff)


async def snapshot(
    ctx: typer.Context,
    place: DatabaseOptions,
    to: Annotated[
        Path | None,
        file_option("Write the snapshot there: JSON, one object of the schema per line."),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show the fingerprint of a database's schema; nothing is changed, and no row is read.

    Two databases have the same one when their schemas are the same: whatever their owners, their
    server's release, and the order in which their columns were added.
    """
    from migrations.catalog.visit import visit

    refuse_unwritable(to)
    found = await visit(connection_of(place), place.target_schema, keep=to is not None)
    taken = found.snapshot
    if taken is None:
        return _failed(found.failure, Output(output))
    if to is not None:
        write_file(to, zlib.decompress(taken.document))
    Output(output).record(
        "db.snapshot",
        {"fingerprint": taken.fingerprint, "objects": taken.objects, "bytes": taken.size},
    )
    return ExitCode.OK


async def diff(
    ctx: typer.Context,
    place: DatabaseOptions,
    other: Annotated[
        str,
        typer.Argument(
            metavar="env:NAME|file:PATH|URL|snapshot:FILE",
            help="What the schema should be: another database's, or a snapshot's.",
        ),
    ],
    other_schema: Annotated[
        str,
        typer.Option(
            "--other-schema",
            metavar="NAME",
            help="The schema there, if it is another than here.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = "",
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show how the schema of a database differs from another's, and the SQL that would undo that.

    The SQL is shown, and never run. Ends with 7 where they differ.
    """
    from migrations.catalog.difference import difference
    from migrations.catalog.remedy import remedy

    expected = await _other(place, other, other_schema)
    found = await _side(place) if expected.failure is None else expected
    if found.failure is not None:
        return _failed(found.failure, Output(output))
    try:
        differs = difference(expected.document, found.document)
    except ValueError as error:
        raise WrongArgument(
            f"{escaped(other)}: {error}; write one with `ledger db snapshot --to FILE`"
        ) from None
    show_difference(
        Output(output),
        "db.diff",
        differs,
        remedy(differs, found.names),
        expected=expected.fingerprint,
        found=found.fingerprint,
    )
    return ExitCode.DIFFERENT if differs else ExitCode.OK


def show_difference(
    output: Output, kind: str, differs: CatalogDifference, sql: list[str], **more: Any
) -> None:
    """Every object that differs, attribute by attribute, and the SQL that would bring it back."""
    if not output.for_people:
        rows = [row_of(change) for change in differs.changes]
        columns = ("how", "object", "attributes")
        output.rows(kind, rows, columns, empty="", sql=sql, not_shown=differs.more, **more)
        return
    if not differs:
        say("The schemas are the same.")
        return
    for change in differs.changes:
        output.lines(lines_of(change))
    if differs.more:
        output.lines([f"… and {differs.more:,} more; these schemas have little in common"])
    output.text("\n-- What would bring it back; nothing was run:\n" + "\n".join(sql))


def lines_of(change: ObjectChange) -> list[str]:
    """One object that differs, for people."""
    from migrations.catalog.spelling import shown
    from migrations.printable import escaped

    lines = [f"{change.how.value:<8} {escaped(change.called)}"]
    for part in change.attributes:
        before, after = escaped(shown(part.expected)), escaped(shown(part.found))
        lines.append(f"           {escaped(part.attribute)}: {before} → {after}")
    return lines


def row_of(change: ObjectChange) -> dict[str, Any]:
    """One object that differs, as data."""
    return {
        "how": change.how.value,
        "object": change.called,
        "kind": change.kind,
        "name": [part for part in change.name if part],
        "attributes": [
            {"attribute": part.attribute, "expected": part.expected, "found": part.found}
            for part in change.attributes
        ],
    }


async def _other(place: DatabaseOptions, other: str, schema: str) -> _Side:
    if other.startswith(SNAPSHOT_FILE):
        if schema:
            raise WrongArgument("a snapshot is of one schema; leave --other-schema out")
        return _read(other.removeprefix(SNAPSHOT_FILE))
    named = replace(place, database=other, schema=schema or place.schema)
    return await _side(named)


async def _side(place: DatabaseOptions) -> _Side:
    from migrations.catalog.visit import visit

    found = await visit(connection_of(place), schemas_in(place.schema)[0])
    taken = found.snapshot
    if taken is None:
        return _Side(failure=found.failure)
    return _Side(taken.fingerprint, taken.document, taken.names)


def _read(file: str) -> _Side:
    from migrations.catalog.difference import check_lines
    from migrations.catalog.snapshot import fingerprint_of

    try:
        document = zlib.compress(Path(file).read_bytes(), level=1)
        # Before anybody is asked for the other side.
        check_lines(document)
        return _Side(fingerprint_of(document), document)
    except OSError as error:
        why = f"it cannot be read ({why_unreadable(error)})"
    except ValueError as error:
        why = str(error)
    raise WrongArgument(f"{escaped(file)}: {why}; write one with `ledger db snapshot --to FILE`")


def _failed(failure: Failure | None, output: Output) -> ExitCode:
    said = failure_text(failure) if failure is not None else "no snapshot was taken"
    return output.error(said, ExitCode.FAILED)
