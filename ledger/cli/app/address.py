"""Addresses of databases as people name them on the command line, with where they stand."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from ledger.cli.app.output import say
from ledger.errors import WrongArgument
from migrations.printable import why_unreadable

FORM = "write env:NAME, file:PATH, or postgresql://user@host:port/dbname"


def address_of(reference: str) -> str:
    """The address itself. Raises `WrongArgument`."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        address = os.environ.get(rest)
        if not address:
            raise WrongArgument(f"variable {rest} is not set; set it, or name another: {FORM}")
        return address
    if kind == "file":
        try:
            return Path(rest).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongArgument(
                f"{rest} cannot be read ({why_unreadable(error)}); {FORM}"
            ) from None
    return reference


def warn_of_password(address: str) -> None:
    """Others can read command lines, and shells keep them."""
    if address.partition(":")[0] in ("env", "file"):
        return
    try:
        given = "password=" in address or urlsplit(address).password is not None
    except ValueError:
        return
    if given:
        say(
            "warning: the password on the command line can be seen by everybody on this machine; "
            "use env:NAME or file:PATH"
        )
