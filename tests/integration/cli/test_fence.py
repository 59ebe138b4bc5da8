"""`ledger fleet reset-fence`, as a person meets it: found by a check, asked for, and over."""

from __future__ import annotations

from pathlib import Path

from ledger.cli.app.exits import ExitCode
from migrations.model.attempt import Epoch
from tests.integration.cli.conftest import Fleet
from tests.support.forged_entry import forge
from tests.support.program import LedgerProgram

RESET = ("fleet", "reset-fence", "t0", "--reason", "forged by its owner")


async def test_a_check_names_the_command_and_the_command_lets_orders_in(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    await forge(fleet.addresses["t0"], Epoch(2**63 - 1, 2**63 - 1))
    checked = await ledger("fleet", "check", "-o", "json")
    assert checked.code == ExitCode.FAILED
    problems = {row["database"]: row["problem"] for row in checked.json["items"]}
    assert [one for one, problem in problems.items() if problem] == ["t0"]
    assert "`ledger fleet reset-fence t0 --reason WHY`" in problems["t0"]
    unasked = await ledger(*RESET)
    assert unasked.code == ExitCode.USAGE
    assert "9223372036854775807.9223372036854775807" in unasked.err
    done = await ledger(*RESET, "--yes", "-o", "json")
    assert done.code == ExitCode.OK, done.err
    assert done.json["term"] == 2**63 - 1
    (migrations / "3_more.sql").write_text("-- +migrate Up\nCREATE TABLE more ();\n")
    assert (await ledger("up", "--yes")).code == ExitCode.OK
    fine = await ledger(*RESET, "--yes")
    assert fine.code == ExitCode.REFUSED
    assert "nothing is wrong" in fine.err
