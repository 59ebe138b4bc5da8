"""The schemas of a target as people write them: `tenant_a`, or `tenant_a,extensions,public`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ledger.errors import WrongArgument

_COMMA = re.compile(r'\s*,\s*(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""One that is in no quotes, with the blanks around it."""


def schemas_in(written: str | Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The target's own schema, where things are made, and those where names are looked up, too.

    A list, or one text with commas; a name with a comma in it stands in quotes, as in SQL. Raises
    `WrongArgument`.
    """
    from migrations.model.folder_history import JOURNAL_SCHEMA
    from migrations.sql.written_names import names_in

    if isinstance(written, str):
        text = _COMMA.sub(",", written.strip())
        if not text:
            return "", ()
        try:
            names: Sequence[str] = names_in(text, ",")
        except ValueError as error:
            raise WrongArgument(f"the schema is no list of names: {error}") from None
    else:
        names = written
    if JOURNAL_SCHEMA in names:
        raise WrongArgument(
            f"the schema is {JOURNAL_SCHEMA}, where the journal stands; write the application's own"
        )
    return (names[0], tuple(names[1:])) if names else ("", ())
