"""Events as lines for people."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from ledger.cli.record.rows import told
from ledger.contracts.events import CheckRequested, Purpose, RolloutHalted, WavePlanned
from ledger.contracts.reports import MigrationFailed, PreflightChecked
from migrations.model.attempt import Failure, FailureClass
from migrations.model.preflight import PreflightCheck, PreflightResult, PreflightVerdict


def test_an_event_is_told_by_what_people_look_for() -> None:
    failure = Failure(kind=FailureClass.SQL, message="column exists", sqlstate="42701")
    event = MigrationFailed(
        command=UUID(int=1), database="acme", version="2", direction="up",
        checksum="0" * 64, failure=failure,
    )  # fmt: skip
    assert told(event) == "acme 2 direction=up column exists (SQLSTATE 42701)"


def test_many_databases_are_counted_and_one_is_named() -> None:
    many = WavePlanned(rollout="r", wave=0, chunk=0, databases=("acme", "bolt"))
    assert told(many) == "r wave=1 databases=2"
    one = WavePlanned(rollout="r", wave=0, chunk=0, databases=("acme",))
    assert told(one) == "r wave=1 databases=acme"


def test_what_was_asked_of_databases_is_told_by_its_purpose() -> None:
    asked = CheckRequested(check="c", purpose=Purpose.DRIFT, databases=("acme", "bolt"))
    assert told(asked) == "purpose=drift databases=2"


def test_a_halt_is_told_with_its_reason() -> None:
    assert told(RolloutHalted(rollout="r", why="1 of 4 failed")) == "r 1 of 4 failed"


def test_of_checks_those_that_did_not_pass_are_named_and_the_rest_counted() -> None:
    def result(check: PreflightCheck, verdict: PreflightVerdict) -> PreflightResult:
        return PreflightResult(check, verdict, 1.0, None, "why")

    event = PreflightChecked(
        command=UUID(int=1),
        database="acme",
        checked_at=datetime(2026, 11, 30, tzinfo=UTC),
        results=(
            result(PreflightCheck.RIGHTS, PreflightVerdict.FINE),
            result(PreflightCheck.LAG, PreflightVerdict.WARN),
            result(PreflightCheck.WINDOW, PreflightVerdict.BLOCK),
            result(PreflightCheck.SLOTS, PreflightVerdict.WARN),
        ),
    )
    assert told(event) == "acme warn: lag, slots; block: window; 1 check passed"
