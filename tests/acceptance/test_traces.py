"""One trace leads from `ledger rollout start` to each SQL statement, and back into the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from ledger.contracts.events import MigrationOrdered, RolloutPlanned, UndoStarted
from ledger.contracts.reports import MigrationApplied
from tests.acceptance.conftest import MakeFleet
from tests.support import invariants
from tests.support.collector import Collector, Span, collecting
from tests.support.fleet import PASSWORD_VARIABLE, Fleet, Tenant
from tests.support.pages import asked, free_port
from tests.support.processes import Answer, found, until

FIRST = "20260101000000"
SECOND = "20260102000000"
ROW_VALUE = "a planted row value"
WAITING = """
    SELECT max(xact_start) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%spans_note%'
"""
LOOPBACK = ("127.0.0.1", "localhost")
SECRET = "'nobody may see this'"


async def test_spans_lead_from_the_request_to_the_statement_on_one_database(fleet: Fleet) -> None:
    fleet.migration(FIRST, f"UPDATE users SET city = {SECRET} WHERE id = 1;")
    with collecting() as collector:
        rollout = await roll_out(fleet, collector)
    root = collector.one(lambda span: span.name == "ledger rollout start")
    assert (root.kind, root.parent, root.service) == ("INTERNAL", "", "migration-ledger")

    # One trace per database, because a fleet is too large for one: linked, not below the request.
    ordered = collector.named("order database")
    assert {span.attributes["migration_ledger.database"] for span in ordered} == ids(fleet)
    assert all(span.is_linked_to(root) and not span.parent for span in ordered)
    (whole,) = collector.named("rollout")
    assert whole.is_child_of(root)
    assert all(span.is_linked_to(whole) for span in ordered)
    assert [span.is_child_of(whole) for span in collector.named("wave")] == [True, True]
    (plan,) = [span for span in collector.named("plan") if span.trace == root.trace][:1]
    assert plan.is_child_of(root)
    order = of(ordered, "db00")
    topic = f"ledger.commands.{fleet.pool}"
    sent = [span for span in collector.named(f"send {topic}") if span.is_linked_to(order)]
    assert [span.kind for span in sent] == ["PRODUCER"] * len(sent) != []

    assert all(str(span.attributes["server.address"]) in LOOPBACK for span in sent)
    assert all(isinstance(span.attributes["server.port"], int) for span in sent)
    polled = [span for span in collector.named(f"poll {topic}") if span.is_linked_to(order)]
    assert [span.kind for span in polled] == ["CLIENT"]
    assert {span.kind for span in collector.named(f"commit {topic}")} == {"CLIENT"}
    assert any(span.is_linked_to(order) for span in collector.named("publish"))
    assert any(link[0] == order.trace for span in collector.named("intake") for link in span.links)
    assert collector.named("projection")

    process = of(collector.named(f"process {topic}"), "db00")
    assert process.is_child_of(order)
    assert process.is_linked_to(order)
    assert (process.kind, process.service) == ("CONSUMER", "migration-ledger-agent")

    migrate = collector.one(lambda s: s.name == f"migrate {FIRST} up" and s.trace == order.trace)
    assert migrate.is_child_of(process)
    statements = [span for span in collector.spans if span.is_child_of(migrate)]
    assert [span.kind for span in statements] == ["CLIENT"] * 3 + ["INTERNAL"]
    names = [span.name for span in statements]
    assert names[3] == "journal"
    assert names[1].startswith("UPDATE"), names
    check_messaging(process, topic, fleet)
    check_statement(statements[1], fleet)
    await check_events(fleet, root, order)
    assert not any(span.failed for span in collector.spans)
    assert SECRET.strip("'") not in repr(collector.spans)
    await check_sent_again(fleet, collector, rollout)
    await invariants.hold(fleet)


async def test_a_statement_that_fails_says_so_by_its_sqlstate_alone(fleet: Fleet) -> None:
    fleet.migration(FIRST, "INSERT INTO users SELECT * FROM users;")
    with collecting() as collector:
        await roll_out(fleet, collector, "halted")
    failed = [span for span in collector.spans if span.failed and span.kind == "CLIENT"]
    assert [span.attributes["db.response.status_code"] for span in failed] == ["23505"]
    assert [span.attributes["error.type"] for span in failed] == ["23505"]
    assert "user1@example.com" not in repr(collector.spans)
    await invariants.hold(fleet)


async def test_after_a_collector_was_away_for_a_whole_rollout_the_same_tree_is_sent(
    fleet: Fleet,
) -> None:
    fleet.migration(FIRST, "UPDATE users SET city = 'x' WHERE id = 1;")
    with collecting() as collector:
        there = await roll_out(fleet, collector)
    fleet.migration(SECOND, "UPDATE users SET city = 'y' WHERE id = 1;")
    # Nobody listens there any more.
    away = await roll_out(fleet, collector)
    sent, _ = await sent_again(fleet, away)
    shapes = [shape(one, rollout) for one, rollout in ((collector, there), (sent, away))]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == len(fleet.tenants)


def shape(collector: Collector, rollout: str) -> list[list[tuple[str, str, str]]]:
    """The trees of a rollout's orders without ids and versions: names, kinds, names above."""
    names = {one.id: one.name for one in collector.spans}
    trees: dict[str, list[tuple[str, str, str]]] = {}
    for one in collector.spans:
        trees.setdefault(one.trace, []).append((one.name, one.kind, names.get(one.parent, "")))
    orders = [
        one
        for one in collector.named("order database")
        if one.attributes["cicd.pipeline.run.id"] == rollout
    ]
    return sorted(
        sorted(
            (name.replace(SECOND, FIRST), kind, above.replace(SECOND, FIRST))
            for name, kind, above in trees[one.trace]
        )
        for one in orders
    )


async def test_in_one_process_the_same_tree_is_sent_again_too(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(databases=2)
    fleet.migration(FIRST, "UPDATE users SET city = 'x' WHERE id = 1;")
    with collecting() as collector:
        export_to(fleet, collector)
        await fleet.ledger("up", "--folder", str(fleet.folder), "--waves", "1,rest", "--yes")
    (request,) = collector.named("ledger up")
    (plan,) = [one for one in collector.named("plan") if one.is_child_of(request)]
    assert plan.kind == "INTERNAL"
    (planned,) = [one.event for one in await fleet.events(RolloutPlanned)]
    assert isinstance(planned, RolloutPlanned)
    again, _ = await sent_again(fleet, planned.rollout)
    assert tree(again) == tree(collector)
    assert {one.service for one in collector.spans} == {"migration-ledger"}


async def test_of_a_share_of_nothing_what_failed_and_the_canary_are_exported_whole(
    fleet: Fleet,
) -> None:
    await fleet.tenant("db03").execute(f"UPDATE users SET city = '{ROW_VALUE}' WHERE id = 1")
    fleet.migration(FIRST, f"INSERT INTO users SELECT * FROM users WHERE city = '{ROW_VALUE}';")
    fleet.env |= {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    # A busy machine may take long for anything.
    fleet.env["LEDGER_MONITORING_SLOW_TRACE_S"] = "600"
    with collecting() as collector:
        rollout = await roll_out(fleet, collector, options=("--budget", "5"))
    orders = collector.named("order database")
    ordered = [one.event for one in await fleet.events(MigrationOrdered)]
    (canary,) = [
        one.database for one in ordered if isinstance(one, MigrationOrdered) and one.wave == 0
    ]
    assert {one.attributes["migration_ledger.database"] for one in orders} == {canary, "db03"}
    traces = {one.trace for one in orders}
    for name in (f"process ledger.commands.{fleet.pool}", f"migrate {FIRST} up", "INSERT users"):
        assert {one.trace for one in collector.named(name)} == traces, name
    assert len(collector.named("wave")) == 2
    sent, _ = await sent_again(fleet, rollout)
    assert tree(collector) < tree(sent)
    assert len(sent.named("order database")) == len(fleet.tenants)


async def test_a_lock_wait_a_retry_a_failure_and_a_rollback_are_one_tree_each(
    fleet: Fleet,
) -> None:
    with collecting() as collector:
        rollout, figures = await roll_back_with_a_lock_in_the_way(fleet, collector)
    orders = collector.named("order database")
    ordered = [one for one in orders if one.attributes["cicd.pipeline.run.id"] == rollout]
    check_waits(collector, of(ordered, "db00"))
    failed = of(ordered, "db01")
    assert failed.failed
    (insert,) = [one for one in collector.named("INSERT users") if one.trace == failed.trace]
    assert insert.attributes["db.response.status_code"] == "23505"
    assert insert.kind == "CLIENT"
    undone = [one for one in collector.named(f"migrate {FIRST} down") if not one.failed]
    assert {one.trace for one in undone}.isdisjoint({one.trace for one in ordered})
    frames = {str(one.attributes["cicd.pipeline.run.id"]) for one in collector.named("rollout")}
    assert frames == {rollout, f"undo-{rollout}"}
    for name in sorted(frames):
        again, _ = await sent_again(fleet, name)
        assert tree(again) == tree(collector, name)

    shown = await fleet.ledger("traces", "show", rollout, "-o", "json")
    written = [repr(collector.spans), shown.out, *figures]
    written += [one.said() for one in fleet.processes]
    written += [str(event.metadata) for event in await fleet.events()]
    secrets = (ROW_VALUE, fleet.env[PASSWORD_VARIABLE])
    assert [one for one in secrets for text in written if one in text] == []


async def roll_back_with_a_lock_in_the_way(
    fleet: Fleet, collector: Collector
) -> tuple[str, list[str]]:
    """One database is locked for a while, one fails, all is taken back. Its id; figures then."""
    blocked, sick = fleet.tenant("db00"), fleet.tenant("db01")
    await sick.execute(f"UPDATE users SET city = '{ROW_VALUE}' WHERE id = 1")
    fleet.migration(
        FIRST,
        "ALTER TABLE users ADD COLUMN spans_note text;\n"
        f"INSERT INTO users SELECT * FROM users WHERE city = '{ROW_VALUE}';",
        "ALTER TABLE users DROP COLUMN spans_note;",
    )
    export_to(fleet, collector)
    fleet.env["LEDGER_MONITORING_LOG"] = "json"
    ports = [free_port(), free_port()]
    processes = [
        await fleet.serve(LEDGER_MONITORING_PORT=str(ports[0])),
        fleet.agent(LEDGER_MONITORING_PORT=str(ports[1])),
    ]
    async with holding(blocked):
        options = ("--lock-timeout", "5", "--budget", "0", "--when-spent", "rollback")
        rollout = await fleet.start(*options)
        first = await found(lambda: waiting_since(blocked), "it waits for the lock")

        async def is_later() -> bool:
            return (await waiting_since(blocked) or first) > first

        await until(is_later, "it has tried again")
    await fleet.at_least(1, UndoStarted)
    await fleet.reached(f"undo-{rollout}", "completed")
    figures = [(await asked(one, "/metrics"))[1] for one in ports]
    assert all("migration_ledger" in text for text in figures)
    for process in reversed(processes):
        process.ask_to_stop()
        assert await process.ended() == 0
    return rollout, figures


def check_waits(collector: Collector, order: Span) -> None:
    """The wait for a lock, the pause behind it, and both tries of the statement."""
    (migrate,) = [one for one in collector.named(f"migrate {FIRST} up") if one.trace == order.trace]
    waits = [one for one in collector.named("lock wait") if one.is_child_of(migrate)]
    assert {one.attributes["migration_ledger.lock"] for one in waits} == {
        "AccessExclusiveLock on public.users"
    }
    assert any(one.is_child_of(migrate) for one in collector.named("retry wait"))
    altering = [one for one in collector.named("ALTER TABLE users") if one.is_child_of(migrate)]
    assert [one.attributes.get("db.response.status_code") for one in altering] == ["55P03", None]
    assert not order.failed


@asynccontextmanager
async def holding(tenant: Tenant) -> AsyncIterator[None]:
    """A session that keeps the table `users` to itself until the block ends."""
    connection = await asyncpg.connect(tenant.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def waiting_since(tenant: Tenant) -> datetime | None:
    """When the transaction began that waits for a lock there, if one does."""
    began: datetime | None = await tenant.value(WAITING)
    return began


async def roll_out(
    fleet: Fleet,
    collector: Collector,
    ending: str = "completed",
    options: tuple[str, ...] = (),
) -> str:
    """One rollout with everything exporting to the collector; all processes have ended. Its id."""
    export_to(fleet, collector)
    leader = await fleet.serve()
    agent = fleet.agent()
    rollout = await fleet.start("--waves", "1,rest", *options)
    await fleet.reached(rollout, ending)
    for process in (agent, leader):
        process.ask_to_stop()
        assert await process.ended() == 0
    return rollout


def export_to(fleet: Fleet, collector: Collector) -> None:
    """Have everything exported there; a command is sent once, or it would be processed again."""
    fleet.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
    fleet.env["OTEL_METRICS_EXPORTER"] = "none"
    fleet.env["LEDGER_RESEND_S"] = "600"
    fleet.env.pop("OTEL_TRACES_EXPORTER", None)


async def check_sent_again(fleet: Fleet, first: Collector, rollout: str) -> None:
    """A collector that had nothing of it gets the same tree from the log, ids included."""
    second, answer = await sent_again(fleet, rollout)
    assert tree(second) == tree(first)
    assert len(second.named("wave")) == 2
    assert len(second.named("UPDATE users")) == len(fleet.tenants)
    assert answer.out == f"sent {len(second.spans) - 1} spans\n"
    drawn = await fleet.ledger("traces", "show", rollout)
    assert "wave 2" in drawn.out
    assert f"migrate {FIRST} up" in drawn.out
    assert "UPDATE users" in drawn.out


async def sent_again(fleet: Fleet, rollout: str) -> tuple[Collector, Answer]:
    """What another collector is sent of a rollout, from the log alone."""
    with collecting() as second:
        fleet.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = second.endpoint
        fleet.env.pop("OTEL_TRACES_EXPORTER", None)
        answer = await fleet.ledger("traces", "emit", "--rollout", rollout)
        fleet.env["OTEL_TRACES_EXPORTER"] = "none"
    return second, answer


def tree(collector: Collector, *rollouts: str) -> set[tuple[object, ...]]:
    """The spans of the rollout, its waves and its orders, all that is inside, and where it hangs.

    Of `rollouts` alone, where some are named.
    """
    orders = [
        one
        for one in collector.named("order database")
        if not rollouts or one.attributes["cicd.pipeline.run.id"] in rollouts
    ]
    traces = {one.trace for one in orders}
    frames = [
        one
        for one in collector.named("rollout")
        if not rollouts or one.attributes["cicd.pipeline.run.id"] in rollouts
    ]
    above = {one.id for one in frames}
    inside = [one for one in collector.spans if one.trace in traces]
    waves = [one for one in collector.named("wave") if one.parent in above]
    return {
        (one.service, one.name, one.kind, one.trace, one.id, one.parent, one.links, one.failed)
        for one in (*frames, *waves, *inside)
    }


def check_messaging(process: Span, topic: str, fleet: Fleet) -> None:
    """The span of a command has the names of the conventions for messaging."""
    found = process.attributes
    wanted = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": f"agents.{fleet.pool}",
        "messaging.kafka.message.key": "db00",
        "cicd.pipeline.name": "rollout",
        "cicd.pipeline.task.name": "apply",
        "cicd.pipeline.task.run.result": "success",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert found["messaging.message.id"] == found["cicd.pipeline.task.run.id"]
    assert found["messaging.message.conversation_id"] == found["cicd.pipeline.run.id"]
    assert str(found["messaging.destination.partition.id"]).isdigit()
    assert isinstance(found["messaging.kafka.offset"], int)


def check_statement(statement: Span, fleet: Fleet) -> None:
    """The span of a statement has the names of the conventions for databases."""
    found = statement.attributes
    assert found["db.system.name"] == "postgresql"
    assert found["db.namespace"] == fleet.tenants[0].name
    assert found["db.query.summary"] == statement.name
    assert found["db.query.text"] == "UPDATE users SET city = $1 WHERE id = $2"
    assert found["server.address"] == "127.0.0.1"
    assert isinstance(found["server.port"], int)


async def check_events(fleet: Fleet, root: Span, order: Span) -> None:
    """The log holds the contexts by which a replay could link to these spans."""
    (planned,) = await fleet.events(RolloutPlanned)
    assert (planned.metadata.traceparent or "").startswith(f"00-{root.trace}-{root.id}-")
    orders = await fleet.events(MigrationOrdered)
    assert (orders[0].metadata.traceparent or "").startswith(f"00-{order.trace}-{order.id}-")
    applied = await fleet.events(MigrationApplied)
    assert (applied[0].metadata.traceparent or "").split("-")[1] == order.trace


def ids(fleet: Fleet) -> set[str]:
    """The ids of all databases."""
    return {tenant.id for tenant in fleet.tenants}


def of(spans: list[Span], database: str) -> Span:
    """The span of one database."""
    (found,) = [
        span for span in spans if span.attributes.get("migration_ledger.database") == database
    ]
    return found
