"""A large fleet as a person first sees it: totals, problems by cause, and the rest counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ledger.cli.app.output import Output, OutputRow
from ledger.domain.check_results import SILENT, cause
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.service.fleet_overview import FleetGroup, FleetNumbers, PoolNumbers

SHOWN = 50
"""Databases that people see one by one; of more they see groups, unless they ask for a list."""
GROUPS_SHOWN = 5
"""How many groups of a kind are told before the rest is only counted."""
POOLS_SHOWN = 20
"""How many pools have a line of their own."""
VERSIONS_SHOWN = 3
NAMED = 5
_LABEL = "`ledger fleet label DATABASE"


def totals(numbers: FleetNumbers, *, compared: bool = True) -> str:
    """`60 databases: 57 current, 2 behind, 1 suspended`; whoever is suspended counts twice.

    Where they are `compared` with no bundle, nobody is current.
    """
    parts = [f"{numbers.current:,} current"]
    if numbers.lagging:
        parts.append(f"{numbers.lagging:,} behind")
    said = ", ".join(parts) if compared else "nothing is registered that they could lack"
    text = f"{_databases(numbers.total)}: {said}"
    return f"{text}; {numbers.suspended:,} of them suspended" if numbers.suspended else text


def show_numbers(numbers: FleetNumbers, output: Output, *, compared: bool = True) -> None:
    """Write what a fleet has and lacks, and what went wrong."""
    lines = [totals(numbers, compared=compared)]
    lines += _told(numbers.troubles, "with a problem")
    lines += _told(numbers.behind, "behind")
    lists = "`ledger status --problems`, `--behind`, `--all`, or `-s SELECTION`"
    output.lines([*lines, "", f"Lists: {lists}"])


def show_pools(pools: Sequence[PoolNumbers], output: Output) -> None:
    """Write how many databases there are in each pool; those that are suspended by name."""
    held = [one for one in pools if one.status != "retired"]
    active = [one for one in held if one.status == "active"]
    suspended = [one for one in held if one.status == "suspended"]
    count = {
        name: sum(one.databases for one in rows)
        for name, rows in (("active", active), ("suspended", suspended))
    }
    told = ", ".join(f"{number:,} {name}" for name, number in count.items() if number)
    lines = [f"{_databases(sum(one.databases for one in held))}: {told}"]
    for one in suspended[:POOLS_SHOWN]:
        lines.append(f"  suspended in pool {one.pool}: {names(one.examples, one.databases)}")
    lines += _other_pools("suspended in ", [one.databases for one in suspended])
    by_pool: Counter[str] = Counter()
    for one in held:
        by_pool[one.pool] += one.databases
    # Of very many, the largest.
    pools_told = by_pool.most_common() if len(by_pool) > POOLS_SHOWN else list(by_pool.items())
    lines += [f"  pool {pool}: {_databases(n)}" for pool, n in pools_told[:POOLS_SHOWN]]
    lines += _other_pools("", [number for _, number in pools_told])
    if gone := sum(one.databases for one in pools if one.status == "retired"):
        lines.append(f"  besides, {gone:,} retired")
    output.lines([*lines, "", "Lists: `ledger fleet list --all`, or `-s SELECTION`"])


def _other_pools(what: str, numbers: Sequence[int]) -> list[str]:
    """The databases of pools that have no line of their own."""
    rest = numbers[POOLS_SHOWN:]
    where = number_of(len(rest), "other pool")
    return [f"  {what}{where}: {_databases(sum(rest))}"] if rest else []


def show_checks(rows: Iterable[OutputRow], output: Output) -> None:
    """Write what a look at many databases found: what is wrong by cause, the rest counted."""
    causes: dict[str, list[str]] = {}
    for row in rows:
        causes.setdefault(_cause(row), []).append(row["database"])
    total = sum(map(len, causes.values()))
    fine = len(causes.pop("", ()))
    silent = len(causes.get(SILENT, ()))
    wrong = total - fine - silent
    counts = [f"{fine:,} fine", f"{wrong:,} with a problem" if wrong else ""]
    counts.append(f"{silent:,} without an answer" if silent else "")
    lines = [f"{_databases(total)}: {', '.join(filter(None, counts))}"]
    ordered = sorted(causes.items(), key=lambda one: (one[0] == SILENT, -len(one[1])))
    for what, held in ordered[:GROUPS_SHOWN]:
        lines += ["", f"{len(held):,}: {names(held[:NAMED], len(held))}"]
        lines.append(f"    {_for_all_of(what, held)}")
    if rest := ordered[GROUPS_SHOWN:]:
        more = _databases(sum(len(held) for _, held in rest))
        lines += ["", f"{more} more, of {number_of(len(rest), 'other cause')}"]
    output.lines([*lines, "", "Lists: `ledger fleet check --problems`, `--all`, or `-s SELECTION`"])


def _cause(row: OutputRow) -> str:
    """What is wrong with a database, in words that are the same for others; nothing if nothing."""
    if row["reachable"] is None:
        return SILENT
    problem = str(row.get("problem") or ("" if row["reachable"] else "cannot be reached"))
    return cause(problem, row["database"])


def _for_all_of(what: str, held: Sequence[str]) -> str:
    """The cause with its advice for all of the group: labels go by a selection."""
    if len(held) == 1:
        return what.replace("DATABASE", held[0])
    selection = f"id in ({','.join(held)})" if len(held) <= NAMED else "SELECTION"
    return what.replace(_LABEL, f"{_LABEL.removesuffix(' DATABASE')} -s '{selection}'")


def names(examples: Sequence[str], number: int) -> str:
    """Some by name, and how many more there are."""
    more = number - len(examples)
    return ", ".join(examples) + (f" and {more:,} more" if more > 0 else "")


def _told(groups: Sequence[FleetGroup], what: str) -> list[str]:
    lines = []
    for group in groups[:GROUPS_SHOWN]:
        suspended = ", suspended" if group.status == "suspended" else ""
        lines += ["", f"{group.databases:,} {what}{suspended}: "
                  f"{names(group.examples, group.databases)}"]  # fmt: skip
        if group.problem:
            lines.append(f"    {group.problem}")
        if group.missing:
            lines.append(f"    lack {_versions(group.missing)}")
    if rest := groups[GROUPS_SHOWN:]:
        more = _databases(sum(group.databases for group in rest))
        lines += ["", f"{more} more {what}, in {number_of(len(rest), 'other group')}"]
    return lines


def _versions(missing: Sequence[str]) -> str:
    more = len(missing) - VERSIONS_SHOWN
    return ", ".join(missing[:VERSIONS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _databases(number: int) -> str:
    return f"{number:,} {'database' if number == 1 else 'databases'}"
