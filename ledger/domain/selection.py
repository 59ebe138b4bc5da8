"""Which databases a request means: `--select` expressions over labels, id, pool and status.

```
expression = "" | term { "," term }            every term must hold; empty selects the whole fleet
term       = key | "!" key                     it has the label, or has it not
           | key "=" value | key "!=" value
           | key ["not"] "in" "(" value { "," value } ")"
           | key "notin" "(" value { "," value } ")"
```

`id`, `pool` and `status` are keys like labels. In a value `*` stands for any characters, and `?`
for one. A database without the label differs from every value, so `region!=eu` includes it.

What cannot be read, or can hold of no database at all, as in `tier=gold,tier=silver`, is refused
here; what no database has, in `ledger.domain.selection_words`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from ledger.domain.description import RESERVED_LABELS
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from ledger.domain.refusals import InvalidSelection
from migrations.likeness import nearest

ANYTHING: Final = "*"
"""The value of which all that there are is one."""
STATUSES: Final = tuple(status.value for status in FleetStatus)
_TOKEN = re.compile(r"\s*(?:(?P<word>[^\s,=!()]+)|(?P<mark>!=|=|!|,|\(|\)))")
_MARKS = frozenset({"=", "!=", "!", ",", "(", ")"})
_KEY = "a label, `id`, `pool` or `status`"
_OPERATORS = {"=": False, "!=": True}
"""What stands before one value, and whether it is meant to differ."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the key's value is one of `values`, or, when `negated`, none of them."""

    key: str
    values: frozenset[str]
    negated: bool = False

    def holds(self, record: DatabaseRecord) -> bool:
        """Whether the database fulfils the condition."""
        value = value_of(record, self.key)
        found = value is not None and (value in self.values or _matches(self.values, value))
        return found is not self.negated


def value_of(record: DatabaseRecord, key: str) -> str | None:
    """What a database has under a key of selections."""
    match key:
        case "id":
            return record.database
        case "pool":
            return record.pool
        case "status":
            return record.status.value
        case _:
            return record.labels.get(key)


def is_glob(value: str) -> bool:
    """Whether a value stands for several."""
    return "*" in value or "?" in value


def parse(expression: str) -> tuple[Term, ...]:
    """The conditions of an expression. Raises `InvalidSelection`, which names the place."""
    return _Parser(expression).terms()


def meant(
    fleet: Iterable[DatabaseRecord], terms: Iterable[Term], *, retired: bool
) -> list[DatabaseRecord]:
    """The databases for which all terms hold, by id; those that left the fleet with `retired`."""
    wanted = tuple(terms)
    found = [
        record
        for record in fleet
        if (retired or not record.retired) and all(term.holds(record) for term in wanted)
    ]
    return sorted(found, key=lambda record: record.database)


def matches(glob: str, value: str) -> bool:
    """Whether a value is one of those that another one with `*` or `?` stands for."""
    return _matches(frozenset({glob}), value)


def _matches(values: frozenset[str], value: str) -> bool:
    globs = _globs(values)
    return globs is not None and globs.fullmatch(value) is not None


@lru_cache(maxsize=256)
def _globs(values: frozenset[str]) -> re.Pattern[str] | None:
    """All of the values that stand for several, as one pattern."""
    patterns = [
        re.escape(value).replace(r"\*", ".*").replace(r"\?", ".")
        for value in sorted(values)
        if is_glob(value)
    ]
    return re.compile("|".join(patterns), re.DOTALL) if patterns else None


def _may_hold(terms: Sequence[Term]) -> bool:
    """Whether a value, or none, fulfils all of these conditions, which are of one key.

    Two globs may mean the same value: whether they do is not looked into.
    """
    wanted = [term.values for term in terms if not term.negated]
    barred = frozenset[str]().union(*(term.values for term in terms if term.negated))

    def may_be(value: str) -> bool:
        if value in barred or ANYTHING in barred:
            return False
        if is_glob(value):
            return True
        fits = all(value in values or _matches(values, value) for values in wanted)
        return fits and not _matches(barred, value)

    return all(any(map(may_be, values)) for values in wanted)


class _Parser:
    """Reads one expression from left to right, one token ahead."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._tokenized()
        self._next = 0

    def terms(self) -> tuple[Term, ...]:
        if not self._tokens:
            return ()
        terms: list[Term] = []
        of_key: dict[str, list[Term]] = {}
        while not terms or self._next < len(self._tokens):
            if terms:
                self._expect(",")
            at, term = self._place(), self._term()
            terms.append(term)
            alike = of_key.setdefault(term.key, [])
            alike.append(term)
            if len(alike) > 1 and not _may_hold(alike):
                self._refuse(
                    at,
                    f"what stands before it says otherwise of {term.key!r}, "
                    "and all of a selection must hold",
                )
        return tuple(terms)

    def _tokenized(self) -> list[tuple[int, str]]:
        tokens, at = [], 0
        text = self._expression.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise AssertionError
            tokens.append((found.end() - len(found[0].lstrip()), found[0].lstrip()))
            at = found.end()
        return tokens

    def _term(self) -> Term:
        if self._peek() == "!":
            self._take("`!`")
            return Term(self._label(), frozenset({ANYTHING}), negated=True)
        at = self._next
        key = self._word(_KEY)
        if self._peek() in {None, ","}:
            self._next = at
            return Term(self._label(), frozenset({ANYTHING}))
        at, operator = self._take("`=`, `!=` or `in`")
        if operator in _OPERATORS:
            value = self._value(key, "a value")
            return Term(key, frozenset({value}), negated=_OPERATORS[operator])
        negated = operator in {"not", "notin"}
        if operator == "not":
            at, operator = self._take("`in` after `not`")
        if operator not in {"in", "notin"}:
            more = "; `!` stands before a label" if operator == "!" else ""
            self._refuse(at, f"`=`, `!=` or `in` is expected, not {operator!r}{more}")
        return Term(key, self._values(key), negated)

    def _label(self) -> str:
        """A label that is asked for by its name alone."""
        at = self._place()
        key = self._word(_KEY)
        if key in RESERVED_LABELS:
            self._refuse(at, f"every database has `{key}`; say which one, as in `{key}=…`")
        return key

    def _values(self, key: str) -> frozenset[str]:
        self._expect("(")
        values = {self._value(key, "a value")}
        while True:
            at, mark = self._take("`,` or `)`")
            if mark == ")":
                return frozenset(values)
            if mark != ",":
                self._refuse(at, f"`,` or `)` is expected, not {mark!r}")
            values.add(self._value(key, "a value"))

    def _value(self, key: str, what: str) -> str:
        at = self._place()
        value = self._word(what)
        if key == "status" and not any(matches(value, one) or value == one for one in STATUSES):
            near = nearest(value, STATUSES)
            like = f"the nearest is {near}, and " if near else ""
            self._refuse(at, f"{value!r} is no status; {like}there are {', '.join(STATUSES)}")
        return value

    def _word(self, what: str) -> str:
        at, token = self._take(what)
        if token in _MARKS:
            self._refuse(at, f"{what} is expected, not {token!r}")
        return token

    def _expect(self, mark: str) -> None:
        at, token = self._take(f"`{mark}`")
        if token != mark:
            self._refuse(at, f"`{mark}` is expected, not {token!r}")

    def _peek(self) -> str | None:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else None

    def _place(self) -> int:
        """Where the next token begins."""
        if self._next < len(self._tokens):
            return self._tokens[self._next][0]
        return len(self._expression.rstrip())

    def _take(self, what: str) -> tuple[int, str]:
        if self._next == len(self._tokens):
            self._refuse(self._place(), f"{what} is expected, but the text ends")
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _refuse(self, at: int, why: str) -> NoReturn:
        raise InvalidSelection(self._expression, at + 1, why)
