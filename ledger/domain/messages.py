"""What a message says: a title, a few lines, and the same as values for programs. Pure.

What is put into a template is escaped already (`ledger.domain.notices`), so no value can be markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ledger.contracts.templates import filled
from ledger.domain.routes import Draft

VERSION: Final = 1
"""Of the document that a webhook gets."""
_TITLE: Final = "[{severity}] {ledger}: {headline}{number}"


@dataclass(frozen=True, slots=True)
class Notification:
    """A draft in words, and as `document` for programs."""

    key: str
    severity: str
    title: str
    text: str
    document: Mapping[str, Any]


def message_of(draft: Draft, ledger: str, link: str) -> Notification:
    """What a draft says; `ledger` is what the ledger is called, `link` a template."""
    said = draft.document
    values = _values(said, ledger)
    values["link"] = filled(link, {name: quote(value, safe="") for name, value in values.items()})
    title_template, text_template = said["templates"]
    title = filled(title_template or _TITLE, values | {"number": _number(said)})
    text = filled(text_template, values) if text_template else _usual(said, values)
    document = {
        "version": VERSION,
        "key": draft.key,
        "ledger": ledger,
        **{name: said[name] for name in said if name not in ("templates", "command")},
        "next": said["command"],
        "link": values["link"],
        "title": title,
        "text": text,
    }
    return Notification(draft.key, said["severity"], title, text, document)


def _values(said: Mapping[str, Any], ledger: str) -> dict[str, str]:
    first, last = said["first_at"], said["last_at"]
    return {
        "ledger": ledger,
        "event": said["event"],
        "severity": said["severity"],
        "headline": said["headline"],
        "count": str(said["count"]),
        "rollout": said["rollout"],
        "database": _listed(said["databases"], said["count"]),
        "migration": _listed(said["migrations"]),
        "class": _listed(said["errors"]),
        "place": _listed(said["places"]),
        "at": first if first == last else f"{first} to {last}",
        "next": said["command"],
    }


def _usual(said: Mapping[str, Any], values: Mapping[str, str]) -> str:
    lines = {
        "rollout": values["rollout"],
        "databases" if said["count"] > 1 else "database": values["database"],
        "migration": values["migration"],
        "class": values["class"],
        "place": values["place"],
        "event": f"{values['event']} at {values['at']}",
        "next": values["next"],
        "link": values["link"],
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def _number(said: Mapping[str, Any]) -> str:
    where = f" in {said['rollout']}" if said["rollout"] else ""
    if said["count"] > 1:
        return f" ({said['count']:,} times{where})"
    return f" ({', '.join(said['databases'])}{where})" if said["databases"] else where


def _listed(values: list[str], count: int = 0) -> str:
    more = f" and {count - len(values):,} more" if values and count > len(values) else ""
    return ", ".join(values) + more
