"""What a selection takes for granted: that its ids, pools and labels are those of some database.

A typing error in one of them would make a selection mean fewer databases than its author thinks,
or, behind `!=`, all of them. So a selection that names what no database has is refused as a whole,
and the refusal names what comes nearest:

```
terms ─▶ words ─▶ unheard: those that no database has ─▶ half_wrong: the refusal, with the nearest
                        │                                    ▲
                  of records here; of rows: `Views`      near values
```
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ledger.domain.fleet import DatabaseRecord
from ledger.domain.refusals import NAMED_AT_MOST, RequestRefusal, UnavailableDatabases
from ledger.domain.selection import ANYTHING, Term, is_glob, matches, meant, parse, value_of
from migrations.likeness import LIKE, nearest

NEAR = 50
"""So many values before, behind, and with the same end are compared with one that nobody has."""
TAIL = 3
"""Characters at the end of a value by which another one is like it."""
FIELDS = frozenset({"id", "pool"})
"""Keys that every database has; what may stand under `status` is known without asking."""


class SelectedWord(NamedTuple):
    """A value under a key, or, without a value, a label itself, that a selection names."""

    key: str
    value: str | None = None

    def __str__(self) -> str:
        """As it is written in a refusal."""
        return f"the label {self.key!r}" if self.value is None else f"{self.key}={self.value}"


class UnknownInSelection(RequestRefusal):
    """A selection names ids, pools, labels or their values that no database has."""

    def __init__(self, expression: str, words: Sequence[SelectedWord], why: Sequence[str]) -> None:
        super().__init__(
            f"selection {expression!r}: {'; '.join(why)}; correct it or leave that out, "
            "for a selection is followed as a whole or not at all (see `ledger fleet list`)"
        )
        self.expression = expression
        self.words = tuple(words)


class Vocabulary:
    """What the databases of a fleet that is held have under the keys of selections."""

    def __init__(self, fleet: Iterable[DatabaseRecord], *, retired: bool) -> None:
        self._records = [record for record in fleet if retired or not record.retired]

    def unheard(self, words: Iterable[SelectedWord]) -> list[SelectedWord]:
        """Those of the words that no database has, in their order; none where there is none."""
        if not self._records:
            return []
        asked = list(words)
        had = {key: self._values(key) for key in {word.key for word in asked}}
        return [word for word in asked if not _is_had(had[word.key], word.value)]

    def near(self, word: SelectedWord) -> list[str]:
        """Values of the word's key, or labels, among which the nearest is to be found."""
        if word.value is None:
            return sorted({label for record in self._records for label in record.labels})
        values = sorted(self._values(word.key))
        at = bisect_left(values, word.value)
        alike = [value for value in values if value[-TAIL:] == word.value[-TAIL:]]
        return sorted({*values[max(at - NEAR, 0) : at + NEAR], *alike[:NEAR]})

    def _values(self, key: str) -> set[str]:
        found = (value_of(record, key) for record in self._records)
        return {value for value in found if value is not None}


def words(terms: Iterable[Term]) -> list[SelectedWord]:
    """What the terms take for granted, each once, a label before its values."""
    found: dict[SelectedWord, None] = {}
    for term in terms:
        if term.key == "status":
            continue
        if term.key not in FIELDS:
            found[SelectedWord(term.key)] = None
        for value in sorted(term.values - {ANYTHING}):
            found[SelectedWord(term.key, value)] = None
    return list(found)


def half_wrong(
    expression: str,
    unheard: Sequence[SelectedWord],
    near: Mapping[SelectedWord, Sequence[str]],
    known: Mapping[str, DatabaseRecord],
) -> UnknownInSelection:
    """The refusal of a selection with these words that no database has.

    `near` has, for the first few of them, among what the nearest is to be looked for, and `known`
    the databases whose ids stand in them, also those that left the fleet.
    """
    why = [_why(word, near.get(word, ()), known) for word in unheard[:NAMED_AT_MOST]]
    if len(unheard) > NAMED_AT_MOST:
        why.append(f"and {len(unheard) - NAMED_AT_MOST:,} more that no database has")
    return UnknownInSelection(expression, unheard, why)


def without_values(unheard: Sequence[SelectedWord]) -> list[SelectedWord]:
    """The same without the values of labels that nobody has: the label says it all."""
    labels = {word.key for word in unheard if word.value is None}
    return [word for word in unheard if word.value is None or word.key not in labels]


def ids_in(unheard: Iterable[SelectedWord]) -> list[str]:
    """What may be the id of a database that a refusal has to know."""
    return [
        word.key if word.value is None else word.value
        for word in unheard
        if word.value is None or word.key == "id"
    ]


def chosen(
    fleet: Iterable[DatabaseRecord], expression: str, *, retired: bool = False
) -> list[DatabaseRecord]:
    """The databases that an expression means, by id, suspended ones too.

    Raises `InvalidSelection` and `UnknownInSelection`.
    """
    terms, records = parse(expression), list(fleet)
    vocabulary = Vocabulary(records, retired=retired)
    unheard = without_values(vocabulary.unheard(words(terms)))
    if unheard:
        near = {word: vocabulary.near(word) for word in unheard[:NAMED_AT_MOST]}
        raise half_wrong(expression, unheard, near, {one.database: one for one in records})
    return meant(records, terms, retired=retired)


def select(fleet: Iterable[DatabaseRecord], expression: str) -> tuple[str, ...]:
    """Ids of the active databases that the expression means, in the order of their ids.

    Raises `InvalidSelection`, `UnknownInSelection`, and `UnavailableDatabases` when one that is
    meant by its id is suspended.
    """
    found = chosen(fleet, expression)
    by_id = [term.values for term in parse(expression) if term.key == "id" and not term.negated]
    asked = frozenset[str]().union(*by_id)
    away = {one.database: one.status.value for one in found if not one.active}
    if unavailable := {database: away[database] for database in away if database in asked}:
        raise UnavailableDatabases(unavailable)
    return tuple(one.database for one in found if one.active)


def _is_had(values: set[str], value: str | None) -> bool:
    if value is None:
        return bool(values)
    return value in values or (is_glob(value) and any(matches(value, one) for one in values))


def _why(word: SelectedWord, near: Sequence[str], known: Mapping[str, DatabaseRecord]) -> str:
    called = known.get(word.key if word.value is None else word.value)
    if word.key == "id" and called is not None and called.retired:
        return f"{called.database} is retired"
    if word.value is None and called is not None:
        return f"no database has {word}, but one is called so: write `id={called.database}`"
    text = word.key if word.value is None else word.value
    like = _nearest(text, near)
    return f"no database has {word}" + (f" (the nearest is {like})" if like else "")


def _nearest(text: str, near: Sequence[str]) -> str | None:
    """The one that is most alike, if one is: letters that a glob leaves open are like any."""
    return nearest(text, near, 0.0 if is_glob(text) else LIKE)
