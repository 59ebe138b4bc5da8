"""What a plan says of its migrations before anything runs, for people, programs and reviewers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg

from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

LARGE = {"LEDGER_LINT_LIMITS_SMALL_TABLE_MB": "0.01", "LEDGER_LINT_LIMITS_LARGE_TABLE_MB": "0.1"}


def write(migrations: Path, name: str, up: str, down: str = "SELECT 1;") -> None:
    text = f"-- +migrate Up\n{up}\n" + (f"-- +migrate Down\n{down}\n" if down else "")
    (migrations / name).write_text(text)


async def test_a_plan_says_what_each_migration_does_and_how_risky_that_is(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    await asyncio.to_thread(
        write, migrations, "3_heavier.sql",
        "ALTER TABLE parcels ALTER COLUMN weight TYPE bigint;",
        "ALTER TABLE parcels ALTER COLUMN weight TYPE int;",
    )  # fmt: skip
    await asyncio.to_thread(
        write, migrations, "4_gone.sql", "ALTER TABLE parcels DROP COLUMN weight;", ""
    )
    await asyncio.to_thread(write, migrations, "5_new.sql", "CREATE TABLE boxes (id int);")
    await asyncio.to_thread(write, migrations, "6_code.sql", "DO $$ BEGIN END $$;")
    await asyncio.to_thread(
        write, migrations, "7_both.sql",
        'DO $$ BEGIN END $$;\nALTER TABLE "two\nlines" ALTER a TYPE bigint;',
    )  # fmt: skip
    plan = await ledger("plan", "-o", "json")
    steps = {one["label"]: one for one in plan.json["steps"]}
    assert [(name, one["risk"]) for name, one in steps.items()] == [
        ("3_heavier", "high"), ("4_gone", "medium"), ("5_new", "low"), ("6_code", "unknown"),
        ("7_both", "high"),
    ]  # fmt: skip
    heavier = steps["3_heavier"]
    assert heavier["does"] == [{"kind": "ALTER TABLE", "statements": 1}]
    assert heavier["locks"] == [{"table": '"parcels"', "mode": "AccessExclusiveLock"}]
    assert [one["effect"] for one in heavier["effects"]] == ["rewrites"]
    assert heavier["largest_table"] is None
    assert "nobody has seen" in heavier["why"]
    assert steps["4_gone"]["loses"] == ["drops column parcels.weight"]
    assert steps["5_new"]["locks"] == []
    assert plan.json["risk"] == "high"
    assert plan.json["rollout_s"] is None
    shown = await ledger("plan")
    assert "    risk high: " in shown.out
    assert "ALTER TABLE; parcels (nobody else reads or writes); took not known" in shown.out
    assert "expected duration: not known, 5 migrations of 5 ran in no database" in shown.out
    assert 'DO, ALTER TABLE; "two\\nlines" (nobody else reads or writes)' in shown.out
    assert "not rehearsed" in shown.out


async def test_a_plan_weighs_what_squawk_finds_too(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    await asyncio.to_thread(write, migrations, "3_again.sql", "REINDEX TABLE parcels;")
    (step,) = (await ledger("plan", "-o", "json")).json["steps"]
    assert (step["risk"], [one["effect"] for one in step["effects"]]) == ("high", ["blocks_writes"])
    (plain,) = (await ledger("plan", "-o", "json", LEDGER_LINT_SQUAWK="false")).json["steps"]
    assert plain["effects"] == []


async def test_sizes_that_databases_told_weigh_what_a_migration_does(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    connection = await asyncpg.connect(fleet.addresses["t2"])
    try:
        await connection.execute("INSERT INTO parcels SELECT n FROM generate_series(1, 9000) n")
    finally:
        await connection.close()
    await asyncio.to_thread(
        write, migrations, "3_heavier.sql", "ALTER TABLE parcels ALTER weight TYPE bigint;"
    )
    assert (await ledger("check")).code == 0
    plan = await ledger("plan", "-o", "json")
    (step,) = plan.json["steps"]
    assert step["largest_table"]["database"] == "t2"
    assert step["largest_table"]["seen_in"] == 4
    assert step["largest_table"]["above_limit"] == 0
    assert step["risk"] == "low"
    plan = await ledger("plan", "-o", "json", **LARGE)
    (step,) = plan.json["steps"]
    assert (step["risk"], step["largest_table"]["above_limit"]) == ("high", 1)
    shown = await ledger("plan", **LARGE)
    assert re.search(r"largest table parcels \d+ kB in t2 \(seen in every database", shown.out)


async def test_lint_is_milder_of_small_tables_and_harsher_of_large_ones(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    await asyncio.to_thread(
        write, migrations, "3_heavier.sql", "ALTER TABLE parcels ALTER weight TYPE bigint;"
    )
    before = await ledger("lint", "-o", "json")
    assert [one["severity"] for one in before.items if one["rule"] == "type-rewrites"] == ["error"]
    assert (await ledger("check")).code == 0
    small = await ledger("lint", "-o", "json")
    (found,) = [one for one in small.items if one["rule"] == "type-rewrites"]
    assert found["severity"] == "warning"
    assert "Less so here: " in found["why"]
    set_so = await ledger("lint", "-o", "json", LEDGER_LINT_SEVERITY='{"type-rewrites": "error"}')
    kept = [one["severity"] for one in set_so.items if one["rule"] == "type-rewrites"]
    assert kept == ["error"]


async def test_what_a_migration_took_elsewhere_is_what_is_expected(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("up", "--yes", "--select", "id=t0")).code == 0
    plan = await ledger("plan", "-o", "json")
    assert [one["took"]["databases"] for one in plan.json["steps"]] == [1, 1]
    assert plan.json["per_database_s"] > 0
    assert plan.json["rollout_s"] >= plan.json["per_database_s"]
    assert plan.json["left_out"] == {"has all of it already": ["t0"]}
    shown = await ledger("plan")
    assert "took less than 1 s in 1 database" in shown.out
    assert "left out, has all of it already: t0" in shown.out


async def test_who_is_left_out_is_named_with_the_reason(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    assert (await ledger("fleet", "suspend", "t3", "--reason", "moving", "--yes")).code == 0
    plan = await ledger("plan", "-o", "json")
    assert plan.json["left_out"] == {"suspended": ["t3"]}


async def test_a_page_for_a_pull_request_is_the_same_until_something_changes(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    first = await ledger("plan", "-o", "markdown")
    again = await ledger("plan", "-o", "markdown")
    assert first.code == 0, first.err
    assert first.out == again.out
    assert first.out.startswith("<!-- migration-ledger plan shop -->\n## Migrations of `shop`: up")
    assert "<details><summary>Wave 1: 1 database</summary>\n\n- `t0`" in first.out
    assert "```sql\nCREATE TABLE parcels (id bigint PRIMARY KEY);" in first.out
    assert first.out.count("<details>") == first.out.count("</details>") == 4
    assert (await ledger("up", "--yes")).code == 0
    nothing = await ledger("plan", "-o", "markdown")
    assert nothing.out.startswith("<!-- migration-ledger plan shop -->\n")
    assert "Nothing to do; applied everywhere already: 2 migrations." in nothing.out


async def test_a_page_says_why_there_is_no_plan(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    refused = await ledger("plan", "-o", "markdown", "--select", "half=nothing")
    assert refused.code == 4
    assert refused.out.startswith("<!-- migration-ledger plan shop-half-nothing -->\n## ")
    assert re.search(r": no plan\n\n`+ ?refused: ", refused.out)
    gone = await ledger("plan", "-o", "markdown", LEDGER_DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert gone.code == 6
    assert gone.out.startswith("<!-- migration-ledger plan shop -->\n")
