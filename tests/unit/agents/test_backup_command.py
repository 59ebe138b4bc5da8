"""The program that says when a backup was made: bounded in time and words, and never a shell."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest

from agents import backup_command
from agents.backup_command import ask, limits_with_backup, with_backup_word
from migrations.model.attempt import Limits
from migrations.model.preflight import (
    BackupWord,
    CheckBounds,
    Enforcement,
    PreflightCheck,
    PreflightPolicy,
)

AT = datetime(2026, 11, 30, 2, 10, tzinfo=UTC)
STRICT = PreflightPolicy(bounds=(CheckBounds(PreflightCheck.BACKUP, 24, 48),))


def printing(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({text!r})")


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-11-30T02:10:00Z", AT),
        ("2026-11-30 03:10:00+01:00", AT),
        (str(int(AT.timestamp())), AT),
        ("2026-11-30T02:10:00", None),
        ("yesterday", None),
        ("", None),
        ("9" * 40, None),
    ],
)
async def test_a_moment_with_its_zone_is_understood_and_nothing_else(
    said: str, at: datetime | None
) -> None:
    word = await ask(printing(said), "acme")
    assert word.at == at
    assert at is not None or "prints no moment with a time zone" in word.said


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/there/is/none",), "cannot be started"),
        ((sys.executable, "-c", "import sys; sys.exit(3)"), "ended with 3"),
        ((sys.executable, "-c", "print('x' * 10_000_000)"), "prints more than 4096 bytes"),
    ],
)
async def test_what_goes_wrong_is_said_and_known_by_nobody(
    command: tuple[str, ...], why: str
) -> None:
    word = await ask(command, "acme")
    assert word.at is None
    assert why in word.said


async def test_a_program_that_hangs_is_ended_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backup_command, "RUNS_S", 0.3)
    word = await ask(("/bin/sh", "-c", "sleep 600 & sleep 600"), "acme")
    assert "took longer than" in word.said


async def test_no_word_is_anything_but_a_word() -> None:
    word = await ask((sys.executable, "-c", "import sys; print(sys.argv[1:])"), "$(id);x")
    assert word.at is None
    echoed = (sys.executable, "-c", "import sys; sys.exit(len(sys.argv) - 2)", "a b")
    assert "ended with 1" in (await ask(echoed, "acme; exit 5")).said


async def test_nobody_is_asked_where_it_does_not_matter() -> None:
    never = ("/there/is/none",)
    for policy in (
        PreflightPolicy(),
        PreflightPolicy(enforcement=Enforcement.OFF, bounds=STRICT.bounds),
    ):
        assert await with_backup_word(policy, never, "acme") is policy
    assert await with_backup_word(STRICT, (), "acme") is STRICT
    assert (await limits_with_backup(Limits(), never, "acme")).preflight is None


async def test_the_later_word_counts_and_silence_takes_nothing_away() -> None:
    known = PreflightPolicy(bounds=STRICT.bounds, backup=BackupWord(AT, "recorded"))
    later = (AT + timedelta(hours=1)).isoformat()
    earlier = (AT - timedelta(hours=1)).isoformat()
    found = await with_backup_word(known, printing(later), "acme")
    assert found.backup is not None
    assert found.backup.at == AT + timedelta(hours=1)
    assert await with_backup_word(known, printing(earlier), "acme") is known
    assert await with_backup_word(known, ("/there/is/none",), "acme") is known
    silent = await with_backup_word(STRICT, ("/there/is/none",), "acme")
    assert silent.backup is not None
    assert silent.backup.at is None
