"""Where notifications go: the tables `[notify.targets.NAME]` and `[[notify.routes]]`.

A project's file may not have them: whoever wrote it would choose where messages of this ledger go.
Addresses of chats and pagers are secrets themselves, so they are references, as passwords are.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ledger.bus.security import is_loopback
from ledger.contracts.templates import check_template
from ledger.settings.sections import Seconds, SettingsSection
from migrations.model.windows import window_of

TARGET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
KEEP_H = 72.0
"""A long weekend."""
_REFERENCES = ("env:", "file:")


def _reference(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(_REFERENCES) or value in _REFERENCES:
        raise ValueError("a secret is never written here; write env:NAME or file:PATH")
    return value


def _listed(value: object) -> object:
    """A single text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def _no_other_keys(model: type[SettingsSection], value: object) -> object:
    """Refuse what nobody would read."""
    if isinstance(value, Mapping):
        for name in value:
            if name not in model.model_fields:
                raise ValueError(
                    f"{ascii(name)[1:-1]} is nothing that it has; write one of "
                    + ", ".join(model.model_fields)
                )
    return value


def _mapping(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError('it is no table; write {NAME = "VALUE"}')
    return value


def _routes(value: object) -> object:
    """A variable holds them as JSON; files hold them as tables."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('it is no JSON; write [{"to": "NAME"}]') from None
    if not isinstance(value, list | tuple) or not all(
        isinstance(one, Mapping | NotifyRoute) for one in value
    ):
        raise ValueError("it is no list of tables; write [[notify.routes]], and its lines below")
    return value


def _table(value: object) -> object:
    if not isinstance(value, Mapping | NotifyTarget):
        raise ValueError("a target is a table; write [notify.targets.NAME], and its lines below")
    return value


Reference = Annotated[str, BeforeValidator(_reference)]
WordList = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class NotifyTarget(SettingsSection):
    """A place that is told: a service by apprise's address, or a webhook with the key it knows."""

    apprise: Reference | None = None
    webhook: str | None = None
    key: Reference | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_no_more(cls, value: object) -> object:
        return _no_other_keys(cls, value)

    @model_validator(mode="after")
    def _is_one(self) -> NotifyTarget:
        if (self.apprise is None) == (self.webhook is None):
            raise ValueError("it is either a service or a webhook; write apprise or webhook")
        if (self.webhook is None) != (self.key is None):
            raise ValueError("a webhook is signed; write webhook and key, a reference to the key")
        if self.webhook is not None and not self.webhook.startswith(_REFERENCES):
            check_webhook(self.webhook)
        return self

    def __str__(self) -> str:
        """What it is, without anything that may be a secret."""
        if self.apprise is not None:
            return f"apprise {self.apprise}"
        address = self.webhook or ""
        if address.startswith(_REFERENCES):
            return f"webhook {address}"
        parts = urlsplit(address)
        return f"webhook {parts.scheme}://{parts.netloc}"


class NotifyRoute(SettingsSection):
    """What goes to which targets; what is not said is left open."""

    to: WordList = Field(min_length=1)
    events: WordList = ()
    severity: Literal["info", "warning", "critical"] | None = None
    labels: Annotated[dict[str, str], BeforeValidator(_mapping)] = Field(default_factory=dict)
    hours: WordList = ()
    digest_s: Seconds = 60.0
    title: str = ""
    text: str = ""

    @model_validator(mode="before")
    @classmethod
    def _has_no_more(cls, value: object) -> object:
        return _no_other_keys(cls, value)

    @field_validator("title", "text")
    @classmethod
    def _are_templates(cls, value: str) -> str:
        check_template(value)
        return value

    @field_validator("hours")
    @classmethod
    def _are_windows(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if window_of(one).label:
                raise ValueError('hours have no label; write labels = {LABEL = "VALUE"}')
        return value

    @field_validator("events")
    @classmethod
    def _exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from ledger.contracts.events import EVENT_TYPES

        for one in value:
            if not any(fnmatchcase(name, one) for name in EVENT_TYPES):
                (close,) = difflib.get_close_matches(one, EVENT_TYPES, n=1, cutoff=0.0)
                raise ValueError(
                    f"{ascii(one)[1:-1]} is no type of event; the nearest is {close}, and "
                    "the manual's page Events has all"
                )
        return value

    def __str__(self) -> str:
        """As a line of a list."""
        labels = [f"{name}={value}" for name, value in self.labels.items()]
        least = [self.severity] if self.severity else []
        which = " ".join([*self.events, *least, *labels, *self.hours]) or "everything"
        return f"{which} -> {' '.join(self.to)}"


class NotifySection(SettingsSection):
    """What people are told of the log, where, and when."""

    targets: Annotated[
        dict[str, Annotated[NotifyTarget, BeforeValidator(_table)]], BeforeValidator(_mapping)
    ] = Field(
        default_factory=dict,
        description="places that are told, by name: `apprise`, a reference to an address of that "
        "library, or `webhook`, an address, with `key`, a reference to the key it is signed with",
    )
    routes: Annotated[tuple[NotifyRoute, ...], BeforeValidator(_routes)] = Field(
        (),
        description="what goes `to` which targets: `events`, least `severity`, `labels`, `hours`, "
        "`digest_s`, `title`, `text`; a list of tables",
    )
    link: str | None = Field(
        None,
        description="link in every message, such as https://grafana.internal/d/rollout?id={rollout}",
    )
    keep_h: float = Field(
        KEEP_H, gt=0, le=8760, description="hours for which what no target takes is kept and tried"
    )

    @field_validator("link")
    @classmethod
    def _leads_there(cls, value: str | None) -> str | None:
        check_template(value or "")
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("a link begins with https://")
        return value

    @field_validator("targets")
    @classmethod
    def _have_names(cls, value: Mapping[str, NotifyTarget]) -> Mapping[str, NotifyTarget]:
        for name in value:
            if not re.match(TARGET_NAME, name):
                raise ValueError(
                    f"{ascii(name)[1:-1]!r} is no name of a target; write letters, digits, - . _"
                )
        return value

    @model_validator(mode="after")
    def _lead_somewhere(self) -> NotifySection:
        for route in self.routes:
            for name in route.to:
                if name not in self.targets:
                    raise ValueError(
                        f"a route leads to {ascii(name)[1:-1]!r}, which is no target; write "
                        f"[notify.targets.{ascii(name)[1:-1]}], or one of those there are"
                    )
        return self


def check_webhook(address: str) -> None:
    """Raise `ValueError` for an address that is none, has secrets in it, or trusts the network."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("a webhook's address begins with https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a webhook's address may hold no secret; write env:NAME or file:PATH")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("a webhook elsewhere needs TLS; write https://")
