"""What would stop every reader of the log: refused at the door, and borne where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.actor import Actor
from ledger.contracts.events import (
    EVENTS,
    REQUESTED_BY_OPERATORS,
    SAID_BY_AUDITORS,
    SAID_BY_NOTIFIERS,
)
from ledger.contracts.registry import Connection
from ledger.errors import RequestUnfit
from ledger.service.history import Search
from ledger.service.request_context import RequestContext
from ledger.signing.key_files import generate
from ledger.store.content import ContentStore
from ledger.store.log.log import EventLog
from migrations.formats.bundle import FILE_MAX_BYTES
from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import LogIn, log_in
from tests.support.house import House
from tests.support.raw_event import NewEvent

__all__ = ["house", "house_template", "log_in"]

TARGET = {"server": {"host": "db.internal", "port": 5432}, "database": "evil"}
CONNECTION: dict[str, Any] = {"target": TARGET, "user": "app"}
REGISTERED = {"database": "evil", "pool": "main", "connection": CONNECTION, "labels": {}}
PLANNED: dict[str, Any] = {
    "rollout": "r",
    "mode": "up",
    "bundle": "0" * 64,
    "steps": [],
    "selection": "",
    "fleet_position": 1,
    "databases": 1,
    "waves": 1,
    "wave_spec": "rest",
    "in_flight": 1,
    "budget": {},
    "when_spent": "halt",
    "limits": {},
    "expiry_s": 1.0,
    "deadline_s": 2.0,
}


@dataclass(frozen=True)
class Poison:
    """An event as somebody writes it who calls the functions of the log by hand."""

    type: str
    body: bytes
    stream: str = "fleet"
    version: int = 1
    metadata: bytes = b"{}"
    expected: int | None = 3
    """Of the fleet's stream, which has three registrations."""

    def event(self) -> NewEvent:
        return NewEvent(uuid4(), self.type, self.version, self.body, self.metadata)


def said(**changes: object) -> bytes:
    """A registration, but for these changes."""
    return written(REGISTERED | changes)


def written(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


KEY = {
    "key": "21fe31dfa154a261626bf854046fd227",
    "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "agent": "a1",
    "pool": "main",
    "replaces": None,
}
"""A good registration of a key, that of RFC 8032."""


def key(**changes: object) -> Poison:
    """A registration of a key, but for these changes."""
    return Poison("KeyRegistered", written(KEY | changes), stream="keys", expected=0)


def placed(**changes: object) -> bytes:
    """A registration of another connection."""
    return said(connection=CONNECTION | changes)


def aimed(**changes: object) -> bytes:
    """A registration of another target."""
    return placed(target=TARGET | changes)


REGISTRATION = "DatabaseRegistered"
POISONS = {
    "garbage": Poison("DatabaseRelabelled", b"garbage"),
    "no UTF-8": Poison("DatabaseRelabelled", b'{"database":"acme\xff","labels":{}}'),
    "a NUL": Poison("DatabaseSuspended", b'{"database":"acme\\u0000"}'),
    "a NUL deeper": Poison(REGISTRATION, said(labels={"a": "b\0"})),
    "a list": Poison("DatabaseSuspended", b'["acme"]'),
    "nothing": Poison("DatabaseSuspended", b""),
    "null": Poison("DatabaseSuspended", b"null"),
    "a newer version": Poison("DatabaseSuspended", b'{"database":"acme"}', version=99),
    "version zero": Poison("DatabaseSuspended", b'{"database":"acme"}', version=0),
    "garbage in the metadata": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b"garbage"
    ),
    "another form of metadata": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b'{"reason":7}'
    ),
    "an actor without a name": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b'{"actor":{"host":"h"}}'
    ),
    "an actor of another form": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b'{"actor":{"name":{}}}'
    ),
    "an actor that is no object": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b'{"actor":"ada"}'
    ),
    "a moment that is none": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=b'{"occurred_at":"never"}'
    ),
    "a database that never joined": Poison("DatabaseSuspended", b'{"database":"nosuchdb"}'),
    "a second registration": Poison(REGISTRATION, said(database="acme")),
    "a second registration in other letters": Poison(
        REGISTRATION, said(database="acme").replace(b'"acme"', b'"\\u0061cme"')
    ),
    "a second registration behind another name": Poison(
        REGISTRATION, b'{"pool":"main","database" : "acme",' + said(database="x")[17:]
    ),
    "a literal password": Poison(REGISTRATION, placed(password="hunter2")),
    "a literal password elsewhere": Poison(
        "DatabaseRepointed",
        written({"database": "acme", "pool": "main", "connection": CONNECTION | {"password": "x"}}),
    ),
    "a password under another name": Poison(REGISTRATION, placed(passwd="hunter2")),
    "an id with control characters": Poison(REGISTRATION, said(database="a\x1b[2J")),
    "an id with a line end": Poison(REGISTRATION, said(database="acme2\n")),
    "a host with control characters": Poison(REGISTRATION, aimed(server={"host": "h\x1b[2J"})),
    "a database with control characters": Poison(REGISTRATION, aimed(database="a\x1b[2J")),
    "a role with control characters": Poison(REGISTRATION, placed(role="a\x1b[2J")),
    "a schema with control characters": Poison(REGISTRATION, aimed(schema="a\x9b31m")),
    "a host that turns text": Poison(REGISTRATION, aimed(server={"host": "h\u202e"})),
    "a user with what is not seen": Poison(REGISTRATION, placed(user="mig\u200b")),
    "a reference that turns text": Poison(REGISTRATION, placed(password="file:a\u2066b")),
    "a further schema with what is not seen": Poison(
        REGISTRATION, placed(further_schemas=["a\ufeff"])
    ),
    "no target": Poison(REGISTRATION, said(connection={"user": "b"})),
    "a target that is a name": Poison(REGISTRATION, placed(target="db.internal/evil")),
    "no server": Poison(REGISTRATION, placed(target={"database": "a"})),
    "a server that is a name": Poison(REGISTRATION, aimed(server="db.internal:5432")),
    "no host": Poison(REGISTRATION, aimed(server={"port": 5432})),
    "no database": Poison(REGISTRATION, placed(target={"server": {"host": "h"}})),
    "a port that is none": Poison(REGISTRATION, aimed(server={"host": "h", "port": "many"})),
    "a schema that is a number": Poison(REGISTRATION, aimed(schema=7)),
    "a target with a part too many": Poison(REGISTRATION, aimed(dbname="x")),
    "a server with a part too many": Poison(
        REGISTRATION, aimed(server={"host": "h", "password": "hunter2"})
    ),
    "a connection in the words of a driver": Poison(
        REGISTRATION, said(connection={"host": "h", "port": 5432, "dbname": "a", "user": "b"})
    ),
    "a part missing": Poison("DatabaseRelabelled", b'{"database":"acme"}'),
    "a part too many": Poison("DatabaseSuspended", b'{"database":"acme","deep":{}}'),
    "another kind of part": Poison(REGISTRATION, said(labels=[])),
    "a label that is none": Poison(REGISTRATION, said(labels={"a": 7})),
    "too many labels": Poison(REGISTRATION, said(labels={f"l{n}": "x" for n in range(101)})),
    "too long": Poison("DatabaseSuspended", written({"database": "a" * 300_000})),
    "too deep": Poison(
        "BundleRegistered",
        b'{"bundle":"b","source":"","migrations":' + b"[" * 5000 + b"]" * 5000 + b"}",
        stream="bundles",
    ),
    "another stream": Poison("DatabaseSuspended", b'{"database":"acme"}', stream="bundles"),
    "a rollback of no rollout": Poison(
        "UndoStarted", b'{"rollout":"r","by":"undo-r","why":""}', stream="rollout-r", expected=None
    ),
    "a rollback without a reason": Poison(
        "UndoStarted", b'{"rollout":"r","by":"undo-r"}', stream="rollout-r", expected=None
    ),
    "a rollback by what is no name": Poison(
        "UndoStarted",
        written({"rollout": "r", "by": "\x1b[2J", "why": ""}),
        stream="rollout-r",
        expected=None,
    ),
    "a plan that undoes what is no name": Poison(
        "RolloutPlanned", written(PLANNED | {"undoes": "a b"}), stream="rollout-r", expected=0
    ),
    "a rollout of a thousand million waves": Poison(
        "RolloutPlanned", written(PLANNED | {"waves": 10**9}), stream="rollout-r", expected=0
    ),
    "a plan of a bundle that nobody registered": Poison(
        "RolloutPlanned", written(PLANNED), stream="rollout-r", expected=0
    ),
    "a plan of what is no bundle": Poison(
        "RolloutPlanned", written(PLANNED | {"bundle": "b"}), stream="rollout-r", expected=0
    ),
    "a plan in the middle of a stream": Poison(
        "RolloutPlanned", written(PLANNED), stream="rollout-r", expected=None
    ),
    "a key that is none": key(public_key="x"),
    "a key of 33 bytes": key(public_key="A" * 44),
    "a key that is called otherwise": key(key="0" * 32),
    "a key with an id that is none": key(key="\x1b[2J"),
    "a key of an agent without a name": key(agent=""),
    "a key of an agent with control characters": key(agent="a\x1b[2J"),
    "a key of a pool that can be none": key(pool="No Pool"),
    "a key that replaces what is no key": key(replaces="x"),
    "a key that is written otherwise": replace(
        key(), body=written(KEY).replace(b'"key":"', b'"key": "', 1)
    ),
    "a key that is said last": replace(key(), body=written(dict(reversed(KEY.items())))),
    "a key of much white space": replace(key(), body=written(KEY) + b" " * 300_000),
    "a key in another stream": replace(key(), stream="fleet", expected=3),
    "a key without the keys that were known": replace(key(), expected=None),
    "a key that is revoked and was not registered": Poison(
        "KeyRevoked", written({"key": KEY["key"]}), stream="keys", expected=0
    ),
    "a request that says which key signs it": Poison(
        "DatabaseSuspended", b'{"database":"acme"}', metadata=written({"key": KEY["key"]})
    ),
    "a bundle without its migrations": Poison(
        "BundleRegistered", b'{"bundle":"b","source":""}', stream="bundles"
    ),
}


async def usable(house: House) -> None:
    """Everything that a person does goes on."""
    await house.ledger.fleet.add(
        "later", "main", Connection.at(host="h", database="later", user="u"), {}, RequestContext()
    )
    rollout = await house.start(select="id=bolt")
    async with house.leading(), house.actor() as actor:
        await actor.applies(await actor.ordered("bolt"))
        await house.becomes(rollout, "completed")
    assert not (await house.ledger.audit.replay()).differences
    assert (await house.ledger.rollouts.status(rollout)).status == "completed"
    assert await house.ledger.history.lines(Search(rollout=rollout))


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
async def test_the_database_refuses_what_readers_cannot_read(
    house: House, log_in: LogIn, poison: Poison
) -> None:
    before = await house.position()
    async with log_in("ledger_operator") as theirs:
        log = EventLog(theirs.stores.pool)
        with pytest.raises(RequestUnfit) as refused:
            await log.append(poison.stream, [poison.event()], expected_version=poison.expected)
        assert refused.value.event_type == poison.type
        for function in ("append", "append_on_premise"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await raw(theirs, function, poison)
    assert await house.position() == before


async def recorded(house: House, poison: Poison) -> int:
    """Where it stands, in a log that a newer schema has made ready for every version."""
    await house.stores.pool.execute("UPDATE ledger.event_type SET schema_version = 99")
    written = await house.stores.log.append(poison.stream, [poison.event()])
    return written.first_position


async def raw(house: House, function: str, poison: Poison) -> None:
    """Call the log's own function, as somebody does who knows it."""
    premise = "" if function == "append" else "1, '{}', NULL, '{}', "
    rest = "false, NULL, NULL, NULL" if function == "append" else "NULL"
    one = poison.event()
    await house.stores.pool.execute(
        f"SELECT ledger.{function}({premise}$1, NULL, ARRAY[$2::uuid], ARRAY[$3::text], "
        f"ARRAY[$4::integer], ARRAY[$5::bytea], ARRAY[$6::bytea], {rest})",
        poison.stream,
        one.event_id,
        one.type,
        one.schema_version,
        one.body,
        one.metadata,
    )


@pytest.mark.parametrize(
    "name",
    [
        "garbage",
        "a NUL",
        "a newer version",
        "garbage in the metadata",
        "a database that never joined",
        "a key that is none",
        "a key that is called otherwise",
        "a key that is written otherwise",
        "a key of a pool that can be none",
        "a key that is revoked and was not registered",
        "too deep",
        "a rollback of no rollout",
        "a bundle without its migrations",
    ],
)
async def test_what_stands_in_the_log_all_the_same_stops_nobody(house: House, name: str) -> None:
    await recorded(house, POISONS[name])
    await usable(house)


async def test_people_can_still_ask_for_everything(house: House, log_in: LogIn) -> None:
    async with log_in("ledger_operator") as theirs, house.leading(), house.actor() as actor:
        fleet = theirs.ledger.fleet
        told = Actor(name="ada", source="system", host="h", program="ledger 1", run="")
        asked = RequestContext("because", "OPS-1", told)
        where = Connection.at(host="h", database="d", user="u", password="env:TENANT")
        await fleet.add("delta", "main", where, {"tier": "gold"}, asked)
        await fleet.suspend("delta", asked)
        await fleet.reinstate("delta", asked)
        await fleet.repoint("delta", None, {"host": "elsewhere"}, asked)
        await fleet.check("id=acme", asked)
        await fleet.retire("delta", asked)
        keys = theirs.ledger.keys
        old = await keys.register(KEY["public_key"] or "", "a1", "others", asked)
        await keys.rotate(old.key, generate().public_key, asked)
        await keys.revoke(old.key, asked)
        rollout = await theirs.start(select="id=acme")
        await theirs.ledger.rollouts.pause(rollout, asked)
        await theirs.ledger.rollouts.resume(rollout, asked)
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")


async def test_a_key_that_is_revoked_comes_back_by_no_request(house: House, log_in: LogIn) -> None:
    keys = house.ledger.keys
    await keys.register(str(KEY["public_key"]), "a1", "main", RequestContext())
    await keys.revoke(str(KEY["key"]), RequestContext("stolen"))
    again = (key(), Poison("KeyRevoked", written({"key": KEY["key"]}), stream="keys"))
    garbage = NewEvent(uuid4(), "KeyRevoked", 1, b"\xff{", b"{}")
    await house.stores.log.append("keys", [garbage])
    async with log_in("ledger_operator") as theirs:
        log = EventLog(theirs.stores.pool)
        for poison in again:
            with pytest.raises(RequestUnfit, match="this key is revoked"):
                await log.append("keys", [poison.event()], expected_version=3)
        # What nobody can read keeps nobody from asking.
        await theirs.ledger.keys.register(generate().public_key, "a2", "main", RequestContext())


async def test_a_database_is_not_registered_twice_by_one_request(
    house: House, log_in: LogIn
) -> None:
    first, again = Poison(REGISTRATION, said()), Poison(REGISTRATION, aimed(database="other"))
    async with log_in("ledger_operator") as theirs:
        log = EventLog(theirs.stores.pool)
        with pytest.raises(RequestUnfit, match="a database in it is named twice"):
            await log.append("fleet", [first.event(), again.event()], expected_version=3)
        await log.append("fleet", [first.event()], expected_version=3)
    assert (await house.ledger.fleet.list("id=evil"))[0].connection.target.database == "evil"


async def test_a_text_that_no_agent_keeps_is_not_stored(house: House, log_in: LogIn) -> None:
    async with log_in("ledger_operator") as theirs:
        with pytest.raises(asyncpg.CheckViolationError):
            await theirs.stores.pool.execute(
                "INSERT INTO ledger.content (sha256, body) SELECT sha256(body), body "
                "FROM (SELECT convert_to(repeat('x', $1), 'UTF8') AS body) AS one",
                FILE_MAX_BYTES + 1,
            )
        await ContentStore(theirs.stores.pool).put_many([b"x" * 1_000_000])


async def test_a_key_of_one_agent_is_registered_for_no_other(house: House, log_in: LogIn) -> None:
    asked = RequestContext()
    await house.ledger.keys.register(str(KEY["public_key"]), "a1", "main", asked)
    async with log_in("ledger_operator") as theirs:
        log = EventLog(theirs.stores.pool)
        others = (
            key(agent="a2"),
            key(agent="a2", pool="others"),
            replace(key(agent="a1"), body=key().body.replace(b'"a1"', b'"\\u0061\\u0031"')),
            replace(key(), body=key().body.replace(b'"pool":', b'"pool" :')),
        )
        for other in others:
            with pytest.raises(RequestUnfit, match="this key is another agent's"):
                await log.append("keys", [other.event()], expected_version=1)
        # Its own agent may have it for another pool.
        await theirs.ledger.keys.register(str(KEY["public_key"]), "a1", "others", asked)


async def test_the_lists_of_the_database_are_those_of_the_contracts(house: House) -> None:
    asked = REQUESTED_BY_OPERATORS | SAID_BY_NOTIFIERS | SAID_BY_AUDITORS
    types = await house.stores.pool.fetch("SELECT type, schema_version FROM ledger.request_type")
    assert {row["type"]: row["schema_version"] for row in types} == {
        name: EVENTS[name].SCHEMA_VERSION for name in asked
    }
    keys = await house.stores.pool.fetch("SELECT type, key, required FROM ledger.request_key")
    assert {(row["type"], row["key"], row["required"]) for row in keys} == {
        (name, key, field.is_required())
        for name in asked
        for key, field in EVENTS[name].model_fields.items()
    }
