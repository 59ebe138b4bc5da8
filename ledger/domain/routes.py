"""Which notices go where, and how many are one message. Pure.

```
notice ─▶ routes that want it ─▶ one message per target
                                   about a single database: collected per rollout and type
                                   about anything else:     sent as it is
```

All routes that want a notice take it, and a target that several of them name gets it once, by the
first of these. What is collected is a digest: a number, and some examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from ledger.contracts.events import EVENT_TYPES
from ledger.domain.notices import ROUTINE, SEVERITIES, Notice, NoticeSeverity
from migrations.model.preflight import LabelledWindow
from migrations.model.windows import minutes_until_open

EVERYTHING = "*"
"""All that is not routine: a pattern that meant everything would drown the rest."""
EXAMPLES = 5
"""Databases, migrations and classes of error that a digest names."""


@dataclass(frozen=True, slots=True)
class Route:
    """What goes to some targets: all that is said must hold; nothing said holds always.

    `events` are names, in which `*` stands for anything. `hours` are windows, of which one must be
    open when the event is recorded. What is about a single database is collected for `digest_s`.
    `title` and `text` are templates (`ledger.domain.messages`); the usual ones, if empty.
    """

    to: tuple[str, ...]
    events: tuple[str, ...] = ()
    severity: NoticeSeverity | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    hours: tuple[LabelledWindow, ...] = ()
    digest_s: float = 60.0
    title: str = ""
    text: str = ""

    def wants(self, notice: Notice) -> bool:
        """Whether type, severity and time are those of this route; labels are asked elsewhere."""
        return (
            self._is_named(notice)
            and (self.severity is None or notice.severity.reaches(self.severity))
            and (not self.hours or minutes_until_open(self.hours, notice.at) == 0)
        )

    def types(self) -> Iterator[str]:
        """The types of events that it may want, of all that there are."""
        if not self.events or EVERYTHING in self.events:
            yield from (kind.__name__ for kind in SEVERITIES if kind not in ROUTINE)
        for name in EVENT_TYPES:
            if any(fnmatchcase(name, one) for one in self.events if one != EVERYTHING):
                yield name

    def _is_named(self, notice: Notice) -> bool:
        if not notice.routine and (not self.events or EVERYTHING in self.events):
            return True
        return any(fnmatchcase(notice.event, one) for one in self.events if one != EVERYTHING)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that waits for a target.

    `key` is the same however often it is sent. With a `topic` it takes in what else is said there
    until it is `due_at`. `document` is what it says, in plain values.
    """

    target: str
    key: str
    topic: str
    position: int
    made_at: datetime
    due_at: datetime
    document: Mapping[str, Any]


def wanted(
    routes: Sequence[Route], notice: Notice, labelled: Mapping[int, bool]
) -> Iterator[tuple[str, Route]]:
    """The targets of a notice, each with the route that leads there.

    `labelled` says of routes with labels, by their number, whether what happened is about these.
    A target is never told that itself takes nothing.
    """
    seen = {notice.target} - {""}
    for number, route in enumerate(routes):
        if not route.wants(notice) or not labelled.get(number, True):
            continue
        for target in route.to:
            if target not in seen:
                seen.add(target)
                yield target, route


def draft_of(notice: Notice, event_id: UUID, target: str, route: Route, now: datetime) -> Draft:
    """The message that a notice begins at a target."""
    collected = bool(notice.database) and route.digest_s > 0
    topic = f"{notice.rollout}/{notice.event}" if collected else ""
    wait = timedelta(seconds=route.digest_s if collected else 0)
    document = {
        "event": notice.event,
        "severity": notice.severity.value,
        "count": 1,
        "headline": notice.headline,
        "rollout": notice.rollout,
        "databases": _named(notice.database),
        "migrations": _named(notice.migration),
        "errors": _named(notice.error),
        "places": _named(notice.place),
        "command": notice.command,
        "first_position": notice.position,
        "last_position": notice.position,
        "first_at": notice.at.isoformat(timespec="seconds"),
        "last_at": notice.at.isoformat(timespec="seconds"),
        "templates": [route.title, route.text],
    }
    key = hashlib.sha256(f"{target}\0{event_id}".encode()).hexdigest()
    return Draft(target, key, topic, notice.position, now, now + wait, document)


def joined(draft: Draft, more: Draft) -> Draft:
    """A digest that takes in another message of its topic."""
    document, added = dict(draft.document), more.document
    severities = (NoticeSeverity(document["severity"]), NoticeSeverity(added["severity"]))
    document["count"] += added["count"]
    document["severity"] = max(severities, key=list(NoticeSeverity).index).value
    for name in ("databases", "migrations", "errors", "places"):
        document[name] = list(dict.fromkeys([*document[name], *added[name]]))[:EXAMPLES]
    document["last_position"], document["last_at"] = added["last_position"], added["last_at"]
    return replace(draft, document=document)


def collected(drafts: Iterable[Draft], open_digests: Iterable[Draft]) -> list[Draft]:
    """Messages, of which those of one target and topic are joined while they may be.

    `open_digests` are those that wait already. What is returned replaces what has the same target
    and key.
    """
    digests = {(one.target, one.topic): one for one in open_digests}
    made: dict[tuple[str, str], Draft] = {}
    for draft in drafts:
        place = (draft.target, draft.topic)
        digest = digests.get(place) if draft.topic else None
        if digest is not None and draft.made_at < digest.due_at:
            draft = joined(digest, draft)
        if draft.topic:
            digests[place] = draft
        made[draft.target, draft.key] = draft
    return list(made.values())


def _named(value: str) -> list[str]:
    return [value] if value else []
