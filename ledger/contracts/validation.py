"""What pydantic found wrong, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OURS = "Value error, "
"""What pydantic puts before a sentence that a validator of ours raised."""


def message_of(problem: Mapping[str, Any]) -> str:
    """The sentence of one entry of `ValidationError.errors()`."""
    return str(problem["msg"]).removeprefix(_OURS)
