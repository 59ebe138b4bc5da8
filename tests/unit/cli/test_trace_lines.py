"""What people and programs are told of a trace."""

from __future__ import annotations

from ledger.cli.app.trace import Traced
from ledger.domain.table_sizes import TableSize
from migrations.model.traces import LockMode, TableLock, Trace, TracedStatement, heavy_tables

HOSTILE = 'public."a\n\x1b[31m"'
STATEMENTS = (
    TracedStatement(
        "1",
        "1_a",
        "1_a.sql",
        3,
        0,
        "ALTER TABLE users",
        locks=(
            TableLock("public.users", LockMode.ACCESS_EXCLUSIVE),
            TableLock(HOSTILE, LockMode.SHARE),
            TableLock("public.posts", LockMode.ACCESS_SHARE),
        ),
        rewrites=("public.users",),
        scans=("public.users", "public.posts"),
    ),
    TracedStatement("1", "1_a", "1_a.sql", 5, 1, "CREATE TABLE fresh"),
    TracedStatement(
        "2",
        "2_b",
        "2_b.sql",
        1,
        0,
        "VACUUM users",
        transactional=False,
        untraced="it runs outside of transactions, so this is what is known of its kind",
        locks=(TableLock("users", LockMode.SHARE_UPDATE_EXCLUSIVE),),
    ),
)
TRACED = Traced(
    Trace(180006, STATEMENTS, tuple((f"extension e{number}", "not there") for number in range(7))),
    (
        TableSize("public.users", 10240.0, 300, 12, 45000.0, "acme"),
        TableSize("public.posts", 10240.0),
    ),
    "1 database did not answer",
)


def test_people_read_the_worst_first_and_nothing_of_a_name_reaches_the_terminal() -> None:
    assert list(TRACED.lines()) == [
        "Traced on PostgreSQL 18.6, in a scratch database:",
        "  1_a.sql",
        "    line 3: ALTER TABLE users",
        "      rewrites public.users",
        "      reads all of public.posts",
        "      ACCESS EXCLUSIVE on public.users; blocks reads and writes",
        '      SHARE on public."a\\n\\x1b[31m"; blocks writes',
        "      ACCESS SHARE on public.posts",
        "    line 5: CREATE TABLE fresh",
        "      locks no table that is in use",
        "  2_b.sql",
        "    line 1: VACUUM users",
        "      not traced: it runs outside of transactions, so this is what is known of its kind",
        "      SHARE UPDATE EXCLUSIVE on users",
        "  public.users: above the limit of 10,240 MB in 12 of 300 databases; the largest has "
        "45,000 MB, in acme",
        "  public.posts: no database says how large it is",
        "  how large the tables are is not known: 1 database did not answer",
        *(f"  not in the scratch database: extension e{number}: not there" for number in range(5)),
        "  and 2 more are not; `-o json` has all of them",
    ]


def test_programs_have_all_of_it() -> None:
    document = TRACED.document()
    first, _, last = document["statements"]
    assert (first["blocks_reads"], first["blocks_writes"]) == (
        ["public.users"],
        ["public.users", HOSTILE],
    )
    assert (last["transactional"], last["not_traced"] is None) == (False, False)
    assert document["sizes"][0]["above"] == 12
    assert document["sizes"][1]["largest_in"] is None
    assert len(document["lacks"]) == 7


def test_tables_that_matter_by_their_size_are_those_that_are_read_or_written_whole() -> None:
    assert heavy_tables(STATEMENTS) == ("public.users", "public.posts")
