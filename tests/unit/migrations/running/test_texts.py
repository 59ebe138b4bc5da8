"""Literals, names, masks and heads: small and pure, and wrong ones are dangerous."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from migrations.errors import JournalChanged
from migrations.model.attempt import Epoch, Failure, FailureClass
from migrations.sql.literals import (
    bind,
    quote_ident,
    quote_literal,
    quote_where_needed,
)
from migrations.target.binary_copy import Row
from migrations.target.entries import (
    Said,
    State,
    entry_about_target,
    genesis,
    json_in_one_form,
    next_head,
)
from migrations.target.failure import MASK, masked_message
from migrations.target.journal import COLUMNS, entry_values, record_of
from migrations.target.lock import key_for
from migrations.target.session import ConnectionSettings


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("it's", "'it''s'"),
        ("back\\slash", "E'back\\\\slash'"),
        ("nul\0", "'nul\N{REPLACEMENT CHARACTER}'"),
        (None, "NULL"),
        (True, "true"),
        (7, "7"),
    ],
)
def test_values_become_literals(value: str | int | None, literal: str) -> None:
    assert quote_literal(value) == literal


def test_a_name_is_quoted_and_cannot_be_left() -> None:
    assert quote_ident('x"; DROP') == '"x""; DROP"'
    with pytest.raises(ValueError, match="NUL"):
        quote_ident("a\0b")


@pytest.mark.parametrize("name", ["acme", "_a1", "value"])
def test_a_plain_name_is_left_as_people_write_it(name: str) -> None:
    assert quote_where_needed(name) == name


@pytest.mark.parametrize("name", ["user", "select", "Acme", "1a", "a b", "ü", 'a"b', "a.b", "a$b"])
def test_a_name_that_postgresql_would_read_as_another_is_quoted(name: str) -> None:
    assert quote_where_needed(name) == quote_ident(name)


def doubles_quotes(path: Path) -> bool:
    """Whether a module quotes by itself: `.replace` of a quote by two."""
    calls = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if type(node) is ast.Call
    ]
    texts = [tuple(getattr(one, "value", None) for one in call.args) for call in calls]
    return ("'", "''") in texts or ('"', '""') in texts


def test_nobody_else_makes_sql_of_names_and_values() -> None:
    root = Path(__file__).parents[4]
    rooms = [root / room for room in ("ledger", "agents", "migrations", "ops")]
    modules = [path for room in rooms for path in room.rglob("*.py")]
    doing = [str(path.relative_to(root)) for path in modules if doubles_quotes(path)]
    assert doing == ["migrations/sql/literals.py"]


def test_values_are_put_in_once_and_never_read_as_placeholders() -> None:
    assert bind("SELECT :a, :b::text", {"a": ":b", "b": 1}) == "SELECT ':b', 1::text"


def error(kind: type[asyncpg.PostgresError], message: str, **fields: str) -> asyncpg.PostgresError:
    made = kind(message)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            error(
                asyncpg.UniqueViolationError,
                'duplicate key value violates unique constraint "users_email"',
                constraint_name="users_email",
            ),
            'duplicate key value violates unique constraint "users_email"',
        ),
        (
            error(
                asyncpg.InvalidTextRepresentationError,
                'invalid input syntax for type integer: "a "quoted" secret"',
            ),
            f"invalid input syntax for type integer: {MASK}",
        ),
        (
            error(
                asyncpg.InvalidTextRepresentationError,
                'invalid input syntax for type integer: "table "secret""',
            ),
            f"invalid input syntax for type integer: {MASK}",
        ),
        (
            error(asyncpg.UndefinedTableError, 'relation "users" does not exist'),
            'relation "users" does not exist',
        ),
        (
            error(
                asyncpg.NotNullViolationError,
                'null value in column "a" of relation "t" violates not-null constraint',
            ),
            'null value in column "a" of relation "t" violates not-null constraint',
        ),
    ],
)
def test_values_are_masked_and_names_stay(raised: asyncpg.PostgresError, message: str) -> None:
    assert masked_message(raised) == message


def test_heads_are_a_chain_with_known_links() -> None:
    start = genesis(UUID(int=7), "a")
    assert start != genesis(UUID(int=7), "b")
    entry = entry_about_target(State.MET)
    said = Said(UUID(int=1), "r", "o", Epoch(1, 2))
    for other in (
        replace(said, command=UUID(int=2)),
        replace(said, rollout="s"),
        replace(said, owner="p"),
        replace(said, epoch=Epoch(2, 2)),
    ):
        assert next_head(start, said, entry) != next_head(start, other, entry)
    head = next_head("0" * 64, said, entry)
    assert head == "ae9fa5f338d5e4884c245c4ec88a230f3b0c5ec9a488a5bfc572e028378bcaf5"


def test_a_failure_in_words_of_a_newer_program_is_no_edited_journal() -> None:
    uuid, said = UUID(int=7), Said(UUID(int=1), "r", "o", Epoch(1, 2))
    failed = replace(entry_about_target(State.VISITED), failure=Failure(FailureClass.SQL, "no"))
    newer = '{"later": 1, "kind": "brittle", "message": "no"}'
    head = next_head(genesis(uuid, ""), said, failed, failure=json_in_one_form(json.loads(newer)))
    row: Row = {
        **dict.fromkeys(COLUMNS),
        **entry_values(failed),
        "failure": newer,
        "seq": 1,
        "head": head,
        "command": said.command,
        "rollout": said.rollout,
        "database_uuid": uuid,
        "owner": said.owner,
        "epoch_term": 1,
        "epoch_position": 2,
    }
    record = record_of([row], "")
    assert record is not None
    assert record.entries[0].failure == Failure(FailureClass.UNKNOWN, "no")
    with pytest.raises(JournalChanged):
        record_of([{**row, "failure": newer.replace("brittle", "sql")}], "")


def test_lock_keys_differ_by_schema_and_fit_64_bits() -> None:
    keys = {key_for(name).value for name in ("", "a", "b")}
    assert len(keys) == 3
    assert all(-(2**63) <= key < 2**63 for key in keys)
    key = key_for("a")
    assert (key.high << 32 | key.low) & (2**64 - 1) == key.value & (2**64 - 1)


def test_a_password_is_never_shown() -> None:
    settings = ConnectionSettings.from_url("postgresql://u:s3cret@h:1/d?sslmode=require")
    assert "s3cret" not in repr(settings)
    assert settings.password is not None
    assert "s3cret" not in repr(settings.password)
    with pytest.raises(ValueError, match="postgresql://") as caught:
        ConnectionSettings.from_url("mysql://u:s3cret@h/d")
    assert "s3cret" not in str(caught.value)
