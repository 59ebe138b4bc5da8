"""Data sections of the `-- +migrate` format: what their markers say, and what may stand in them.

    -- +migrate Data table=users key=id [batch=1000] [backup=settings,email] [keep=30d]
                     [pause_lag=5s|64MB] [pause_active=20] [lock_timeout=…] [role=…]
    -- +migrate Gate       SELECTs: a batch starts only while each answers true
    -- +migrate Validate   SELECTs: after the last batch none may return a row
    -- +migrate Down [restore [conflict=refuse|keep|overwrite]]

A Data section stands in the place of Up. Its statements run once per batch and read the relation
`batch`: the rows of the table that belong to the batch, with all their columns, as they are when
the statement begins. `key` names the columns of a unique index, in the index's order. Names are
written as they are, or in quotes as in SQL (`migrations.sql.written_names`); a table that is not
found in its own spelling is looked for in lower case, too.

With `backup`, these columns of each row are saved before the batch touches it, and a migration
without Down gets one that restores them. `Down restore` does the same and then runs its own
statements, where `batch` is the saved rows: key and saved columns. A Down can also name `table` and
`key`, and then goes through that table in batches.

The checksum of such a section covers what the marker says of table, key and backup; sizes, pauses
and periods may change between two attempts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from migrations.backfill.keyset import PAGE, assigned_in, mentions_page
from migrations.errors import MarkerError
from migrations.formats.checksum import counted
from migrations.formats.markers import SectionMarker, nearest, options_of, seconds_of
from migrations.formats.sections import Body, Built
from migrations.model.migration import Batches, Conflict, Options, Pauses, Section, Statement
from migrations.sql.own_schema import names_schema
from migrations.sql.refusals import JOURNAL_REFUSAL
from migrations.sql.statements import split
from migrations.sql.written_names import names_in

BATCH_ROWS = 1000
"""Short enough for locks that nobody notices, long enough to pay for a commit."""
BATCH_MAX_ROWS = 100_000
_TIME_MAX_S = 36500 * 86400.0
"""More than the server can count from today would fail when all rows have moved."""

PAGING = ("table", "key", "batch", "pause_lag", "pause_active")
SAVING = ("backup", "keep")
RESTORE = ("restore", "conflict")
_NAMED = ("key", "backup", "columns")
RUNNING = ("lock_timeout", "statement_timeout", "role")
_AUTOMATIC = "migration-ledger/restore/1"
_BYTES = re.compile(r"([0-9]{1,9})(kB|MB|GB)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_BYTES_OF = {"kB": 2**10, "MB": 2**20, "GB": 2**30}
_READS_AND_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "SELECT")


@dataclass(frozen=True, slots=True)
class Declared:
    """What one marker says: how to go through the table, and the options of any section."""

    marker: SectionMarker
    batches: Batches
    options: Options


def is_declaration(marker: SectionMarker) -> bool:
    """Whether a marker declares batches: Data always, Down when it says so."""
    words = {argument.partition("=")[0] for argument in marker.arguments}
    return marker.command == "Data" or bool(words & {"table", "key", *RESTORE})


def declared(
    marker: SectionMarker, file: str, up: Declared | None = None, *, columns: bool = False
) -> Declared:
    """What a Data marker says, or the Down marker beside the Data marker `up`.

    `columns` allows the option that only a transformation needs. Raises MarkerError.
    """
    own = (*SAVING, *(("columns",) if columns else ())) if up is None else RESTORE
    given = _given(marker, file, (*PAGING, *own, *RUNNING))
    running = tuple(a for a in marker.arguments if a.partition("=")[0] in RUNNING)
    options = options_of(replace(marker, arguments=running), file)
    if "restore" in given or "conflict" in given:
        return Declared(marker, _restoring(given, marker, file, up), options)
    return Declared(marker, _batches(given, marker, file), options)


def automatic_down(up: Declared) -> Section:
    """The Down of a migration with a backup that has none: the backup, and nothing else."""
    batches = replace(up.batches, restore=True, validate=())
    checksum = hashlib.sha256(f"{_AUTOMATIC}\n{_identity(batches)}".encode()).hexdigest()
    return Section((), up.options, checksum, batches=batches)


def data_section(built: Built, body: Body, found: Declared) -> Built:
    """The section that runs in batches. Raises MarkerError for statements that cannot."""
    section, batches = built.section, found.batches
    if section.broken:
        return built
    line = found.marker.line
    if section.program is None and not section.statements and not batches.restore:
        raise MarkerError(
            body.file, line, "the section holds no statement", "Write its SQL below the marker"
        )
    for statement in section.statements:
        _check_statement(statement, body.file)
        _check_key(statement, batches, body.file)
    hashed = _identity(batches).encode() + b"\n" + counted(body.hashed)
    checksum = hashlib.sha256(hashed).hexdigest()
    return replace(
        built,
        notes=(*built.notes, note_of(found, body.file)),
        section=replace(section, options=found.options, checksum=checksum, batches=batches),
    )


def note_of(found: Declared, file: str) -> str:
    """What whoever reads the plan should know of it."""
    batches = found.batches
    through = f"the backup of {batches.table}" if batches.restore else batches.table
    saved = f", saving {', '.join(batches.backup)} first" if batches.backup else ""
    return (
        f"{file}:{found.marker.line}: goes through {through} by {', '.join(batches.key)}, "
        f"{batches.size} rows at a time{'' if batches.restore else saved}; what is committed stays "
        "when it stops"
    )


def with_checks(section: Section, gates: Body | None, validations: Body | None) -> Section:
    """The Data section with what its Gate and Validate sections ask. Raises LoadError."""
    if section.batches is None:
        raise AssertionError("the caller has made it a section with batches")
    pauses = replace(section.batches.pauses, gates=_questions(gates, "Gate"))
    batches = replace(section.batches, pauses=pauses, validate=_questions(validations, "Validate"))
    return replace(section, batches=batches)


def check_sections(markers: Mapping[str, SectionMarker], file: str) -> None:
    """Raise MarkerError for sections that do not belong together."""
    data, up = markers.get("Data"), markers.get("Up")
    if data is not None and up is not None:
        raise MarkerError(
            file,
            max(data.line, up.line),
            "Up and Data in one file",
            "Write the change of the schema and the move of the data as two migrations: each then "
            "has its own way back",
        )
    for name in ("Gate", "Validate"):
        if data is None and name in markers:
            raise MarkerError(
                file,
                markers[name].line,
                f"{name} without Data",
                "Write `-- +migrate Data table=… key=…` above the statements that run in batches, "
                "or Verify instead",
            )


def _given(marker: SectionMarker, file: str, known: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for argument in marker.arguments:
        key, equals, value = argument.partition("=")
        if key not in known:
            near = nearest(key, tuple(known))
            remedy = f"Did you mean {near}? " if near else ""
            raise MarkerError(
                file,
                marker.line,
                f"unknown option {key}",
                f"{remedy}Known options: {', '.join(known)}",
            )
        if key in given:
            raise MarkerError(file, marker.line, f"option {key} twice", "Write it once")
        if (key == "restore") == bool(equals) or (equals and not value):
            raise _wrong(marker, file, key)
        given[key] = value
    return given


def _batches(given: Mapping[str, str], marker: SectionMarker, file: str) -> Batches:
    for name, example in (("table", "table=users"), ("key", "key=id")):
        if name not in given:
            raise MarkerError(
                file,
                marker.line,
                f"{marker.command} without {name}=",
                f"Write `-- +migrate {marker.command} table=users key=id`: {example} is missing",
            )
    if names_schema(given["table"]):
        raise MarkerError(file, marker.line, JOURNAL_REFUSAL.problem, JOURNAL_REFUSAL.remedy)
    names = {key: _names(given.get(key, ""), marker, file, key) for key in _NAMED}
    backup, keep = names["backup"], given.get("keep")
    if keep is not None and not backup:
        raise MarkerError(
            file, marker.line, "keep without backup", "Write backup=column, or leave keep out"
        )
    return Batches(
        table=given["table"],
        key=names["key"],
        size=_size(given, marker, file),
        columns=names["columns"],
        backup=backup,
        keep_s=None if keep is None else _time(keep, marker, file, "keep"),
        pauses=_pauses(given, marker, file),
    )


def _restoring(
    given: Mapping[str, str], marker: SectionMarker, file: str, up: Declared | None
) -> Batches:
    if up is None or not up.batches.backup:
        raise MarkerError(
            file,
            marker.line,
            "restore without a backup",
            "Write backup=column on the Data marker, or undo it with statements below Down",
        )
    if "restore" not in given:
        raise MarkerError(file, marker.line, "conflict without restore", "Write `restore` as well")
    for name in ("table", "key"):
        if name in given:
            raise MarkerError(
                file, marker.line, f"restore with {name}=", "Leave it out: the backup knows"
            )
    said = given.get("conflict", Conflict.REFUSE)
    if said not in list(Conflict):
        raise _wrong(marker, file, "conflict")
    paused = "pause_lag" in given or "pause_active" in given
    return replace(
        up.batches,
        restore=True,
        validate=(),
        conflict=Conflict(said),
        size=_size(given, marker, file, up.batches.size),
        pauses=_pauses(given, marker, file) if paused else up.batches.pauses,
    )


def _size(
    given: Mapping[str, str], marker: SectionMarker, file: str, usual: int = BATCH_ROWS
) -> int:
    said = given.get("batch")
    if said is None:
        return usual
    if not _NUMBER.fullmatch(said) or not 1 <= int(said) <= BATCH_MAX_ROWS:
        raise _wrong(marker, file, "batch")
    return int(said)


def _pauses(given: Mapping[str, str], marker: SectionMarker, file: str) -> Pauses:
    lag, active = given.get("pause_lag"), given.get("pause_active")
    if active is not None and not _NUMBER.fullmatch(active):
        raise _wrong(marker, file, "pause_active")
    found = _BYTES.fullmatch(lag) if lag else None
    return Pauses(
        lag_s=_time(lag, marker, file, "pause_lag") if lag and not found else None,
        lag_bytes=int(found.group(1)) * _BYTES_OF[found.group(2)] if found else None,
        active=None if active is None else int(active),
    )


def _time(value: str, marker: SectionMarker, file: str, key: str) -> float:
    seconds = seconds_of(value)
    if seconds is None or seconds > _TIME_MAX_S:
        raise _wrong(marker, file, key)
    return seconds


def _names(value: str, marker: SectionMarker, file: str, key: str) -> tuple[str, ...]:
    try:
        return names_in(value.strip(","), ",") if value.strip(",") else ()
    except ValueError:
        raise _wrong(marker, file, key) from None


_EXAMPLES = {
    "batch": f"batch=1000 (1 to {BATCH_MAX_ROWS})",
    "keep": "keep=30d (units: ms, s, min, h, d; at most 36500d)",
    "pause_lag": "pause_lag=5s or pause_lag=64MB (units: ms, s, min, h, d, kB, MB, GB)",
    "pause_active": "pause_active=20",
    "conflict": "conflict=refuse, conflict=keep or conflict=overwrite",
    "restore": "restore",
    "table": "table=users",
    "key": "key=id or key=tenant_id,id",
}


def _wrong(marker: SectionMarker, file: str, key: str) -> MarkerError:
    example = _EXAMPLES.get(key, f"{key}=name")
    return MarkerError(file, marker.line, f"option {key} has no usable value", f"Write {example}")


def _check_statement(statement: Statement, file: str) -> None:
    word = statement.text.split(maxsplit=1)[0].upper()
    summary = statement.summary.split(maxsplit=1)[0]
    if summary not in _READS_AND_WRITES:
        raise MarkerError(
            file,
            statement.line,
            f"{word} in a Data section, whose statements run once per batch",
            "Write INSERT, UPDATE, DELETE, MERGE or SELECT here, and the rest as a migration of "
            "its own",
        )
    if not mentions_page(statement.text):
        raise MarkerError(
            file,
            statement.line,
            f"the statement does not read `{PAGE}`, so that every batch would do all of it again",
            f"Join `{PAGE}`, the rows of the current batch: UPDATE users SET … FROM {PAGE} WHERE "  # noqa: S608
            f"users.id = {PAGE}.id",
        )


def _check_key(statement: Statement, batches: Batches, file: str) -> None:
    """Raise MarkerError for what changes the key by which batches, and saved rows, are found."""
    try:
        table = names_in(batches.table, ".")[-1]
    except ValueError:
        # No name at all, which the database says.
        return
    changed = assigned_in(statement.text, table) & set(batches.key)
    if changed:
        names = ", ".join(sorted(changed))
        raise MarkerError(
            file,
            statement.line,
            f"the statement changes {names}, by which rows are found: they would be met again or "
            "missed, and what was saved of them could not be given back",
            "Write a key= whose columns stay as they are, or copy the rows instead",
        )


def _questions(body: Body | None, section: str) -> tuple[Statement, ...]:
    if body is None:
        return ()
    if body.fault is not None:
        raise body.fault
    statements = split(body.text, file=body.file, first_line=body.line, verify=True)
    if not statements:
        raise MarkerError(
            body.file,
            body.line - 1,
            f"{section} holds no statement",
            "Write a SELECT, or leave it out",
        )
    for statement in statements:
        if not statement.summary.startswith("SELECT"):
            raise MarkerError(
                body.file, statement.line, f"{section} takes only SELECT", "Write it as a SELECT"
            )
    return statements


def _identity(batches: Batches) -> str:
    """What must not change between two attempts."""
    parts = (batches.table, ",".join(batches.key), ",".join(batches.backup))
    return " ".join((*parts, ",".join(batches.columns), "restore" if batches.restore else "batch"))
