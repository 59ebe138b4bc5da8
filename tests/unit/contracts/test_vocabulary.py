"""One vocabulary: both sides of the bus say it in one class, and failures have one word each."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import agents
import ledger.contracts
import migrations
from ledger.contracts import envelope
from ledger.contracts.events import EVENTS
from ledger.contracts.reports import AttemptFinished
from migrations.errors import RunError
from migrations.model.attempt import Failure, FailureClass, Identity, Mode, Verdict

ROOT = Path(__file__).parents[3]
ALIKE = {("Step", "AdoptedMigration")}
"""Alike by chance: what is to run with its section's checksum, and what holds without a run."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".examples" not in found.name:
            yield importlib.import_module(found.name)


def shapes(package: ModuleType) -> dict[type, frozenset[str]]:
    """The fields of each value that a package defines."""
    found: dict[type, frozenset[str]] = {}
    for module in modules(package):
        for one in vars(module).values():
            if not isinstance(one, type) or one.__module__ != module.__name__:
                continue
            if issubclass(one, BaseModel):
                found[one] = frozenset(one.model_fields)
            elif dataclasses.is_dataclass(one):
                found[one] = frozenset(field.name for field in dataclasses.fields(one))
    return found


def test_no_value_of_the_contracts_has_the_very_fields_of_one_of_the_other_packages() -> None:
    said = shapes(ledger.contracts)
    others = shapes(migrations) | shapes(agents)
    twins = {
        (ours.__qualname__, theirs.__qualname__)
        for ours, fields in said.items()
        for theirs, same in others.items()
        if len(fields) > 1 and fields == same
    }
    assert len(said) > len(EVENTS)
    assert twins == ALIKE


def failure_kinds(tree: ast.AST) -> Iterator[ast.expr]:
    """Whatever the kind of a failure is compared with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute):
            of = ast.unparse(node.left.value)
            if node.left.attr == "kind" and "failure" in of:
                yield from node.comparators


def test_no_rule_compares_the_kind_of_a_failure_with_a_text() -> None:
    compared = {
        f"{path.relative_to(ROOT)}:{one.lineno}": ast.unparse(one)
        for package in ("ledger", "agents", "migrations")
        for path in (ROOT / package).rglob("*.py")
        for one in failure_kinds(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert compared
    assert {at: said for at, said in compared.items() if said.startswith(("'", '"'))} == {}


def kinds_of(error: type[RunError]) -> Iterator[object]:
    yield error.kind
    for narrower in error.__subclasses__():
        yield from kinds_of(narrower)


def test_every_error_of_a_run_says_what_class_of_failure_it_is() -> None:
    list(modules(migrations))
    assert all(isinstance(kind, FailureClass) for kind in kinds_of(RunError))


def finished(kind: str) -> bytes:
    report = AttemptFinished(
        database="acme",
        command=UUID(int=1),
        attempt=1,
        mode=Mode.UP,
        verdict=Verdict.FAILED,
        changed=0,
        journal_head=None,
        failure=Failure(FailureClass.SQL, "no"),
    )
    return report.model_dump_json().replace('"kind":"sql"', f'"kind":{kind}').encode()


def test_a_report_with_a_failure_that_only_newer_agents_know_is_read_all_the_same() -> None:
    read = envelope.decode("AttemptFinished", 1, finished('"quota"'))
    assert isinstance(read, AttemptFinished)
    assert read.failure == Failure(FailureClass.UNKNOWN, "no")


@pytest.mark.parametrize("kind", ["7", "null", "{}"])
def test_a_kind_of_failure_that_is_no_word_cannot_be_read(kind: str) -> None:
    with pytest.raises(envelope.UnknownMessage, match=r"failure\.kind"):
        envelope.decode("AttemptFinished", 1, finished(kind))


@pytest.mark.parametrize("oid", [-1, 2**32])
def test_an_identity_with_what_is_no_object_id_cannot_be_read(oid: int) -> None:
    said = {"uuid": str(UUID(int=1)), "system_identifier": "7", "database_oid": oid}
    with pytest.raises(ValidationError, match="no object id"):
        TypeAdapter(Identity).validate_python(said)
