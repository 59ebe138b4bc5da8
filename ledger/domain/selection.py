"""Which databases a request means: `--select` expressions over labels, id and pool.

```
expression = "" | term { "," term }            every term must hold; empty selects the whole fleet
term       = key "=" value | key "!=" value
           | key ["not"] "in" "(" value { "," value } ")"
```

`id` and `pool` are keys like labels. A database without the label differs from every value, so
`region!=eu` includes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from ledger.domain.fleet import DatabaseRecord
from ledger.domain.refusals import InvalidSelection

_TOKEN = re.compile(r"\s*(?:(?P<word>[^\s,=!()]+)|(?P<mark>!=|=|,|\(|\)))")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the key's value is one of `values`, or, when `negated`, none of them."""

    key: str
    values: frozenset[str]
    negated: bool = False

    def holds(self, record: DatabaseRecord) -> bool:
        """Whether the database fulfils the condition."""
        return (self._value(record) in self.values) is not self.negated

    def _value(self, record: DatabaseRecord) -> str | None:
        if self.key == "id":
            return record.database
        if self.key == "pool":
            return record.pool
        return record.labels.get(self.key)


def parse(expression: str) -> tuple[Term, ...]:
    """The conditions of an expression. Raises `InvalidSelection`, which names the place."""
    return _Parser(expression).terms()


def select(fleet: Iterable[DatabaseRecord], expression: str) -> tuple[str, ...]:
    """Ids of the active databases that fulfil the expression, in the order of their ids.

    Raises `InvalidSelection`.
    """
    terms = parse(expression)
    return tuple(
        sorted(
            record.database
            for record in fleet
            if record.active and all(term.holds(record) for term in terms)
        )
    )


class _Parser:
    """Reads one expression from left to right, one token ahead."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._tokenized()
        self._next = 0

    def terms(self) -> tuple[Term, ...]:
        if not self._tokens:
            return ()
        terms = [self._term()]
        while self._next < len(self._tokens):
            self._expect(",")
            terms.append(self._term())
        return tuple(terms)

    def _tokenized(self) -> list[tuple[int, str]]:
        tokens, at = [], 0
        text = self._expression.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                column = at + len(text[at:]) - len(text[at:].lstrip())
                self._refuse(column, f"{text[column]!r} is not expected here")
            tokens.append((found.end() - len(found[0].lstrip()), found[0].lstrip()))
            at = found.end()
        return tokens

    def _term(self) -> Term:
        key = self._word("a label, `id` or `pool`")
        at, operator = self._take("`=`, `!=` or `in`")
        if operator in {"=", "!="}:
            return Term(key, frozenset({self._word("a value")}), negated=operator == "!=")
        negated = operator == "not"
        if negated:
            at, operator = self._take("`in` after `not`")
        if operator != "in":
            self._refuse(at, f"`=`, `!=` or `in` is expected, not {operator!r}")
        return Term(key, self._values(), negated)

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = {self._word("a value")}
        while True:
            at, mark = self._take("`,` or `)`")
            if mark == ")":
                return frozenset(values)
            if mark != ",":
                self._refuse(at, f"`,` or `)` is expected, not {mark!r}")
            values.add(self._word("a value"))

    def _word(self, what: str) -> str:
        at, token = self._take(what)
        if token in {"=", "!=", ",", "(", ")"}:
            self._refuse(at, f"{what} is expected, not {token!r}")
        return token

    def _expect(self, mark: str) -> None:
        at, token = self._take(f"`{mark}`")
        if token != mark:
            self._refuse(at, f"`{mark}` is expected, not {token!r}")

    def _take(self, what: str) -> tuple[int, str]:
        if self._next == len(self._tokens):
            self._refuse(len(self._expression.rstrip()), f"{what} is expected, but the text ends")
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _refuse(self, at: int, why: str) -> NoReturn:
        raise InvalidSelection(self._expression, at + 1, why)
