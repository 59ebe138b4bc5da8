"""libpq's password file: `host:port:database:user:password`, a line each, the first one counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import contains
from pathlib import Path

_FIELD = re.compile(r"((?:[^:\\]|\\.)*):?")


def password_lines(place: tuple[str, str, str, str], password: str) -> str:
    """What a file says that knows one database only, by its host, port, name and user.

    Raises ValueError for line ends.
    """
    fields = [*place, password]
    if any(letter in field for field in fields for letter in "\n\r\0"):
        raise ValueError("what holds a line end fits into no password file")
    lines = [fields]
    if place[0].startswith("/"):
        # The usual folder of sockets goes by this name.
        lines.append(["localhost", *fields[1:]])
    return "".join(
        ":".join(re.sub(r"([\\:])", r"\\\1", field) for field in line) + "\n" for line in lines
    )


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
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    hosts = ("*", host, "localhost") if host.startswith("/") else ("*", host)
    wanted = (hosts, ("*", str(port)), ("*", database), ("*", user))
    for one in lines:
        *place, password = _fields(one)
        if len(place) == len(wanted) and all(map(contains, wanted, place)):
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
