"""What a person gets wrong: one sentence that names what to do; nothing is asked or recorded."""

from __future__ import annotations

from pathlib import Path

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import Fleet
from tests.support.program import Answer, LedgerProgram


def is_one_sentence(answer: Answer, *said: str) -> bool:
    """Whether the program wrote one line, which holds these words, and nothing else."""
    return (
        answer.err.startswith("ledger: ")
        and answer.err.count("\n") == 1
        and answer.out == ""
        and all(words in answer.err for words in said)
    )


async def test_a_rollout_that_is_over_is_refused_before_anything_is_asked(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    before = await ledger("events", "-o", "ndjson")
    for words in (
        ["pause", rollout],
        ["resume", rollout],
        ["abort", rollout],
        ["retry", rollout],
        ["retry", rollout, "nosuch"],
    ):
        answer = await ledger("rollout", *words)
        assert answer.code == ExitCode.REFUSED, words
        assert is_one_sentence(answer, "it is completed", "ledger rollout rollback"), answer.err
    assert (await ledger("events", "-o", "ndjson")).out == before.out

    assert (await ledger("rollout", "rollback", rollout, "--yes")).code == ExitCode.OK
    again = await ledger("rollout", "rollback", rollout)
    assert is_one_sentence(again, "nothing is left to undo", f"undo-{rollout} took it back"), again
    undo = await ledger("rollout", "rollback", f"undo-{rollout}")
    assert is_one_sentence(undo, "a rollback has no rollback", "ledger up"), undo.err


MISTAKES: list[tuple[list[str], ExitCode, str]] = [
    (["up", "--waves", "0,-1,rest"], ExitCode.USAGE, "`1,10%,rest`"),
    (["up", "--waves", "1,2"], ExitCode.USAGE, "1 of 4 databases is in no wave"),
    (["up", "--budget", "150%"], ExitCode.USAGE, "like `2%`"),
    (["up", "--select", "half=h9"], ExitCode.REFUSED, "ledger fleet list"),
    (["up", "--yes", "--select", "id in (t1,t9)"], ExitCode.REFUSED, "id=t9 (the nearest is t"),
    (["up", "--yes", "--select", "haf!=h1"], ExitCode.REFUSED, "'haf' (the nearest is half)"),
    (["up", "--yes", "--select", "t1"], ExitCode.REFUSED, "write `id=t1`"),
    (["down", "--yes", "--select", "!haf"], ExitCode.REFUSED, "'haf' (the nearest is half)"),
    (["plan", "--select", "half=H1"], ExitCode.REFUSED, "half=H1 (the nearest is h1)"),
    (["fleet", "list", "--select", "half=x*"], ExitCode.REFUSED, "half=x* (the nearest is h"),
    (["status", "--select", "pool=defualt"], ExitCode.REFUSED, "(the nearest is default)"),
    (["status", "--select", "status=actve"], ExitCode.USAGE, "the nearest is active"),
    (["fleet", "check", "--select", "half notin (h0,h3)"], ExitCode.REFUSED, "half=h3 (the nea"),
    (["adopt", "--dry-run", "--select", "id!=t33"], ExitCode.REFUSED, "id=t33 (the nearest is t"),
    (["up", "--select", "half=="], ExitCode.USAGE, "column 6"),
    (["up", "--folder", "nosuch"], ExitCode.USAGE, "ledger create"),
    (["bundle", "register", "nosuch"], ExitCode.USAGE, "ledger create"),
    (["create", "x", "--recipe", "nosuch"], ExitCode.USAGE, "There are"),
    (["create", "x", "--recipe", "add-column"], ExitCode.USAGE, "--table"),
    (["create", "x", "--table", "t"], ExitCode.USAGE, "--recipe"),
    (["create", "///"], ExitCode.USAGE, "add_email_index"),
    (["create", "parcels"], ExitCode.USAGE, "has this name already"),
    (["up", "--format", "nosuch"], ExitCode.USAGE, "sql-migrate"),
    (["rollout", "status", "nosuch"], ExitCode.REFUSED, "ledger rollout list"),
    (["rollout", "retry"], ExitCode.REFUSED, "ledger rollout list"),
    (["resolve", "t0", "1", "--applied", "--reason", "x"], ExitCode.REFUSED, "rollout list"),
    (["resolve", "t9", "1", "--applied", "--reason", "x"], ExitCode.REFUSED, "the nearest is t"),
    (["resolve", "t0", "1", "--reason", "x"], ExitCode.USAGE, "--applied or --not-applied"),
    (["history", "nosuch"], ExitCode.REFUSED, "ledger fleet list"),
    (["history", "--database", "nosuch"], ExitCode.REFUSED, "ledger fleet list"),
    (["events", "--database", "nosuch"], ExitCode.REFUSED, "ledger fleet list"),
    (["events", "--type", "RolloutPaussed"], ExitCode.USAGE, "RolloutPaused"),
]


async def test_a_mistake_is_answered_by_one_sentence_that_names_what_to_do(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    for words, code, said in MISTAKES:
        answer = await ledger(*words)
        assert answer.code == code, words
        assert is_one_sentence(answer, said), answer.err


async def test_where_nothing_is_registered_yet_every_command_names_what_registers_it(
    ledger: LedgerProgram, migrations: Path, installed: str
) -> None:
    for words in (["plan"], ["up", "--yes"], ["fleet", "check"], ["plan", "-s", "tier=gold"]):
        answer = await ledger(*words)
        assert answer.code == ExitCode.REFUSED, words
        assert is_one_sentence(answer, "no database yet", "`ledger fleet add`"), answer.err
        assert "reinstate" not in answer.err


async def test_of_two_rollouts_at_once_the_second_is_refused_with_the_name_of_the_first(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    first = (await ledger("up", "--yes", "--no-wait", "-o", "json")).json["rollout"]
    before = await ledger("events", "-o", "ndjson")
    for words in (["up"], ["rollout", "start"]):
        second = await ledger(*words)
        assert second.code == ExitCode.REFUSED
        assert is_one_sentence(second, f"(rollout {first})", "ledger rollout status")
    for words in (["retry", first, "nosuch"], ["retry", first, "t0"]):
        retry = await ledger("rollout", *words)
        assert is_one_sentence(retry, f"ledger rollout status {first}"), retry.err
    settled = await ledger("resolve", "t0", "1", "--applied", "--reason", "x")
    assert is_one_sentence(settled, "not in doubt", f"ledger rollout status {first}"), settled.err
    assert (await ledger("events", "-o", "ndjson")).out == before.out


async def test_down_with_nothing_to_take_back_says_so_and_ends_well(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("migration", "register", "migrations")
    answer = await ledger("down")
    assert answer.code == ExitCode.OK
    assert "nothing to take back" in answer.out + answer.err
