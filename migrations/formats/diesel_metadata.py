"""Diesel's `metadata.toml`, beside the `up.sql` of a migration: whether it takes a transaction."""

from __future__ import annotations

import tomllib

from migrations.errors import MarkerError
from migrations.formats.encoding import text_of
from migrations.model.migration import SourceFile

METADATA = "metadata.toml"

_KEY = "run_in_transaction"


def runs_in_transaction(file: SourceFile) -> bool:
    """What the file says; true where it says nothing. Raises MarkerError.

    Diesel takes a file that it cannot read as one that says nothing; here that is an error.
    """
    try:
        said = tomllib.loads(text_of(file)).get(_KEY, True)
    except tomllib.TOMLDecodeError as error:
        raise MarkerError(
            file.name, None, f"cannot be read as TOML ({error})", f"Write {_KEY} = false"
        ) from None
    if not isinstance(said, bool):
        raise MarkerError(
            file.name, None, f"{_KEY} is neither true nor false", f"Write {_KEY} = false"
        )
    return said
