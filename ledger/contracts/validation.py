"""What pydantic found wrong, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_OURS: Final = "Value error, "
"""What pydantic puts before a sentence that a validator of ours raised."""

_SAID: Final = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "bool_parsing": "it is neither true nor false",
    "bool_type": "it is neither true nor false",
    "bytes_type": "it is no text",
    "datetime_from_date_parsing": "it is no moment, like 2026-11-30T14:05:00Z",
    "datetime_parsing": "it is no moment, like 2026-11-30T14:05:00Z",
    "datetime_type": "it is no moment, like 2026-11-30T14:05:00Z",
    "dict_type": "it is no table of names and values",
    "finite_number": "it is no number",
    "float_parsing": "it is no number",
    "float_type": "it is no number",
    "frozen_set_type": "it is no list",
    "int_from_float": "it is no whole number",
    "int_parsing": "it is no whole number",
    "int_parsing_size": "it is too large a number",
    "int_type": "it is no whole number",
    "list_type": "it is no list",
    "mapping_type": "it is no table of names and values",
    "model_attributes_type": "it is no table of names and values",
    "model_type": "it is no table of names and values",
    "none_required": "it is to be left out",
    "path_type": "it is no path; write it in quotes",
    "set_type": "it is no list",
    "string_type": "it is no text; write it in quotes",
    "string_unicode": "it is no text in UTF-8",
    "timezone_aware": "it has no time zone",
    "tuple_type": "it is no list",
    "uuid_parsing": "it is no id, like 01a22b98-e438-7286-96eb-5804c895ab54",
    "uuid_type": "it is no id, like 01a22b98-e438-7286-96eb-5804c895ab54",
}
"""By the type of a problem: what is the case."""


def message_of(problem: Mapping[str, Any]) -> str:
    """The sentence of one entry of `ValidationError.errors()`, with its context."""
    kind, limits = str(problem["type"]), problem.get("ctx", {})
    match kind:
        case "value_error" | "assertion_error":
            return str(problem["msg"]).removeprefix(_OURS)
        case "greater_than":
            return f"it is too small, it has to be more than {_number(limits['gt'])}"
        case "greater_than_equal":
            return f"it is too small, it can be {_number(limits['ge'])} or more"
        case "less_than" | "less_than_equal":
            return (
                f"it is too large, it can be at most {_number(limits.get('le', limits.get('lt')))}"
            )
        case "literal_error" | "enum":
            return f"it can be {limits['expected']}"
        case "string_too_short" | "too_short" | "bytes_too_short":
            least = limits["min_length"]
            return "it is empty" if least == 1 else f"it is too short, {least} is the least"
        case "string_too_long" | "too_long" | "bytes_too_long":
            return f"it is too long, {limits['max_length']} is the most"
        case "string_pattern_mismatch":
            return f"it does not match {limits['pattern']}"
        case _:
            return _SAID.get(kind, "it does not fit")


def _number(limit: float) -> str:
    return f"{int(limit):,}" if limit == int(limit) else f"{limit:,.10g}"
