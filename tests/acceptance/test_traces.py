"""One trace leads from `ledger rollout start` to each SQL statement, and back into the log."""

from __future__ import annotations

from ledger.contracts.events import MigrationOrdered, RolloutPlanned
from ledger.contracts.reports import MigrationApplied
from tests.acceptance.conftest import RESEND_NEVER
from tests.support import invariants
from tests.support.collector import Collector, Span, collecting
from tests.support.fleet import Fleet

FIRST = "20260101000000"
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
    order = of(ordered, "db00")
    topic = f"ledger.commands.{fleet.pool}"
    sent = [span for span in collector.named(f"send {topic}") if span.is_linked_to(order)]
    assert [span.kind for span in sent] == ["PRODUCER"] * len(sent) != []

    assert all(str(span.attributes["server.address"]) in LOOPBACK for span in sent)
    assert all(isinstance(span.attributes["server.port"], int) for span in sent)
    polled = [span for span in collector.named(f"poll {topic}") if span.is_linked_to(order)]
    assert [span.kind for span in polled] == ["CLIENT"]
    assert {span.kind for span in collector.named(f"commit {topic}")} == {"CLIENT"}

    process = of(collector.named(f"process {topic}"), "db00")
    assert process.is_child_of(order)
    assert process.is_linked_to(order)
    assert (process.kind, process.service) == ("CONSUMER", "migration-ledger-agent")

    migrate = collector.one(lambda s: s.name == f"migrate {FIRST} up" and s.trace == order.trace)
    assert migrate.is_child_of(process)
    statements = [span for span in collector.spans if span.is_child_of(migrate)]
    assert [span.kind for span in statements] == ["CLIENT"] * 3
    names = [span.name for span in statements]
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


async def roll_out(fleet: Fleet, collector: Collector, ending: str = "completed") -> str:
    """One rollout with everything exporting to the collector; all processes have ended. Its id."""
    fleet.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
    fleet.env["OTEL_METRICS_EXPORTER"] = "none"
    leader = await fleet.serve(**RESEND_NEVER)
    agent = fleet.agent()
    rollout = await fleet.start("--waves", "1,rest")
    await fleet.reached(rollout, ending)
    for process in (agent, leader):
        process.ask_to_stop()
        assert await process.ended() == 0
    return rollout


async def check_sent_again(fleet: Fleet, first: Collector, rollout: str) -> None:
    """A collector that had nothing of it gets the same tree from the log, ids included."""
    with collecting() as second:
        fleet.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = second.endpoint
        answer = await fleet.ledger("traces", "emit", rollout)
        fleet.env["OTEL_TRACES_EXPORTER"] = "none"
    names = {"order database", f"process ledger.commands.{fleet.pool}", f"migrate {FIRST} up"}
    assert len(tree(second, names)) == 3 * len(fleet.tenants)
    assert tree(second, names) == tree(first, names)
    assert {span.name for span in second.spans} - names == {"rollout", "wave", "ledger traces emit"}
    assert answer.out == f"sent {len(second.spans) - 1} spans\n"
    drawn = await fleet.ledger("traces", "show", rollout)
    assert "wave 2" in drawn.out
    assert f"migrate {FIRST} up" in drawn.out


def tree(collector: Collector, names: set[str]) -> set[tuple[str, ...]]:
    """These spans, and below which others they are."""
    return {
        (one.service, one.name, one.kind, one.trace, one.parent, own_id(one))
        for one in collector.spans
        if one.name in names
    }


def own_id(span: Span) -> str:
    """Its id; empty for a migration's, whose own one the log does not hold."""
    return "" if span.name.startswith("migrate") else span.id


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
