"""What commands say: data on stdout in one of three forms, everything else on stderr.

The JSON forms are an interface: each document carries `version`, which changes when a field is
renamed or removed, and `kind`, which names its shape.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from ledger.cli.app.help_page import OUTPUT
from migrations.printable import escaped, escaped_json

if TYPE_CHECKING:
    from rich.console import Console

SHAPE_VERSION = 1
"""Version of all JSON shapes."""
UNLIMITED_WIDTH = 10_000
"""Columns of a line that goes to a file or a pipe: nothing is cut off there."""

QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether only errors and questions are said, beside the data."""
PAGE = 100
"""Rows of a long list that people see unless they want more."""

OutputRow = Mapping[str, Any]


class OutputFormat(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"


OutputOption = Annotated[
    OutputFormat,
    typer.Option(
        "--output",
        "-o",
        help="table for people; json is one document, ndjson one document per line.",
        show_default=True,
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True, slots=True)
class Output:
    """Writes what a command found, in the form that was asked for."""

    format: OutputFormat

    @property
    def for_people(self) -> bool:
        """Whether a person reads it: then less may be more."""
        return self.format is OutputFormat.TABLE

    def at_most(self, limit: int | None) -> int | None:
        """How many rows of a long list are wanted: people read a page, programs all."""
        return PAGE if limit is None and self.for_people else limit

    def tell_left_out(self, shown: int, total: int) -> None:
        """Say that there are more rows than those that a person was shown."""
        if self.for_people and total > shown > 0:
            say(f"{shown:,} of {total:,} are shown; `-o json` has all of them")

    def rows(
        self, kind: str, rows: Sequence[OutputRow], columns: Sequence[str], empty: str, **more: Any
    ) -> None:
        """A list of alike things. `columns` are the keys that a table shows; `empty` is said on
        stderr when there is nothing to show. `more` joins the JSON document.
        """
        match self.format:
            case OutputFormat.TABLE:
                if rows:
                    self._table(rows, columns)
                else:
                    say(empty)
            case OutputFormat.JSON:
                _document({"version": SHAPE_VERSION, "kind": kind, **more, "items": list(rows)})
            case OutputFormat.NDJSON:
                for row in rows:
                    _document({"version": SHAPE_VERSION, "kind": kind, **row})
            case _:
                assert_never(self.format)

    def record(self, kind: str, fields: OutputRow, text: str | None = None) -> None:
        """One thing; people read `text`, or the fields one below the other."""
        if not self.for_people:
            _document({"version": SHAPE_VERSION, "kind": kind, **fields})
        elif text is not None:
            typer.echo(escaped(text, lines=True))
        else:
            width = max((len(_title(key)) for key in fields), default=0)
            for key, value in fields.items():
                typer.echo(f"{_title(key):<{width}}  {_shown(value)}")

    def text(self, text: str) -> None:
        """A text of many lines for people; tabs and the ends of lines are as they are written."""
        lines = text.replace("\r\n", "\n").split("\t")
        typer.echo("\t".join(escaped(line, lines=True) for line in lines))

    def _table(self, rows: Sequence[OutputRow], columns: Sequence[str]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(_title(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_shown(row.get(column))) for column in columns))
        console(stderr=False).print(table)


def console(*, stderr: bool) -> Console:
    """A console for one of the streams; NO_COLOR is honoured, and pipes get whole lines."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def say(text: str, *, always: bool = False) -> None:
    """Tell the person at the terminal, on stderr; with --quiet only what is `always` said."""
    if always or not QUIET.get():
        typer.echo(escaped(text, lines=True), err=True)


def tell_error(text: str, code: int, form: OutputFormat) -> None:
    """Say what went wrong, on stderr: a sentence, or one JSON object for programs."""
    if form is OutputFormat.TABLE:
        say(f"ledger: {text}", always=True)
        return
    from pydantic_core import to_json

    error = {"version": SHAPE_VERSION, "kind": "error", "exit_code": int(code), "error": text}
    typer.echo(escaped_json(to_json(error).decode()), err=True)


def _document(document: Mapping[str, Any]) -> None:
    from pydantic_core import to_json

    typer.echo(escaped_json(to_json(document).decode()))


def _title(key: str) -> str:
    return key.replace("_", " ").upper()


def _shown(value: Any) -> str:
    """A value as people read it; times are UTC, to the second."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return (
                ", ".join(f"{escaped(str(key))}={_shown(part)}" for key, part in value.items())
                or "-"
            )
        case list() | tuple():
            return ", ".join(_shown(part) for part in value) or "-"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case _:
            return escaped(str(value))
