"""Drift over the fleet: who is looked at, what was found, and what people take for right.

Agents take fingerprints; the leader compares them (`ledger.leader.inspector`). What sets two
schemas apart is asked for in a second look, at one database of each schema alone, so that of a
thousand databases with the same one only one sends it.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ledger.contracts.events import Purpose
from ledger.domain.check_results import SILENT
from ledger.domain.drift import (
    Cohort,
    KnownDrift,
    SeenSchema,
    accept,
    cohorts,
    seen,
)
from ledger.domain.refusals import ReasonRequired
from ledger.service.check_report import CheckService, Heard
from ledger.service.check_rows import CheckResult
from ledger.service.fleet import FleetService
from ledger.service.known_drift import known_drift
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.port import Log
from migrations.catalog.difference import CatalogDifference, difference
from migrations.catalog.remedy import remedy
from migrations.catalog.snapshot import fingerprint_of

COMPARED_MAX = 10
"""Schemas of one cohort that are compared with the one that most have."""


@dataclass(frozen=True, slots=True)
class DriftFound:
    """What a look at schemas found; `unseen` says of the others why there is no fingerprint."""

    check: str
    finished: bool
    cohorts: tuple[Cohort, ...]
    unseen: Mapping[str, str]
    known: KnownDrift


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """How a schema differs from the one that most have; `why` it could not be said, if it could
    not.
    """

    fingerprint: str
    databases: tuple[str, ...]
    difference: CatalogDifference | None = None
    sql: tuple[str, ...] = ()
    why: str = ""


class DriftService:
    """What is asked about schemas."""

    def __init__(
        self, fleet: FleetService, checks: CheckService, log: Log, encoder: RequestEncoder
    ) -> None:
        self._fleet = fleet
        self._checks = checks
        self._log = log
        self._encoder = encoder

    async def look(self, selection: str, asked: RequestContext) -> str:
        """Have the schemas of the selected databases looked at; the check's id."""
        return await self._fleet.check(selection, asked, Purpose.DRIFT)

    async def found(self, check: str, timeout_s: float, heard: Heard | None = None) -> DriftFound:
        """What has come when the look is finished, or after `timeout_s`; `heard` as in checks."""
        result = await self._checks.answers(check, timeout_s, heard)
        schemas, unseen = _schemas(result)
        return DriftFound(
            check, result.finished, cohorts(schemas), unseen, await known_drift(self._log)
        )

    async def ask_for_snapshots(self, found: DriftFound, asked: RequestContext) -> str | None:
        """Have one database of each schema say what it is; `None` where there is nothing to
        compare.
        """
        wanted = [
            databases[0]
            for cohort in found.cohorts
            if len(cohort.schemas) > 1
            for _, databases in cohort.schemas[: COMPARED_MAX + 1]
        ]
        if not wanted:
            return None
        return await self._fleet.check(f"id in ({','.join(wanted)})", asked, Purpose.SNAPSHOT)

    async def differences(
        self, cohort: Cohort, check: str, timeout_s: float
    ) -> Sequence[SchemaDifference]:
        """How the schemas of a cohort differ from its most frequent one."""
        result = await self._checks.answers(check, timeout_s)
        asked = [databases[0] for _, databases in cohort.schemas[: COMPARED_MAX + 1]]
        sent = await self._checks.snapshots(check, asked)
        documents, unseen = _documents(result, asked, sent)
        (expected, _), *others = cohort.schemas
        return [
            _compared(fingerprint, databases, documents, expected, unseen.get(databases[0], ""))
            for fingerprint, databases in others[:COMPARED_MAX]
        ]

    async def document(self, check: str, database: str, timeout_s: float) -> tuple[bytes, str]:
        """The snapshot that a database sent to a check; empty, and why, where it sent none."""
        result = await self._checks.answers(check, timeout_s)
        sent = await self._checks.snapshots(check, [database])
        documents, unseen = _documents(result, [database], sent)
        (document,) = documents.values() or (b"",)
        return document, unseen.get(database, "")

    async def accept(self, database: str, asked: RequestContext) -> bool:
        """Take the schema that a database drifted to for right. Whether that changed anything.

        Raises `ReasonRequired`, `DriftUnknown`, or what says that there is no such database.
        """
        known = await self._acceptable(asked)
        return await self._fleet.change(
            lambda fleet: accept(fleet, database, known), asked, [database]
        )

    async def check_acceptance(self, database: str, asked: RequestContext) -> None:
        """Raise what `accept` would raise; nothing is changed."""
        accept(await self._fleet.state(), database, await self._acceptable(asked))

    async def _acceptable(self, asked: RequestContext) -> KnownDrift:
        if not asked.reason:
            raise ReasonRequired(
                "accepting drift", "takes a schema for right that most others do not have"
            )
        return await known_drift(self._log)


def _schemas(result: CheckResult) -> tuple[list[SeenSchema], dict[str, str]]:
    schemas: list[SeenSchema] = []
    unseen: dict[str, str] = {}
    for row in result.rows:
        answer = row.answer
        if answer is None:
            unseen[row.database] = SILENT
            continue
        one = seen(answer)
        if one is not None:
            schemas.append(one)
            continue
        failure = answer.no_fingerprint or answer.failure
        unseen[row.database] = (
            failure.message
            if failure is not None
            else ("its agent is older than fingerprints are; upgrade it")
        )
    return schemas, unseen


def _documents(
    result: CheckResult, asked: Collection[str], sent: Mapping[str, str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """By fingerprint, what it is of; what was `sent` is believed when it has that hash."""
    documents: dict[str, bytes] = {}
    _, unseen = _schemas(result)
    for row in result.rows:
        answer = row.answer
        if row.database not in asked or answer is None or answer.fingerprint is None:
            continue
        if row.database not in sent:
            unseen[row.database] = (
                "its schema is too large to be sent; compare with `ledger db diff`"
            )
            continue
        try:
            document = b64decode(sent[row.database], validate=True)
            if fingerprint_of(document) == f"sha256:{answer.fingerprint}":
                documents[answer.fingerprint] = document
                continue
        except (Error, ValueError):
            pass
        unseen[row.database] = "what its agent sent is not what its fingerprint says; look again"
    return documents, unseen


def _compared(
    fingerprint: str,
    databases: tuple[str, ...],
    documents: Mapping[str, bytes],
    expected: str,
    unseen: str,
) -> SchemaDifference:
    if fingerprint not in documents or expected not in documents:
        why = unseen or "the schema was changed between two looks; look again"
        return SchemaDifference(fingerprint, databases, why=why)
    found = difference(documents[expected], documents[fingerprint])
    return SchemaDifference(fingerprint, databases, found, tuple(remedy(found)))
