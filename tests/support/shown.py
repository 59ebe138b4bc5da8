"""What a person sees of a fleet, rendered as the commands render it, against the journals.

`look` renders `ledger status`, `rollout status` (for people and as JSON), `rollout list` and `fleet
list`; `untruths` compares them with what the databases themselves say, and does nothing else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from ledger.cli.app.output import Output, OutputFormat
from ledger.cli.fleet.commands import _record
from ledger.cli.fleet.status import show_overview
from ledger.cli.rollout.status import LISTED, listed, show_rollout
from ledger.runtime import Ledger

if TYPE_CHECKING:
    from tests.support.invariants import Found

SETTLED_WELL = ("applied", "skipped", "rolled_back")
TO_COME = ("pending", "unfinished", "ordered", "running", "rolling back", "unknown", "blocked")
WAVE = re.compile(r"^  wave (\d+): (?:(\d+) of (\d+) done(.*)|(not opened|never opened).*)$")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the commands show: documents by command, and what people read of each rollout."""

    status: Mapping[str, Any]
    fleet: Mapping[str, Any]
    rollouts: Mapping[str, Any]
    each: Mapping[str, Mapping[str, Any]]
    """`rollout status -o json`, by rollout."""
    read: Mapping[str, str]
    """The same as people get it."""


async def look(ledger: Ledger, rollouts: Sequence[str]) -> Shown:
    """Render all of it."""
    overview = await ledger.status.overview()
    records = await ledger.fleet.list()
    summaries = await ledger.rollouts.list()
    statuses = [await ledger.rollouts.status(rollout) for rollout in rollouts]
    return Shown(
        status=_document(lambda output: show_overview(ledger.name, overview, output)),
        fleet=_document(
            lambda output: output.rows("fleet.list", [_record(one) for one in records], (), "")
        ),
        rollouts=_document(
            lambda output: output.rows(
                "rollout.list",
                [listed(one, None, for_people=False) for one in summaries],
                LISTED,
                "",
            )
        ),
        each={
            one.rollout: _document(lambda output, one=one: show_rollout(one, output))  # type: ignore[misc]
            for one in statuses
        },
        read={
            one.rollout: _rendered(
                lambda output, one=one: show_rollout(one, output),  # type: ignore[misc]
                OutputFormat.TABLE,
            )
            for one in statuses
        },
    )


def untruths(shown: Shown, found: Sequence[Found]) -> Iterator[str]:
    """What is shown and is not so."""
    databases = {one.database: one for one in found}
    yield from _of_the_fleet(shown, databases)
    latest: dict[str, str] = {}
    for rollout, document in shown.each.items():
        latest.update(dict.fromkeys((row["database"] for row in document["items"]), rollout))
    for rollout, document in shown.each.items():
        text = shown.read[rollout]
        yield from _of_the_waves(rollout, document, text)
        for row in document["items"]:
            one = databases.get(row["database"])
            if one is not None and latest[row["database"]] == rollout:
                yield from _of_a_database(rollout, row, one, text)
    yield from _of_the_list(shown)
    yield from _of_the_status(shown, databases, latest)


def _of_a_database(rollout: str, row: Mapping[str, Any], found: Found, text: str) -> Iterator[str]:
    """A status that the journal does not bear out, and a database that people do not see."""
    where = f"{row['database']}, {row['status']} in rollout {rollout}"
    touched = rollout in found.touched
    if row["status"] == "pending" and touched:
        yield f"{where}: its journal was written to"
    listed_there = re.search(rf"^{re.escape(row['database'])}\b", text, re.MULTILINE)
    well = row["status"].replace(" ", "_") in SETTLED_WELL and not row["problem"]
    if touched and not well and not listed_there:
        yield f"{where}: was worked on, and people do not see it"
    if row["status"] in ("failed", "rollback failed") and not row["problem"]:
        yield f"{where}: no problem is named"


def _of_the_waves(rollout: str, document: Mapping[str, Any], text: str) -> Iterator[str]:
    """Numbers of a wave that its databases do not add up to."""
    lines = {int(line[1]): line for line in map(WAVE.match, text.splitlines()) if line}
    for wave in document["waves"]:
        where = f"wave {wave['wave']} of rollout {rollout}"
        rows = [row for row in document["items"] if row["wave"] == wave["wave"]]
        counted = Counter(row["status"].replace(" ", "_") for row in rows)
        if counted != Counter(wave["counts"]) or len(rows) != wave["size"]:
            yield f"{where}: its databases are {dict(counted)}, it says {wave['counts']}"
        line = lines.get(wave["wave"])
        if line is None:
            yield f"{where}: people do not see it"
        elif not wave["opened"] and line[2] is not None and set(counted) <= {"pending"}:
            yield f"{where}: it never opened, and reads {line[0].strip()!r}"
        elif line[2] is not None:
            untouched = counted["pending"]
            if int(line[2]) > wave["size"] - untouched:
                yield f"{where}: {untouched} were never worked on, and it reads {line[0]!r}"


def _of_the_list(shown: Shown) -> Iterator[str]:
    """Lines of the list of rollouts that say something else than the rollouts."""
    for line in shown.rollouts["items"]:
        document = shown.each.get(line["rollout"])
        if document is None:
            continue
        counts = Counter(row["status"].replace(" ", "_") for row in document["items"])
        bad = sum(counts[one] for one in ("failed", "rollback_failed", "blocked", "unknown"))
        said = (line["status"], line["applied"], line["failed"])
        if said != (document["status"].replace("_", " "), counts["applied"], bad):
            yield f"the list says {said} of rollout {line['rollout']}, which is {dict(counts)}"


def _of_the_fleet(shown: Shown, databases: Mapping[str, Found]) -> Iterator[str]:
    known = {row["database"] for row in shown.fleet["items"]}
    if not known >= set(databases):
        yield f"`fleet list` lacks {sorted(set(databases) - known)}"


def _of_the_status(
    shown: Shown, databases: Mapping[str, Found], latest: Mapping[str, str]
) -> Iterator[str]:
    """What `ledger status` says is missing, against the journal of a database that is at rest."""
    lines = {
        (rollout, row["database"]): row
        for rollout, document in shown.each.items()
        for row in document["items"]
    }
    for row in shown.status["items"]:
        found = databases.get(row["database"])
        if found is None or row["unread"] or row["status"] != "active":
            continue
        line = lines.get((latest.get(row["database"], ""), row["database"]))
        if line is not None and (line["status"] in TO_COME and line["status"] != "pending"):
            # Its answer is owed, and the rollout says so.
            continue
        # What another tool's table says is nothing that the ledger claims to know.
        lies = set(row["missing"]) & found.in_force()
        if lies:
            yield f"`status` says that {row['database']} lacks {sorted(lies)}, which it has"


def _document(show: Callable[[Output], None]) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(_rendered(show, OutputFormat.JSON))
    return document


def _rendered(show: Callable[[Output], None], form: OutputFormat) -> str:
    """What a command writes: of JSON what goes to stdout, of a table both."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        show(Output(form))
    return out.getvalue() if form is OutputFormat.JSON else err.getvalue() + out.getvalue()
