"""libpq's password file: `host:port:database:user:password`, a line each, the first one counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_FIELD = re.compile(r"((?:[^:\\]|\\.)*):?")


def line(password: str) -> str:
    r"""What a file says that knows one password only; raises ValueError for a line end in it."""
    if "\n" in password or "\r" in password or "\0" in password:
        raise ValueError("a password with a line end fits into no password file")
    return "*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n"


def ambient_password(
    host: str, port: int, database: str, user: str, environ: Mapping[str, str]
) -> str | None:
    """What a person keeps for libpq: `PGPASSWORD`, else a line of `PGPASSFILE` or `~/.pgpass`.

    As with libpq, a file that others may read is left alone.
    """
    if environ.get("PGPASSWORD"):
        return environ["PGPASSWORD"]
    home = environ.get("HOME")
    named = environ.get("PGPASSFILE") or (f"{home}/.pgpass" if home else "")
    path = Path(named)
    try:
        if not named or not path.is_file() or path.stat().st_mode & 0o077:
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    place = ("localhost" if host.startswith("/") else host, str(port), database, user)
    for one in lines:
        *wanted, password = _fields(one)
        if len(wanted) == len(place) and all(
            said in ("*", asked) for said, asked in zip(wanted, place, strict=True)
        ):
            return password
    return None


def _fields(text: str) -> list[str]:
    """The fields of a line; the fifth one holds the rest, its colons included or escaped."""
    if text.startswith("#"):
        return [""]
    fields: list[str] = []
    at = 0
    while len(fields) < 4 and (found := _FIELD.match(text, at)) and found.end() > at:
        fields.append(found[1])
        at = found.end()
    return [re.sub(r"\\(.)", r"\1", field) for field in (*fields, text[at:])]
