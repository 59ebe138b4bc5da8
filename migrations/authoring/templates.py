"""The texts of new migrations, by format and kind: what to fill in, and nothing that runs.

A new file does not load, or fails at its first line, until somebody has written something: an empty
migration is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from migrations.errors import CreateError


@dataclass(frozen=True, slots=True)
class Header:
    """What stands at the head of a file; every text is one line."""

    version: str
    name: str
    author: str
    date: str
    description: str

    def lines(self, comment: str = "--") -> str:
        """The header as comments."""
        return (
            f"{comment} Name:        {self.name}\n"
            f"{comment} Version:     {self.version}\n"
            f"{comment} Author:      {self.author}\n"
            f"{comment} Date:        {self.date}\n"
            f"{comment} Description: {self.description}\n"
        )


Files = Mapping[str, str]
"""Texts by the names of their files."""


def sql(header: Header) -> Files:
    """Our own format."""
    return _one_file(header, _SQL)


def data(header: Header) -> Files:
    """Our own format, for data that moves in batches."""
    return _one_file(header, _DATA)


def python(header: Header) -> Files:
    """A Python module."""
    return {f"{header.version}_{header.name}.py": f"{header.lines('#')}\n{_PYTHON}"}


def recipe(header: Header, phases: Files) -> Files:
    """What a recipe wrote, a file for each phase."""
    stem = f"{header.version}_{header.name}"
    return {
        f"{stem}.{phase}.sql" if phase else f"{stem}.sql": f"{header.lines()}\n{text}"
        for phase, text in phases.items()
    }


def pair(header: Header) -> Files:
    """Plain SQL: a file up and a file down."""
    stem = f"{header.version}_{header.name}"
    return {
        f"{stem}.up.sql": f"{header.lines()}\n{_UP_FILE}",
        f"{stem}.down.sql": f"{header.lines()}\n{_DOWN_FILE}",
    }


def single(header: Header) -> Files:
    """Plain SQL: an up alone."""
    return _one_file(header, _UP_FILE)


def folder_of_one(header: Header) -> Files:
    """Plain SQL, an up in a folder of its own."""
    folder = f"{header.version}_{header.name}"
    return {f"{folder}/migration.sql": f"{header.lines()}\n{_UP_FILE}"}


def folder_of_two(header: Header) -> Files:
    """Plain SQL, an up and a down in a folder of their own."""
    folder = f"{header.version}_{header.name}"
    return {
        f"{folder}/up.sql": f"{header.lines()}\n{_UP_FILE}",
        f"{folder}/down.sql": f"{header.lines()}\n{_DOWN_FILE}",
    }


def _flyway(header: Header) -> Files:
    stem = f"{header.version.lstrip('vV')}__{header.name}"
    return {
        f"V{stem}.sql": f"{header.lines()}\n{_UP_FILE}",
        f"U{stem}.sql": f"{header.lines()}\n{_DOWN_FILE}",
    }


def _one_file(header: Header, text: str) -> Files:
    return {f"{header.version}_{header.name}.sql": f"{header.lines()}\n{text}"}


def write_new(path: Path, text: str) -> Path:
    """Write a file that is not there yet, and return its path. Raises CreateError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise CreateError(
            f"{path.name} cannot be written ({error.strerror}). Check the folder's permissions"
        ) from None
    return path


FORMATS: Mapping[str, Callable[[Header], Files]] = {
    "sql-migrate": sql,
    "goose": lambda header: _one_file(header, _GOOSE),
    "dbmate": lambda header: _one_file(header, _DBMATE),
    "golang-migrate": pair,
    "plain": pair,
    "flyway": _flyway,
    "node-pg-migrate": lambda header: _one_file(header, _NODE_PG_MIGRATE),
    "tern": lambda header: _one_file(header, _TERN),
    "play": lambda header: {f"{header.version}.sql": f"{header.lines()}\n{_PLAY}"},
}
"""Every format that a new SQL migration can be written in."""
FIRST: Mapping[str, str] = {"tern": "001", "play": "1"}
"""The version to begin with where the tool counts without a gap."""

_SQL = """\
-- +migrate Up lock_timeout=2s
-- One transaction, unless a statement such as CREATE INDEX CONCURRENTLY cannot run in one.


-- +migrate Down lock_timeout=2s
-- Restores the schema exactly as it was. Delete this section if there is no way back.


-- +migrate Verify
-- Every SELECT must return rows, and true in the first column of each.
"""
_DATA = """\
-- +migrate Data table=TABLE key=id batch=1000 backup=COLUMN lock_timeout=2s
-- Runs once per batch and commits; the rows of the batch are called `batch`. Take values from the
-- table itself, not from `batch`, where others may write meanwhile. For example:
--     UPDATE users SET email = lower(users.email) FROM batch WHERE users.id = batch.id;


-- +migrate Validate
-- No row may come back after the last batch. Delete this section if there is nothing to ask.


-- Without Down, what `backup` names is restored when the migration is taken back.
"""
_PYTHON = """\
# +migrate Up lock_timeout=2s
# +migrate Down lock_timeout=2s
# Everything runs in one transaction; `conn` has execute, executemany, fetch, fetchrow, fetchval,
# cursor and copy_records_to_table, as asyncpg has them. Values are arguments: $1, $2.


async def up(conn):
    raise NotImplementedError("this migration is not written yet")


async def down(conn):
    # Restores the schema exactly as it was. Delete this function if there is no way back.
    raise NotImplementedError("this migration is not written yet")


async def verify(conn):
    # Must return True; may only read.
    raise NotImplementedError("this migration is not written yet")
"""
_GOOSE = """\
-- +goose Up
-- One transaction; the annotation NO TRANSACTION is for statements that cannot run in one.


-- +goose Down
-- Restores the schema exactly as it was. Delete this section if there is no way back.
"""
_DBMATE = """\
-- migrate:up
-- One transaction; write `migrate:up transaction:false` where a statement cannot run in one.


-- migrate:down
-- Restores the schema exactly as it was. Delete this section if there is no way back.
"""
_NODE_PG_MIGRATE = """\
-- Up Migration
-- One transaction, unless a statement such as CREATE INDEX CONCURRENTLY cannot run in one.


-- Down Migration
-- Restores the schema exactly as it was. Delete this section if there is no way back.
"""
_TERN = """\
-- Write the change here. A line `---- tern: disable-tx ----` lets it commit by the statement.


---- create above / drop below ----
-- Write what restores the schema exactly as it was. Delete this and the line above if nothing does.
"""
_PLAY = """\
-- !Ups
-- Write a semicolon inside of a statement, as in a function's body, twice.


-- !Downs
-- Restores the schema exactly as it was. Delete this section if there is no way back.
"""
_UP_FILE = """\
-- Write the change here.
"""
_DOWN_FILE = """\
-- Write what restores the schema exactly as it was, or delete this file if there is no way back.
"""
