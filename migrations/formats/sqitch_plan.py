"""The plan file of Sqitch: which changes there are, in which order, and what they rest upon.

    %syntax-version=1.0.0
    %project=flipr

    users [appschema !old_users auth:roles] 2013-12-30T23:49:00Z Marge <marge@example.com> # Note
    @v1.0 2013-12-31T00:01:22Z Marge <marge@example.com> # Note
    users [users@v1.0] 2014-01-02T00:00:00Z Marge <marge@example.com> # The rework of users

A name may come again behind a tag: that is a rework, and the scripts of the older instance bear the
tag in their names. A change that a change requires must come before it; one that it conflicts with
must not. Dependencies on other projects cannot be checked here: they become notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrations.errors import MarkerError

_PRAGMA = re.compile(r"%[ \t]*([A-Za-z][\w-]*)(?:[ \t]*=[ \t]*(.*?))?[ \t]*")
_ENTRY = re.compile(
    r"(?P<operator>[+-]?)[ \t]*(?P<tag>@?)(?P<name>[^\s@#:\[\]]+)"
    r"(?:[ \t]+\[(?P<needs>[^\]]*)\])?[ \t]+"
    r"(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+(?:\.[0-9]+)?Z)[ \t]+"
    r"(?P<planner>[^<]*?)[ \t]*<(?P<email>[^>]*)>"
    r"[ \t]*(?:\#(?P<note>.*))?"
)
_NEED = re.compile(
    r"(?P<conflict>!?)(?:(?P<project>[^\s:@!]+):)?(?P<name>[^\s:@!^~]*)"
    r"(?:@(?P<tag>[^\s:@^~]+))?(?:\^+|~[0-9]*)*"
)
_HASH = re.compile(r"[0-9a-f]{40}")
_SYMBOLIC = frozenset({"HEAD", "ROOT"})


@dataclass(frozen=True, slots=True)
class Need:
    """What a change rests upon, or must not meet; `written` as the plan has it."""

    written: str
    conflict: bool = False
    project: str = ""
    name: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `tags` are those behind which the same name comes again: none for the latest."""

    name: str
    line: int
    needs: tuple[Need, ...] = ()
    tags: tuple[str, ...] = ()
    planned_at: str = ""
    planner: str = ""
    email: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SqitchPlan:
    """A project's changes in order; `tags` by name with the number of changes before them."""

    project: str
    changes: tuple[Change, ...]
    tags: tuple[tuple[str, int], ...]

    def foreign(self, change: Change) -> tuple[Need, ...]:
        """What the change asks of other projects."""
        return tuple(need for need in change.needs if need.project and need.project != self.project)


def parse_plan(text: str, file: str) -> SqitchPlan:
    """The plan, checked. Raises MarkerError with the line of what is wrong."""
    project = ""
    changes: list[Change] = []
    tags: list[tuple[str, int]] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("%"):
            key, value = _pragma(line, file, number)
            project = value if key == "project" else project
            continue
        found = _ENTRY.fullmatch(line)
        if found is None:
            raise _unreadable(line, file, number)
        if found["operator"] == "-":
            raise MarkerError(
                file, number, f"the plan takes {found['name']} back", "Delete both of its lines"
            )
        if found["tag"]:
            _add_tag(tags, found["name"], len(changes), file, number)
        else:
            changes.append(_change(found, file, number))
    plan = SqitchPlan(project, tuple(_with_tags(changes, tags, file)), tuple(tags))
    _check_needs(plan, file)
    return plan


def _pragma(line: str, file: str, number: int) -> tuple[str, str]:
    found = _PRAGMA.fullmatch(line)
    if found is None:
        raise MarkerError(file, number, "a pragma that cannot be read", "Write %name=value")
    return found[1].lower(), found[2] or ""


def _unreadable(line: str, file: str, number: int) -> MarkerError:
    return MarkerError(
        file,
        number,
        f"`{line.split()[0]}` starts a line that is neither a change nor a tag",
        "Write `name [dependencies] 2026-01-02T03:04:05Z Planner <address> # note`",
    )


def _change(found: re.Match[str], file: str, number: int) -> Change:
    needs = tuple(_need(word, file, number) for word in (found["needs"] or "").split())
    return Change(
        name=found["name"],
        line=number,
        needs=needs,
        planned_at=found["at"],
        planner=found["planner"],
        email=found["email"],
        note=_unescaped((found["note"] or "").strip()),
    )


def _need(word: str, file: str, number: int) -> Need:
    found = _NEED.fullmatch(word)
    if found is None or not (found["name"] or found["tag"]):
        raise MarkerError(
            file,
            number,
            f"dependency {word} cannot be read",
            "Write name, !name, name@tag, @tag or project:name",
        )
    return Need(
        word, bool(found["conflict"]), found["project"] or "", found["name"], found["tag"] or ""
    )


def _add_tag(tags: list[tuple[str, int]], name: str, before: int, file: str, number: int) -> None:
    if any(known == name for known, _ in tags):
        raise MarkerError(file, number, f"tag @{name} comes twice", "Give one another name")
    if before == 0:
        raise MarkerError(
            file, number, f"tag @{name} stands before any change", "Move it behind a change"
        )
    tags.append((name, before))


def _with_tags(
    changes: Sequence[Change], tags: Sequence[tuple[str, int]], file: str
) -> Iterator[Change]:
    """Each change with the tags that lie between it and its rework. Raises MarkerError."""
    names = [change.name for change in changes]
    for index, change in enumerate(changes):
        if change.name not in names[index + 1 :]:
            yield change
            continue
        again = names.index(change.name, index + 1)
        between = tuple(tag for tag, before in tags if index < before <= again)
        if not between:
            raise MarkerError(
                file,
                changes[again].line,
                f"change {change.name} comes again, and no tag lies between",
                "Tag the plan before reworking a change, or give the second one another name",
            )
        yield Change(
            change.name,
            change.line,
            change.needs,
            between,
            change.planned_at,
            change.planner,
            change.email,
            change.note,
        )


def _check_needs(plan: SqitchPlan, file: str) -> None:
    """Raise MarkerError for a need that the plan does not fulfil."""
    seen: set[str] = set()
    tags: dict[str, int] = dict(plan.tags)
    for index, change in enumerate(plan.changes):
        for need in change.needs:
            if need.project and need.project != plan.project:
                continue
            there = _is_there(need, seen, plan, tags, index)
            if need.conflict and there:
                raise MarkerError(
                    file,
                    change.line,
                    f"{change.name} conflicts with {need.written[1:]}, which comes before it",
                    "Leave one of them out of the plan",
                )
            if not need.conflict and not there:
                raise MarkerError(
                    file,
                    change.line,
                    f"{change.name} requires {need.written}, which does not come before it",
                    "Move it up, or correct the name",
                )
        seen.add(change.name)


def _is_there(
    need: Need, seen: set[str], plan: SqitchPlan, tags: dict[str, int], index: int
) -> bool:
    """Whether what is named comes before the change with this number."""
    if _HASH.fullmatch(need.name):
        return True
    if need.tag and need.tag not in _SYMBOLIC:
        if tags.get(need.tag, len(plan.changes) + 1) > index:
            return False
        before = [change.name for change in plan.changes[: tags[need.tag]]]
        return not need.name or need.name in before
    return not need.name or need.name in seen


def _unescaped(note: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), note)
