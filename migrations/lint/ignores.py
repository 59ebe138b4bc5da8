"""`-- ledger:ignore RULE reason`: a person's word that one finding is known and borne.

    -- ledger:ignore index-blocks-writes the table has four rows
    -- ledger:ignore drop-column,drop-table the last reader went in release 41 until=2027-03-01

It stands above the statement that it is about, on the statement's own lines, or behind it on its
last line, and holds for that statement alone. What it catches is told as ignored, never forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from migrations import likeness
from migrations.lint.finding import LintFinding, Severity
from migrations.lint.rule import Rule
from migrations.lint.rules import EXPIRED_IGNORE, REGISTRY, UNUSED_IGNORE, WRONG_IGNORE
from migrations.sql.grammar import tokens, tree

MARK = "ledger:ignore"
_COMMENT = re.compile(rf"--[ \t]*{MARK}\b[ \t]*(?P<rest>[^\r\n]*)")
_UNTIL = re.compile(r"(?:^|(?<=\s))until=(\S*)")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One comment. `problem` says why it ignores nothing."""

    file: str
    line: int
    rules: tuple[str, ...] = ()
    reason: str = ""
    until: date | None = None
    problem: str = ""

    def has_ended(self, today: date) -> bool:
        """Whether its day has passed; on the day itself it holds."""
        return self.until is not None and today > self.until


@dataclass(frozen=True, slots=True)
class Span:
    """The lines of a file that an ignore for one statement may stand on."""

    file: str
    first: int
    """The line behind the statement before it."""
    last: int


def ignores_in(file: str, text: str) -> list[Ignore]:
    """The comments of a file, in order. A text that only looks like one, in quotes, is none."""
    if MARK not in text:
        return []
    found = tokens(text)
    if found is None:
        # Not SQL as a whole; a comment that has its line to itself is one all the same.
        places = [match for match in _COMMENT.finditer(text) if _begins_line(text, match.start())]
    else:
        comments = (one for one in found if one.kind == tree.Token.SQL_COMMENT)
        matches = (_COMMENT.match(text, one.start) for one in comments)
        places = [match for match in matches if match is not None]
    return [
        _read(file, text.count("\n", 0, match.start()) + 1, match["rest"].strip())
        for match in places
    ]


def _begins_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _read(file: str, line: int, rest: str) -> Ignore:
    named, _, said = rest.partition(" ")
    rules = tuple(word for word in named.split(",") if word)
    if not rules:
        return Ignore(file, line, problem="it names no rule")
    for name in rules:
        if name not in REGISTRY:
            return Ignore(file, line, problem=f"there is no rule {name!r}; {nearest(name)}")
    dates = _UNTIL.findall(said)
    reason = " ".join(_UNTIL.sub(" ", said).split())
    until = None
    if dates:
        try:
            (until,) = map(date.fromisoformat, dates)
        except ValueError:
            return Ignore(file, line, problem=f"until={dates[0]} is no day; write until=2027-03-31")
    if not any(letter.isalnum() for letter in reason):
        return Ignore(file, line, rules, problem="it gives no reason")
    return Ignore(file, line, rules, reason, until)


def nearest(name: str, known: Iterable[str] = REGISTRY) -> str:
    """Which name was most likely meant; of one that is like none, what some are called."""
    near = likeness.nearest(name, known)
    return f"the nearest is {near}" if near else f"they are called like {', '.join([*known][:3])}"


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of the findings, and what was ignored, each with its reason."""

    left: tuple[LintFinding, ...]
    ignored: tuple[tuple[LintFinding, str], ...]


def sift(
    findings: Sequence[tuple[LintFinding, Span]],
    ignores: Sequence[Ignore],
    spans: Sequence[Span],
    *,
    today: date,
    unasked: Collection[str],
) -> Sifted:
    """Take out what is ignored, and add what is wrong with the comments themselves.

    `spans` are those of all statements that were judged. An ignore for one of the `unasked` rules,
    which nobody looked at this time, is not called unused.
    """
    left: list[LintFinding] = []
    ignored: list[tuple[LintFinding, str]] = []
    used: set[tuple[str, int, str]] = set()
    for finding, span in findings:
        catching = next(
            (
                one
                for one in ignores
                if finding.rule in one.rules and not one.problem and _holds_for(one, span)
            ),
            None,
        )
        if catching is not None:
            used.add((catching.file, catching.line, finding.rule))
        if catching is None or catching.has_ended(today):
            left.append(finding)
        else:
            ignored.append((finding, catching.reason))
    for one in ignores:
        left += _about(one, used, spans, today, unasked)
    return Sifted(tuple(left), tuple(ignored))


def _holds_for(ignore: Ignore, span: Span) -> bool:
    return ignore.file == span.file and span.first <= ignore.line <= span.last


def _about(
    ignore: Ignore,
    used: Collection[tuple[str, int, str]],
    spans: Sequence[Span],
    today: date,
    unasked: Collection[str],
) -> Iterator[LintFinding]:
    """What is wrong with a comment."""
    if ignore.problem:
        yield _finding(WRONG_IGNORE, ignore, f"this ignore is not understood: {ignore.problem}")
        return
    idle = [
        name
        for name in ignore.rules
        if (ignore.file, ignore.line, name) not in used and name not in unasked
    ]
    if idle:
        where = (
            "the statement below it is not found wanting"
            if any(_holds_for(ignore, span) for span in spans)
            else "no statement that is judged stands below it"
        )
        yield _finding(UNUSED_IGNORE, ignore, f"nothing of {', '.join(idle)} is ignored: {where}")
    elif ignore.has_ended(today):
        yield _finding(EXPIRED_IGNORE, ignore, f"this ignore held until {ignore.until}")


def _finding(rule: Rule, ignore: Ignore, what: str) -> LintFinding:
    return LintFinding(
        ignore.file, ignore.line, rule.id, Severity(rule.severity), what, rule.why, rule.rewrite
    )
