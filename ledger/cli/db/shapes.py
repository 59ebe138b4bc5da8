"""`ledger db shapes`: how many rows, nulls and different values, and no row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.app.command import command
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.db.options import file_option, refuse_unwritable, write_file
from ledger.cli.db.target import DatabaseOptions, connection_of
from ledger.domain.wording import failure_text


def register(db_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        db_app,
        "shapes",
        examples=("ledger db shapes --to shapes.json", "ledger db shapes"),
    )(shapes)


async def shapes(
    ctx: typer.Context,
    place: DatabaseOptions,
    to: Annotated[
        Path | None, file_option("Write them there, for `ledger test --rows-like`.")
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show the shapes of a database's tables: rows, nulls and different values, by column.

    They are what the server's own statistics count; no row and no value is read.
    """
    from migrations.rehearsal.shapes import visited, written

    refuse_unwritable(to)
    found = await visited(connection_of(place), place.target_schema)
    if not isinstance(found, tuple):
        say(f"ledger: {failure_text(found)}", always=True)
        return ExitCode.FAILED
    if to is not None:
        write_file(to, written(found))
    Output(output).rows(
        "db.shapes",
        [
            {
                "table": f"{one.schema}.{one.name}" if one.schema else one.name,
                "rows": int(one.rows) if one.rows >= 0 else None,
                "columns": [
                    {"name": each.name, "nulls": each.nulls, "distinct": each.distinct}
                    for each in one.columns
                ],
            }
            for one in found
        ],
        ("table", "rows"),
        empty="There is no table.",
    )
    uncounted = sum(one.rows < 0 for one in found)
    if uncounted:
        say(f"{uncounted:,} of {len(found):,} tables were never counted; run ANALYZE there")
    return ExitCode.OK
