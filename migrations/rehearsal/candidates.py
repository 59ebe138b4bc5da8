"""Values that a column might take, as SQL in which `k` is a number from 1 on; pure.

The first is the plainest of its type. What conditions compare with, the literals that stand in
them, leads to the others: themselves, what lies beside and between them, texts of the length or of
the pattern that is asked for. Which of them fits, the server says
(`migrations.rehearsal.row_values`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from migrations.rehearsal.demands import RowColumn
from migrations.rehearsal.patterns import matching
from migrations.sql.literals import quote_literal

SAMPLES = 100
"""Different texts that are made of one pattern."""
_LENGTH_MOST = 1000
_TEXT = re.compile(
    r"(?P<how>!?~~?\*?|)\s*(?P<text>E?'(?:[^'\\]|''|\\.)*')::(?P<type>\"?[a-z_][\w ]*)"
)
"""A literal as the server writes it, with its type, and the operator that asks for a pattern."""
_NUMBER = re.compile(r"(?<![\w'.])\d+(?:\.\d+)?(?![\w'.])")
_TEXT_TYPES = ("text", "character", "bpchar", "name", "citext")
_WHOLE = {"int2": 32_767, "int4": 2_147_483_647}
_FRACTIONS = ("numeric", "float4", "float8")
_DIGITS_MOST = 9

_BY_BASE: Mapping[str, str] = {
    "uuid": "pg_catalog.md5({k}::text)",
    "json": "pg_catalog.json_build_object('k', {k})",
    "jsonb": "pg_catalog.jsonb_build_object('k', {k})",
    "bytea": "pg_catalog.decode(pg_catalog.md5({k}::text), 'hex')",
    "time": "time '00:00' + {k} * interval '1 second'",
    "timetz": "timetz '00:00+00' + {k} * interval '1 second'",
    "date": "date '2020-01-01' + {k}",
    "interval": "{k} * interval '1 minute'",
    "int2": "{k} % 32767",
    "xml": "pg_catalog.concat('<k>', {k}, '</k>')",
    "tsvector": "{k}::text",
    "macaddr": "pg_catalog.lpad(pg_catalog.to_hex({k}), 12, '0')",
    "point": "pg_catalog.format('(%s,%s)', {k}, {k})",
    "box": "pg_catalog.format('(%s,%s),(0,0)', {k}, {k})",
    "circle": "pg_catalog.format('<(%s,%s),1>', {k}, {k})",
    "varbit": "({k})::bit(32)",
}
_BY_CATEGORY: Mapping[str, str] = {
    "N": "{k}",
    "B": "{k} % 2 = 0",
    "D": "timestamp '2020-01-01' + {k} * interval '1 minute'",
    "I": "inet '10.0.0.0' + {k}",
    "A": "'{{}}'",
    "R": "'empty'",
    "V": "{k}",
}
"""By the category that PostgreSQL gives to a type."""


def plain(column: RowColumn, k: str) -> str | None:
    """The plainest value; `None` for a type of which none can be made."""
    if column.category == "S":
        return _cut(column, f"{quote_literal(column.name + ' ')} || {k}")
    if column.category == "E":
        return _label(column, k)
    if column.base.endswith("multirange"):
        return "'{}'"
    template = _BY_BASE.get(column.base) or _BY_CATEGORY.get(column.category)
    return _fitting(column, template.format(k=k)) if template is not None else None


def is_different(column: RowColumn) -> bool:
    """Whether different numbers give different values."""
    return column.category in "NSDIT" or column.base in (
        "uuid",
        "json",
        "jsonb",
        "bytea",
        "macaddr",
    )


def values_of(column: RowColumn) -> int:
    """How many different values there are; 0 for many."""
    return 2 if column.category == "B" else column.labels


def candidates(column: RowColumn, k: str, conditions: Sequence[str]) -> Iterator[str]:
    """All of them, the plainest first; none twice."""
    first = plain(column, k)
    found = [first] if first is not None else []
    texts = list(dict.fromkeys(one for said in conditions for one in _texts(said)))
    numbers = sorted({one for said in conditions for one in _numbers(said)})
    match column.category:
        case "N" if column.base != "money":
            found += (_fitting(column, one) for one in _of_numbers(column, k, numbers))
        case "S":
            found += _of_texts(column, k, texts, numbers)
        case "D":
            found += _of_moments(column, k, texts)
        case "B":
            found += ("true", "false")
        case "A" if column.element and column.element in "NS":
            found.append(f"pg_catalog.concat('{{', {k}, '}}')")
        case "T":
            found += (f"{one} + {k} * interval '1 second'" for one in _own(column, texts))
        case _:
            pass
    if column.base in ("json", "jsonb"):
        keys = ", ".join(f"{text}, {k}" for _, text, type_ in texts if _is_text(type_))
        found += [f"pg_catalog.{column.base}_build_object({keys})"] if keys else []
        found += ("'{}'", "'[]'", "'[1]'")
    if column.category not in "NS":
        found += _own(column, texts)
    yield from dict.fromkeys(found)


def _of_numbers(column: RowColumn, k: str, numbers: Sequence[Decimal]) -> Iterator[str]:
    for low, high in pairwise(numbers):
        span = int(high - low)
        yield f"{low} + {k} % {span + 1}"
        if span > 1:
            yield f"{low} + 1 + {k} % {span - 1}"
    for one in numbers:
        yield from (f"{one}", f"{one} + {k}", f"{one} - {k}", f"{one} * {k}")
        if column.base in _FRACTIONS:
            yield f"{one} + ({k} % 99 + 1) / 100.0"
    yield from (f"{k} % 2", f"-({k})", f"{k} + 1", f"{k} * 2", f"{k} + 1000000", "0", "1")


def _of_texts(
    column: RowColumn, k: str, texts: Sequence[tuple[str, str, str]], numbers: Sequence[Decimal]
) -> Iterator[str]:
    said = [text for how, text, type_ in texts if _is_text(type_) and "~" not in how]
    if len(said) > 1:
        yield f"(ARRAY[{', '.join(said)}])[1 + {k} % {len(said)}]"
    for how, text, type_ in texts:
        if not _is_text(type_) or how.startswith("!"):
            continue
        if "~~" in how:
            yield f"pg_catalog.replace(pg_catalog.replace({text}, '%', {k}::text), '_', 'x')"
        elif how:
            made = [quote_literal(one) for one in matching(_meant(text), SAMPLES)]
            if made:
                yield f"(ARRAY[{', '.join(made)}])[1 + {k} % {len(made)}]"
    yield from said
    for length in (int(one) for one in numbers if one == int(one) and 0 < one <= _LENGTH_MOST):
        yield from _spelled(f"pg_catalog.lpad({k}::text, {length}, '0')")
    yield from _spelled(f"{k}::text")
    yield from (
        f"pg_catalog.concat('x', {k}, '@example.com')",
        f"pg_catalog.concat('https://example.com/', {k})",
        f"pg_catalog.md5({k}::text)",
        "''",
    )


def _spelled(number: str) -> Iterator[str]:
    """A number in digits, and in small and large letters."""
    letters = f"pg_catalog.translate({number}, '0123456789', 'abcdefghij')"
    yield from (number, letters, f"pg_catalog.upper({letters})")


def _of_moments(column: RowColumn, k: str, texts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    step = "time" if column.base in ("time", "timetz") else "date"
    unit = f"{k}" if column.base == "date" else f"{k} * interval '1 minute'"
    for one in _own(column, texts):
        yield from (f"{one} + {unit}", f"{one} - {unit}")
    if step == "time":
        yield from ("time '23:59:59'", f"time '12:00' + {k} * interval '1 second'")
        return
    far = "3650" if column.base == "date" else "interval '3650 days'"
    now = "CURRENT_DATE" if column.base == "date" else "CURRENT_TIMESTAMP"
    start = "date '2020-01-01'" if column.base == "date" else "timestamp '2020-01-01'"
    yield from (
        f"{start} + {far} + {unit}",
        f"{start} - {far} - {unit}",
        f"{now} + {unit}",
        f"{now} - {unit}",
    )


def _own(column: RowColumn, texts: Sequence[tuple[str, str, str]]) -> list[str]:
    """The literals of the column's own type; several become one that takes turns."""
    return [f"{text}::{column.type}" for _, text, type_ in texts if _like(type_, column)]


def _like(type_: str, column: RowColumn) -> bool:
    kind = column.type.partition("(")[0].strip()
    return type_.strip() == kind or (column.category == "D" and type_.startswith(("date", "time")))


def _is_text(type_: str) -> bool:
    return type_.startswith(_TEXT_TYPES)


def _texts(condition: str) -> Iterator[tuple[str, str, str]]:
    for found in _TEXT.finditer(condition):
        yield found["how"], found["text"], found["type"].strip()


def _numbers(condition: str) -> Iterator[Decimal]:
    """Those that stand by themselves, and those that are written as texts: negative ones."""
    for found in _NUMBER.finditer(condition):
        yield Decimal(found[0])
    for _, text, type_ in _texts(condition):
        if _is_text(type_):
            continue
        try:
            number = Decimal(text.strip("E'"))
        except InvalidOperation:
            continue
        if number.is_finite():
            yield number


def _meant(literal: str) -> str:
    """What a literal says."""
    text = literal.removeprefix("E")[1:-1].replace("''", "'")
    return text.replace("\\\\", "\\") if literal.startswith("E") else text


def _label(column: RowColumn, k: str) -> str:
    labels = f"(pg_catalog.enum_range(NULL::{column.type}))"
    return f"{labels}[1 + {k} % {max(column.labels, 1)}]"


def _cut(column: RowColumn, text: str) -> str:
    """A text as long as the column is: the number is what tells them apart, so it stays."""
    if column.modifier < 0 or column.base not in ("varchar", "bpchar"):
        return text
    return f"pg_catalog.right({text}, {column.modifier - 4})"


def _fitting(column: RowColumn, number: str) -> str:
    """A number within what its type holds."""
    if (most := _WHOLE.get(column.base)) is not None:
        return f"LEAST(GREATEST(({number})::numeric, {-most}), {most})"
    if column.base != "numeric" or column.modifier < 0:
        return number
    precision, scale = (column.modifier - 4) >> 16 & 0xFFFF, (column.modifier - 4) & 0x7FF
    whole = precision - scale
    if not 0 <= whole <= _DIGITS_MOST:
        return number
    return f"pg_catalog.mod(({number})::numeric, {10**whole})" if whole else "0"
