"""Events of the log as rows, for `ledger history` and `ledger events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledger.cli.bundle.commands import DIGEST_SHOWN
from ledger.domain.wording import failure_text, number_of
from migrations.likeness import nearest
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.contracts.envelope import Metadata, Recorded
    from ledger.contracts.reports import Event
    from migrations.model.attempt import Failure

TOLD = (
    "rollout", "database", "bundle", "version", "direction", "mode", "wave", "attempt",
    "verdict", "read", "unread", "silent", "changed", "lost",
    "rows", "batches", "total", "recovered", "told", "duration_ms",
    "purpose", "databases", "waves", "applied", "skipped", "failed", "undoes", "by", "term",
    "leader", "position", "why",
)  # fmt: skip
"""Fields of events that make up their line for people, in this order; JSON has the whole body."""

UNNAMED = ("rollout", "database", "version", "why")
"""Fields that need no name beside their value."""
ORDINALS = ("wave", "attempt", "term", "position")
"""Numbers that say which one and not how many: they are written as they are typed."""


def event_row(
    recorded: Recorded, asked: Metadata | None = None, asked_by: str | None = None
) -> dict[str, Any]:
    """An event with all that is known of it; `asked`, under a role, is what led to it."""
    said = asked or recorded.metadata
    body = recorded.event.model_dump(mode="json")
    return {
        "position": recorded.position,
        "stream": recorded.stream,
        "stream_version": recorded.stream_version,
        "event_id": recorded.event_id,
        "event": type(recorded.event).__name__,
        "what": told(recorded.event),
        "recorded_at": recorded.recorded_at,
        "who": _who(recorded, said, asked_by or recorded.recorded_by),
        "from": said.actor.place if said.actor is not None else None,
        "by": recorded.recorded_by,
        # Of what was done outside of the ledger, the reason stands in the database's journal.
        "reason": said.reason or body.get("reason"),
        "ticket": said.ticket,
        "leaf": recorded.leaf.hex() if recorded.leaf is not None else None,
        "chain": recorded.chain.hex() if recorded.chain is not None else None,
        "body": body,
        "metadata": recorded.metadata.model_dump(mode="json", exclude_none=True),
    }


def refuse_unknown_types(kinds: Sequence[str]) -> None:
    """Raise `WrongArgument` for a type that no event has: nothing would ever match it."""
    from ledger.contracts.events import EVENTS
    from ledger.errors import WrongArgument

    for kind in kinds:
        if kind not in EVENTS:
            near = nearest(kind, EVENTS)
            like = f"the nearest is {near}" if near else "they are called like MigrationFailed"
            raise WrongArgument(f"no event is of the type {escaped(kind)!r}; {like}")


def refuse_unknown_stream(beginning: str) -> None:
    """Raise `WrongArgument` for what no stream begins with: nothing would ever match it."""
    from ledger.contracts.streams import Stream
    from ledger.errors import WrongArgument

    known = dict.fromkeys(one.value.partition("<")[0] for one in Stream)
    whole = [one for one in known if not one.endswith("-")]
    named = any(one.startswith(beginning) for one in known)
    if not named and not any(beginning.startswith(one) for one in known if one not in whole):
        raise WrongArgument(
            f"no stream begins with {escaped(beginning)!r}; there are {', '.join(whole)}, "
            "rollout-ID and check-ID"
        )


def told(event: Event) -> str:
    """An event's fields that people look for, in one line."""
    body = event.model_dump(mode="json")
    if "database" in body:
        body.pop("rollout", None)
    if not body.get("batches"):
        # Where nothing went in batches, their numbers say nothing.
        body = {name: value for name, value in body.items() if name not in ("rows", "batches")}
    parts = [_part(name, body[name]) for name in TOLD if body.get(name) not in (None, "", [])]
    if results := body.get("results"):
        parts.append(_verdicts(results))
    failure: Failure | None = getattr(event, "failure", None)
    if failure is not None:
        parts.append(failure_text(failure))
    return " ".join(parts)


def _verdicts(results: Sequence[Mapping[str, Any]]) -> str:
    """What checks came to: those that did not pass by name, the others counted."""
    named: dict[str, list[str]] = {}
    for one in results:
        named.setdefault(one["verdict"], []).append(one["check"])
    passed = len(named.pop("pass", ()))
    told = [f"{verdict}: {', '.join(checks)}" for verdict, checks in named.items()]
    return "; ".join([*told, f"{number_of(passed, 'check')} passed"])


def _who(recorded: Recorded, said: Metadata, role: str) -> str:
    """Whoever asked, by name, and how that is known: told to a program, or proven by a login."""
    from ledger.contracts.actor import known_by

    actor = said.actor
    if actor is None:
        return recorded.metadata.agent or ""
    return f"{actor.name} ({known_by(actor, role).value})"


def _part(name: str, value: Any) -> str:
    if name == "wave":
        return f"wave={value + 1}"
    if name == "bundle":
        return f"bundle={value[:DIGEST_SHOWN]}"
    if isinstance(value, list):
        return f"{name}={','.join(value)}" if len(value) == 1 else f"{name}={len(value):,}"
    if type(value) is int and name not in ORDINALS:
        return f"{name}={value:,}"
    return str(value) if name in UNNAMED else f"{name}={value}"
