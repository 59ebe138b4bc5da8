"""What commands say: data on stdout in one of four forms, everything else on stderr.

The JSON forms are an interface: each document carries `version`, which changes when a field is
renamed or removed, and `kind`, which names its shape. CSV has the same fields, one row for each
thing, for spreadsheets: what these would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, TextIO, assert_never

import typer

from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.stream import has_every_letter, is_coloured, width_of
from ledger.cli.app.table import lines_of, paragraph
from migrations.clock import SYSTEM_CLOCK
from migrations.printable import escaped, escaped_json

if TYPE_CHECKING:
    from rich.console import Console

SHAPE_VERSION = 1
"""Version of all JSON shapes."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether only errors and questions are said, beside the data."""
PAGE = 100
"""Rows of a long list that people see unless they want more."""
TOGETHER = 500
"""Items of a document that are written at once."""

OutputRow = Mapping[str, Any]
ORDINALS = ("position", "version", "line", "port", "term", "wave", "attempt", "value", "limit")
"""How columns end whose numbers say which one, or are settings: they are written as typed."""


class OutputFormat(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


OutputOption = Annotated[
    OutputFormat,
    typer.Option(
        "--output",
        "-o",
        help="table for people; json is one document, ndjson one per line, csv for spreadsheets.",
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

    def tell(self, text: str) -> None:
        """A line that is a part of what a person reads as data; programs have it as fields."""
        if self.for_people:
            _write(text, sys.stdout)

    def tell_left_out(self, shown: int, total: int, *, limited: bool = False) -> None:
        """Say that there are more rows than those that a person was shown, and how to see them.

        A command is `limited` that has --limit.
        """
        if self.for_people and total > shown > 0:
            ways = "`--limit` shows more, `-o json` all" if limited else "`-o json` has all of them"
            say(f"{shown:,} of {total:,} are shown; {ways}")

    def rows(
        self,
        kind: str,
        rows: Iterable[OutputRow],
        columns: Sequence[str],
        empty: str,
        *,
        heading: bool = True,
        **more: Any,
    ) -> None:
        """A list of alike things. `columns` are the keys that a table shows; `empty` is said on
        stderr when there is nothing to show. `more` joins the JSON document. Rows that go on with
        a list that was begun have no `heading`.

        As JSON, `rows` are written as they come, and none of them is kept.
        """
        match self.format:
            case OutputFormat.TABLE:
                if shown := list(rows):
                    _table(shown, columns, heading=heading)
                elif empty:
                    say(empty)
            case OutputFormat.JSON:
                _document_of({"version": SHAPE_VERSION, "kind": kind, **more}, rows)
            case OutputFormat.NDJSON:
                for row in rows:
                    write_document({"version": SHAPE_VERSION, "kind": kind, **row})
            case OutputFormat.CSV:
                _sheet(list(rows), columns, heading=heading)
            case _:
                assert_never(self.format)

    def lines(self, lines: Sequence[str]) -> None:
        """What only people read, line by line."""
        _write("\n".join(lines), sys.stdout)

    def record(self, kind: str, fields: OutputRow, text: str | None = None) -> None:
        """One thing; people read `text`, or the fields one below the other."""
        if self.format is OutputFormat.CSV:
            _sheet([fields], list(fields), heading=True)
        elif not self.for_people:
            write_document({"version": SHAPE_VERSION, "kind": kind, **fields})
        elif text is not None:
            _write(text, sys.stdout)
        else:
            width = max((len(_title(key)) for key in fields), default=0)
            for key, value in fields.items():
                told = paragraph(" " * (width + 2) + _field(key, value), width_of(sys.stdout))
                told[0] = f"{_title(key):<{width}}  {told[0].lstrip(' ')}"
                typer.echo("\n".join(told))

    def error(self, text: str, code: ExitCode) -> ExitCode:
        """Say on stderr what went wrong, as `tell_error`, and return the code to end with."""
        tell_error(text, code, self.format)
        return code

    def text(self, text: str) -> None:
        """A text of many lines for people; tabs and the ends of lines are as they are written."""
        lines = text.replace("\r\n", "\n").split("\t")
        typer.echo("\t".join(escaped(line, lines=True) for line in lines))


def console(*, stderr: bool) -> Console:
    """A console for one of the streams; NO_COLOR is honoured, and pipes get whole lines."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=width_of(stream), highlight=False, soft_wrap=False)


def say(text: str, *, always: bool = False) -> None:
    """Tell the person at the terminal, on stderr; with --quiet only what is `always` said.

    One sentence: an end of a line in it is somebody's who would forge the next one.
    """
    if always or not QUIET.get():
        _write(escaped(text), sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    """Lines that a terminal need not break: between words, and never in what can be copied."""
    for line in escaped(text, lines=True).split("\n"):
        for part in paragraph(line, width_of(stream)):
            typer.echo(part, file=stream)


def _table(rows: Sequence[OutputRow], columns: Sequence[str], *, heading: bool) -> None:
    now = SYSTEM_CLOCK.now()
    shown = [{column: _field(column, row.get(column), now) for column in columns} for row in rows]
    title, lines = lines_of(columns, shown, width_of(sys.stdout))
    if heading:
        typer.echo(f"\x1b[1m{title}\x1b[0m" if is_coloured(sys.stdout) else title)
    for line in lines:
        typer.echo(line)


def _sheet(some: Iterable[OutputRow], columns: Sequence[str], *, heading: bool) -> None:
    """Every field of the rows, the table's columns first; lists and objects as JSON."""
    rows = list(some)
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if heading:
        writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: Any) -> str | int | float:
    from pydantic_core import to_json

    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case str():
            return f"'{escaped(value)}" if value.startswith(FORMULA) else escaped(value)
        case Mapping() | list() | tuple():
            return escaped_json(to_json(value).decode())
        case _:
            return escaped(str(value))


def tell_error(text: str, code: int, form: OutputFormat) -> None:
    """Say what went wrong, on stderr: a sentence, or one JSON object for programs."""
    if form is OutputFormat.TABLE:
        _write(f"ledger: {text}", sys.stderr)
        return
    from pydantic_core import to_json

    error = {"version": SHAPE_VERSION, "kind": "error", "exit_code": int(code), "error": text}
    typer.echo(escaped_json(to_json(error).decode()), err=True)


def write_document(document: Mapping[str, Any]) -> None:
    """A document of a shape that others have laid down, on stdout."""
    typer.echo(_json(document))


def _document_of(head: Mapping[str, Any], items: Iterable[OutputRow]) -> None:
    """One document, with `items` as its last field, some of them at a time."""
    typer.echo(f'{_json(head)[:-1]},"items":[', nl=False)
    before, waiting = "", iter(items)
    while some := [_json(one) for one in islice(waiting, TOGETHER)]:
        typer.echo(before + ",".join(some), nl=False)
        before = ","
    typer.echo("]}")


def _json(document: Mapping[str, Any]) -> str:
    from pydantic_core import to_json

    text = escaped_json(to_json(document).decode())
    if not has_every_letter(sys.stdout):
        # What is written otherwise has to mean the same to whoever reads it as JSON.
        text = json.dumps(json.loads(text), separators=(",", ":"))
    return text


def _title(key: str) -> str:
    return key.replace("_", " ").upper()


def _field(name: str, value: Any, now: datetime | None = None) -> str:
    """A value as people read it; how many there are has commas."""
    if type(value) is int and not name.endswith(ORDINALS):
        return f"{value:,}"
    return _shown(value, now)


def _shown(value: Any, now: datetime | None = None) -> str:
    """A value as people read it; times are UTC, to the second, with how long ago that is."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            parts = (f"{escaped(str(key))}={_shown(part)}" for key, part in value.items())
            return ", ".join(parts) or "-"
        case list() | tuple():
            return ", ".join(_shown(part) for part in value) or "-"
        case datetime():
            return moment_shown(value, now or SYSTEM_CLOCK.now())
        case _:
            return escaped(str(value))


def moment_shown(moment: datetime, now: datetime) -> str:
    """A moment in UTC, and how far it is from now: `2026-11-30 00:05:26Z (3 min ago)`."""
    from migrations.model.clocks import moment_text

    return f"{moment_text(moment)} ({distance(moment, now)})"


def distance(moment: datetime, now: datetime) -> str:
    """How long ago a moment is, or in how long, in one unit."""
    apart_s = (now - moment).total_seconds()
    if abs(apart_s) < 1:
        return "now"
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if abs(apart_s) >= seconds:
            count = int(abs(apart_s) // seconds)
            return f"{count} {unit} ago" if apart_s > 0 else f"in {count} {unit}"
    raise AssertionError
