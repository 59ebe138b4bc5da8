"""Nothing is changed without a yes."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator

import pytest

from ledger.cli.app.confirm import confirm
from ledger.errors import NotConfirmed, QuestionWithoutTerminal

FACTS = ["up on 40 databases in 3 waves (1, 4, 35)"]


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as stdin; what is written to the descriptor is what the person types."""
    person, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
    os.close(person)


def test_what_will_be_changed_is_said_with_the_ledgers_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    confirm("shop", FACTS, yes=True)
    captured = capsys.readouterr()
    assert captured.err == "Ledger shop\n  up on 40 databases in 3 waves (1, 4, 35)\n"
    assert captured.out == ""


def test_without_a_terminal_yes_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nowhere, monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", nowhere)
        with pytest.raises(QuestionWithoutTerminal, match="--yes"):
            confirm("shop", FACTS, yes=False)


def test_yes_on_the_terminal_goes_ahead(keyboard: int) -> None:
    os.write(keyboard, b"y\n")
    confirm("shop", FACTS, yes=False)


@pytest.mark.parametrize("answer", [b"n\n", b"\n"])
def test_anything_else_changes_nothing(keyboard: int, answer: bytes) -> None:
    os.write(keyboard, answer)
    with pytest.raises(NotConfirmed):
        confirm("shop", FACTS, yes=False)


def test_what_takes_changes_back_asks_for_the_name_of_what_is_at_stake(keyboard: int) -> None:
    os.write(keyboard, b"7c1e2a9b\n")
    confirm("shop", FACTS, yes=False, typed="7c1e2a9b")


@pytest.mark.parametrize("answer", [b"y\n", b"shop\n", b"7C1E2A9B\n", b"7c1e\n"])
def test_another_name_changes_nothing(keyboard: int, answer: bytes) -> None:
    os.write(keyboard, answer)
    with pytest.raises(NotConfirmed):
        confirm("shop", FACTS, yes=False, typed="7c1e2a9b")
