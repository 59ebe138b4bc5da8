"""What was asked of agents, by command: heard from the log, and looked up in it when long ago.

Reports come soon after their orders and before the last word on them, so what is heard while it
passes, until that word, is nearly always enough. What was forgotten, or was ordered by an earlier
leader, is found in the log by the id that its order must have; what is not there was never ordered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

from ledger.contracts.envelope import Recorded, UnknownMessage
from ledger.domain.report_check import ANSWERS, Asked, asked_by, decided_in, ids_of_orders
from ledger.store.log.decode import decode_again
from ledger.store.port import Log

KEPT = 50_000
"""Orders that are remembered: some megabytes."""

Question = tuple[str, UUID]
"""A stream of decisions, and a command in it."""


class OrderBook:
    """Knows what was ordered in which stream."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._asked: OrderedDict[Question, Asked] = OrderedDict()
        self._versions: dict[tuple[str, ...], tuple[str, ...]] = {}

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Remember the orders among these, until their answers."""
        for one in recorded:
            if isinstance(one.event, ANSWERS):
                self._asked.pop((decided_in(one.stream), one.event.command), None)
            asked = asked_by(one.event)
            if asked is not None:
                self._keep((one.stream, asked.command), asked)

    async def look_up(self, questions: Iterable[Question]) -> dict[Question, Asked]:
        """What these commands asked in their streams; those that never were ordered are missing."""
        wanted = set(questions)
        unknown = [one for one in wanted if one not in self._asked]
        found: dict[Question, Asked] = {}
        if unknown:
            orders = {order: one for one in unknown for order in ids_of_orders(*one)}
            for raw in await self._log.by_id(list(orders)) if orders else ():
                question = orders[raw.event_id]
                try:
                    event = decode_again(raw.type, raw.schema_version, raw.body)
                except UnknownMessage:
                    continue
                asked = asked_by(event)
                if asked is not None and question == (raw.stream, asked.command):
                    found[question] = asked
        for one in wanted:
            if one in self._asked:
                self._asked.move_to_end(one)
                found[one] = self._asked[one]
        for question, asked in found.items():
            self._keep(question, asked)
        return found

    def _keep(self, question: Question, asked: Asked) -> None:
        # Most orders of a rollout name the same versions: one text of them is enough.
        if len(self._versions) > KEPT:
            self._versions.clear()
        shared = self._versions.setdefault(asked.versions, asked.versions)
        self._asked[question] = asked._replace(versions=shared)
        while len(self._asked) > KEPT:
            self._asked.popitem(last=False)
