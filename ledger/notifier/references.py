"""From a secret's reference to the secret: `env:NAME` or `file:PATH`, read whenever it is needed.

So a secret that was replaced in its file is taken up without a restart. Errors name the reference
and never what was read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from migrations.printable import escaped, why_unreadable

MAX_BYTES = 64 * 1024
"""Larger than any key or address; a wrong path must not fill the memory."""


class SecretMissing(Exception):
    """A reference leads to nothing that can be used; says which, and what to do."""


def read(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret. Raises `SecretMissing`."""
    kind, _, rest = reference.partition(":")
    shown = escaped(reference)
    if kind == "env":
        said = environ.get(rest, "")
        if not said.strip():
            raise SecretMissing(f"variable {escaped(rest)} is not set; set it and start again")
        return said.strip()
    try:
        with Path(rest).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode().strip()
    except (OSError, UnicodeError, ValueError) as error:
        why = why_unreadable(error) if isinstance(error, OSError | UnicodeError) else "no path"
        raise SecretMissing(
            f"{shown} cannot be read ({why}); correct the path or the rights to it"
        ) from None
    if not text or len(content) > MAX_BYTES:
        raise SecretMissing(f"{shown} is empty or too large; write the secret into it, alone")
    return text
