"""Runbooks are followed as they stand: every command of ours in them is run, in their order.

Only what belongs to a reader's own surroundings is exchanged, such as a hash that he kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cli.conftest import (  # noqa: F401  these fixtures are for the tests here
    Fleet,
    environment,
    fleet,
    installed,
    ledger,
    start_ledger,
)
from tests.integration.cli.test_record import run
from tests.support.program import Answer, LedgerProgram
from tests.support.runbook import Step, steps

REHASH = """
    SET session_replication_role = replica;
    UPDATE ledger.log SET recorded_by = 'somebody' WHERE position = 3;
    DO $$
    DECLARE
        v_chain bytea := (SELECT chain FROM ledger.log WHERE position = 2);
        v_row ledger.log;
    BEGIN
        FOR v_row IN SELECT * FROM ledger.log WHERE position > 2 ORDER BY position LOOP
            v_row.leaf := ledger.leaf(
                v_row.position, ledger.field(v_row.stream, '\\x00000008'), v_row.stream_version,
                v_row.event_id, ledger.field(v_row.type, '\\x00000004'), v_row.schema_version,
                ledger.circumstances(v_row.recorded_at, v_row.recorded_by),
                v_row.metadata, v_row.body);
            v_chain := ledger.link(v_chain, v_row.leaf);
            UPDATE ledger.log SET leaf = v_row.leaf, chain = v_chain
            WHERE position = v_row.position;
        END LOOP;
    END
    $$;
"""
"""What the owner of a log can do: change an event, and hash everything behind it again."""
DRIFT = "UPDATE ledger.fleet_database SET pool = 'x' WHERE database = 't2'"


async def follow(ledger: LedgerProgram, found: Iterator[Step]) -> dict[tuple[str, ...], Answer]:  # noqa: F811
    """Run these, with the questions answered; what each wrote."""
    answers: dict[tuple[str, ...], Answer] = {}
    for step in found:
        words = step.words[1:]
        yes = ("--yes",) if "--repair" in words else ()
        answer = await ledger(*words, *yes)
        assert answer.code == step.code, (step, answer.out, answer.err)
        answers[words] = answer
    return answers


async def test_a_log_that_was_hashed_again_is_found_by_the_end_that_was_kept(
    ledger: LedgerProgram,  # noqa: F811
    installed: str,  # noqa: F811
    fleet: Fleet,  # noqa: F811
) -> None:
    kept = (await ledger("audit", "verify", "-o", "json")).json
    early = (await ledger("audit", "verify", "--at", "2", "-o", "json")).json["at"][0]
    await run(installed, REHASH)
    alone = await ledger("audit", "verify", "-o", "json")
    assert (alone.code, alone.json["whole"]) == (0, True), "nothing in the database shows it"

    ends = [f"{early['position']}:{early['chain']}", f"{kept['position']}:{kept['chain']}"]
    found = await ledger("audit", "verify", "--expect", ends[1], "--expect", ends[0], "-o", "json")
    assert found.code == 7
    assert [one["comparison"] for one in found.json["expected"]] == ["same", "changed"]
    assert found.json["changed_between"] == [3, kept["position"]]
    told = await ledger("audit", "verify", "--expect", ends[1])
    assert "NOT as it was kept" in told.out
    assert "ledger events --after 0" in told.out


async def test_a_kept_end_that_the_log_does_not_reach_any_more_is_gone(
    ledger: LedgerProgram,  # noqa: F811
    installed: str,  # noqa: F811
) -> None:
    end = (await ledger("audit", "verify", "-o", "json")).json
    behind = f"{end['position'] + 5}:{end['chain']}"
    same = f"{end['position']}:{end['chain'].upper()}"
    gone = await ledger("audit", "verify", "--expect", behind, "--expect", same, "-o", "json")
    assert gone.code == 7
    assert [one["comparison"] for one in gone.json["expected"]] == ["same", "gone"]
    assert (await ledger("audit", "verify", "--expect", same)).code == 0
    refused = await ledger("audit", "verify", "--at", str(end["position"] + 1))
    assert refused.code == 4
    assert "the log ends at" in refused.err


@pytest.mark.parametrize("text", ["5", "5:abc", f"x:{'0' * 64}", f"{'9' * 19}:{'0' * 64}"])
async def test_what_is_no_end_of_a_chain_is_wrong_usage(
    ledger: LedgerProgram,  # noqa: F811
    text: str,
) -> None:
    answer = await ledger("audit", "verify", "--expect", text)
    assert answer.code == 2
    assert "64 hexadecimal digits" in answer.err


async def test_events_say_their_hashes_and_the_last_one_is_the_end_of_the_chain(
    ledger: LedgerProgram,  # noqa: F811
    fleet: Fleet,  # noqa: F811
) -> None:
    end = (await ledger("audit", "verify", "-o", "json")).json
    rows = (await ledger("events", "-o", "json")).items
    assert rows[-1]["chain"] == end["chain"]
    assert {len(row["leaf"]) for row in rows} == {64}


async def test_the_runbook_for_a_record_that_differs_goes_as_it_says(
    ledger: LedgerProgram,  # noqa: F811
    installed: str,  # noqa: F811
    fleet: Fleet,  # noqa: F811
) -> None:
    assert (await ledger("fleet", "suspend", "t3")).code == 0
    assert (await ledger("status")).code == 0, "which projects it"
    (kept,) = (await ledger("audit", "verify", "--at", "4", "-o", "json")).json["at"]
    await run(installed, REHASH)
    await run(installed, DRIFT)
    all_steps = list(steps("record-differs.md", {"8:HASH": f"4:{kept['chain']}", "8": "4"}))
    # The first is for a log that nobody hashed again: here it is whole, and the kept end shows it.
    first = all_steps.pop(0)
    assert first.words[1:] == ("audit", "verify", "-o", "json")
    answers = await follow(ledger, iter(all_steps))
    repaired = answers["replay", "--repair"]
    assert "pool" in repaired.out
    assert "Put right" in repaired.err
    assert "No difference" in answers["replay",].out


async def test_a_repair_refuses_a_broken_log_and_a_role_that_may_not(
    ledger: LedgerProgram,  # noqa: F811
    installed: str,  # noqa: F811
    fleet: Fleet,  # noqa: F811
) -> None:
    assert (await ledger("status")).code == 0, "which projects the fleet"
    await run(installed, DRIFT)
    unasked = await ledger("replay", "--repair")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    await run(
        installed,
        "SET session_replication_role = replica;"
        "UPDATE ledger.log SET body = body || ' '::bytea WHERE position = 3",
    )
    broken = await ledger("replay", "--repair", "--yes")
    assert broken.code == 4
    assert "broken at position 3" in broken.err
    assert (await ledger("replay")).code == 7, "nothing was changed"
