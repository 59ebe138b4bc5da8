"""What a person is shown of very many changes of the fleet."""

from __future__ import annotations

import pytest

from ledger.cli.app.output import PAGE, Output, OutputFormat
from ledger.cli.fleet.apply import show_changes
from ledger.domain.fleet_changes import ChangeKind, FleetChange, FleetChanges


def changes(**numbers: int) -> FleetChanges:
    """So many changes of each kind, by its name."""
    return FleetChanges(
        version=1,
        changes=tuple(
            FleetChange(ChangeKind(kind), f"{kind}{number}", {"label a": ("x", "y")}, ())
            for kind, several in numbers.items()
            for number in range(several)
        ),
    )


def kinds_shown(found: FleetChanges, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The first word of each row."""
    show_changes("fleet.diff", found, Output(OutputFormat.TABLE), "")
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]


def test_of_very_many_changes_some_of_every_kind_are_shown_and_first_what_leaves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = kinds_shown(changes(add=20, change=PAGE * 10, remove=PAGE), capsys)
    third = PAGE // 3
    assert shown == ["remove"] * third + ["change"] * third + ["add"] * 20
    assert kinds_shown(changes(change=PAGE * 10), capsys) == ["change"] * PAGE


def test_few_changes_are_all_shown_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    shown = kinds_shown(changes(add=2, change=1, remove=1), capsys)
    assert shown == ["add", "add", "change", "remove"]
