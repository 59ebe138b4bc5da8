"""A plan as a comment on a pull request: bounded, never broken, and nothing in it is obeyed."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ledger.cli.rollout.markdown import MAX_CHARS, code, fenced, marker, page
from ledger.service.outlook import PlanOutlook, Risk, StepOutlook
from ledger.service.plan_texts import StepText
from ledger.service.plans import Plan
from migrations.lint.finding import LargestTable
from migrations.lint.outlook import LockedTable, MigrationOutlook

HOSTILE = (
    "</code></details><img src=x onerror=alert(1)>",
    "`; DROP TABLE x; `` ``` ````",
    "@everyone #1 owner/repo#2 https://evil.example www.evil.example [x](javascript:y)",
    "a | b | c",
    "<!-- migration-ledger plan other -->",
    "line\nnext\r\n## heading\x1b[31m\u202e",
    "``` \n</details>",
    "",
    " ",
)


def drawn(databases: int, names: str = "t", notes: tuple[str, ...] = ()) -> Plan:
    waves = [tuple(f"{names}{number:05}" for number in range(databases))]
    return cast(
        Plan,
        SimpleNamespace(
            rehearsal=None,
            databases=waves[0],
            waves=waves if databases else [],
            digest="ab" * 32,
            direction="up",
            notes=notes,
            variables={one: one for one in notes if one},
            already_everywhere=2,
        ),
    )


def outlook(labels: tuple[str, ...], said: str = "why") -> PlanOutlook:
    quoted = '"' + said.replace('"', '""') + '"' if said else '"x"'
    steps = tuple(
        StepOutlook(
            cast(Any, SimpleNamespace(label=label, reversible=True)),
            MigrationOutlook(
                "1", (("ALTER TABLE", 2),), (LockedTable(quoted, "AccessExclusiveLock"),), (), ()
            ),
            Risk.HIGH,
            said,
            (quoted, LargestTable(12345678, "t0", 3, False)),
            None,
        )
        for label in labels
    )
    return PlanOutlook(steps, {"suspended": ("z1",)}, None, None)


def texts(sql: tuple[str, ...]) -> tuple[StepText, ...]:
    return tuple(StepText("1", "t0", one or "1.sql", one or "SELECT 1;") for one in sql)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_wrote_is_neither_markup_nor_a_link_nor_a_name(text: str) -> None:
    shown = page(drawn(2, notes=(text,)), outlook((text,), text), texts((text,)), text)
    assert shown.startswith(f"{marker(text)}\n## Migrations of ")
    html, links = [], []
    for token in MarkdownIt("commonmark").parse(shown):
        for one in (token, *(token.children or ())):
            if one.type in ("html_block", "html_inline"):
                html += re.findall(r"<[^>]*>", one.content)
            if one.type in ("link_open", "image", "heading_open"):
                links.append(one.type)
    allowed = {"<details>", "</details>", "<summary>", "</summary>", marker(text)}
    assert set(html) <= allowed
    assert links == ["heading_open"]
    assert html.count("<details>") == html.count("</details>") == 3
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@given(st.text(max_size=60))
def test_a_span_holds_one_text_and_ends_with_it(text: str) -> None:
    (paragraph,) = [
        one for one in MarkdownIt("commonmark").parse(f"x {code(text)} y") if one.type == "inline"
    ]
    kinds = [one.type for one in paragraph.children or ()]
    assert kinds == ["text", "code_inline", "text"]


@given(st.text(alphabet=st.sampled_from("`a\n <>~#"), max_size=60))
def test_a_fence_ends_where_its_sql_ends(sql: str) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(sql) + "\n\nafter")
    assert [one.type for one in tokens][:2] == ["fence", "paragraph_open"]


@pytest.mark.parametrize(
    ("databases", "migrations", "sql"),
    [(5, 3, 100), (20_000, 3, 100), (5, 2_000, 100), (5, 2, 200_000), (20_000, 2_000, 5_000)],
)
def test_a_page_is_never_too_long_and_never_broken(
    databases: int, migrations: int, sql: int
) -> None:
    labels = tuple(f"{number:06}_add_column" for number in range(migrations))
    scripts = tuple(f"SELECT '{'x' * sql}';" for _ in labels)
    shown = page(drawn(databases), outlook(labels), texts(scripts), "shop")
    assert len(shown) <= MAX_CHARS
    assert shown.startswith("<!-- migration-ledger plan shop -->\n")
    assert shown.count("<details>") == shown.count("</details>") == 3
    assert shown.count("```") % 2 == 0
    left = databases - len(re.findall(r"^- `t\d{5}`$", shown, re.MULTILINE))
    assert (f"- {left:,} databases more, not shown" in shown) is (left > 0)


def test_hundreds_of_waves_are_told_within_bounds() -> None:
    plan = drawn(5)
    plan = cast(Plan, SimpleNamespace(**{**vars(plan), "waves": [(f"t{n}",) for n in range(900)]}))
    shown = page(plan, outlook(("1_a",)), texts(("SELECT 1;",)), "shop")
    assert len(shown) <= MAX_CHARS
    assert "parts more, not shown: `ledger plan` has them." in shown
    assert "SQL of 1 migration" in shown


def test_what_is_long_without_end_has_one_in_the_page() -> None:
    shown = page(drawn(1), outlook(("x" * 100_000,), "y" * 100_000), (), "z" * 100_000)
    assert len(shown) <= MAX_CHARS
    assert " …`" in shown


def test_a_marker_is_a_comment_whatever_a_ledger_is_called() -> None:
    assert marker("shop") == "<!-- migration-ledger plan shop -->"
    assert marker("a--> <b>") == "<!-- migration-ledger plan a-b -->"
