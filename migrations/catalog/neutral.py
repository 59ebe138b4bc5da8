"""What differs from tenant to tenant and means the same: names of roles and of the target; pure.

    {owner}       who owns the database, or the schema that is the target
    {superuser}   who was there first on the server
    {database}    in a role's name, the database's: acme_app ──▶ {database}_app
    {schema}      in a text, the target's schema: acme.users ──▶ {schema}.users

Grants are said as what was granted beyond, and revoked from, what PostgreSQL gives by itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from migrations.catalog.wording import PLAIN_COLUMNS_SINCE, plain_view
from migrations.sql.literals import quote_ident, quote_literal

Attributes: TypeAlias = dict[str, Any]
Grants: TypeAlias = dict[str, list[str]]

_SEPARATORS = "_-."
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")
_VIEWS = ("view", "materialized view")
_PUBLIC_CREATES_UNTIL = 150000
"""Before this release everybody could create in `public` as PostgreSQL made it."""
_PATH = re.compile(r"^ SET search_path TO .*$", re.MULTILINE)
_TEXTS = (
    "definition", "default", "generated", "using", "check", "partition_by", "partition", "function",
)  # fmt: skip


@dataclass(frozen=True, slots=False)
class TenantNames:
    """What the tenant's own names are."""

    database: str
    owner: str
    superuser: str
    version: int
    schema: str | None = None
    _roles: dict[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, header: Attributes, version: int) -> TenantNames:
        """From the first row of a snapshot."""
        return cls(
            database=header["database"],
            owner=header["owner"],
            superuser=header["superuser"],
            version=version,
            schema=header["schema"],
        )

    def role(self, name: str) -> str:
        """A role's name as it is said; empty is PUBLIC."""
        if (known := self._roles.get(name)) is None:
            known = self._roles[name] = self._said(name)
        return known

    def _said(self, name: str) -> str:
        if not name:
            return "PUBLIC"
        if name == self.owner:
            return "{owner}"
        if name == self.superuser:
            return "{superuser}"
        said = name.replace("{", "{{")
        for own, mark in ((self.schema, "{schema}"), (self.database, "{database}")):
            if not own:
                continue
            if name == own:
                return mark
            if name.startswith(own) and name[len(own)] in _SEPARATORS:
                return mark + name[len(own) :].replace("{", "{{")
            if name.endswith(own) and name[-len(own) - 1] in _SEPARATORS:
                return name[: -len(own)].replace("{", "{{") + mark
        return said

    def text(self, text: str) -> str:
        """A text in which the target's schema goes by no name of its own."""
        if self.schema is None:
            return text
        text = self._qualified.sub("{schema}.", text)
        return _PATH.sub(lambda found: self._listed.sub("'{schema}'", found[0]), text)

    @cached_property
    def _qualified(self) -> re.Pattern[str]:
        schema = self.schema or ""
        forms = {re.escape(quote_ident(schema))}
        if _PLAIN_NAME.fullmatch(schema):
            forms.add(re.escape(schema))
        return re.compile(rf'(?<![\w$".])(?:{"|".join(sorted(forms))})\.(?=["\w])')

    @cached_property
    def _listed(self) -> re.Pattern[str]:
        return re.compile(re.escape(quote_literal(self.schema or "")))


def neutral(kind: str, found: Attributes, names: TenantNames) -> Attributes:
    """The attributes of an object in the words that all tenants share."""
    is_public = found.pop("initial", False)
    owner = found.get("owner")
    if owner is not None:
        found["owner"] = names.role(owner)
    if (acl := found.pop("acl", None)) is not None:
        now, default = acl.get("now", []), acl.get("default", [])
        if is_public:
            default.append(["", "USAGE", False])
            if names.version < _PUBLIC_CREATES_UNTIL:
                default.append(["", "CREATE", False])
        found |= _grants(now, default, names)
    if "roles" in found:
        found["roles"] = sorted(map(names.role, found["roles"]))
    if kind in _VIEWS and names.version < PLAIN_COLUMNS_SINCE:
        found["definition"] = plain_view(found["definition"])
    if names.schema is not None:
        for name in _TEXTS:
            if isinstance(found.get(name), str):
                found[name] = names.text(found[name])
    return found


def canonical(line: Attributes) -> str:
    """An object as PostgreSQL writes JSON, so that what need not be changed is taken as it is."""
    return json.dumps(line, ensure_ascii=False)


def _grants(now: list[Any], default: list[Any], names: TenantNames) -> Attributes:
    """What was granted beyond the default, and revoked from it, by grantee."""
    every = _every(now, default)
    given, ours = _by_role(now, names), _by_role(default, names)
    granted: Grants = {}
    revoked: Grants = {}
    for role in sorted({*given, *ours}):
        more = given.get(role, set()) - ours.get(role, set())
        less = ours.get(role, set()) - given.get(role, set())
        if more:
            granted[role] = _shortened(more, every)
        if less:
            revoked[role] = _shortened(less, every)
    return {
        **({"granted": granted} if granted else {}),
        **({"revoked": revoked} if revoked else {}),
    }


def _every(now: list[Any], default: list[Any]) -> set[str]:
    """All privileges that such an object has in this release: its owner has them by default."""
    by_role: dict[str, set[str]] = {}
    for role, privilege, _ in default:
        by_role.setdefault(role, set()).add(privilege)
    return max(by_role.values(), key=len, default=set())


def _by_role(entries: list[Any], names: TenantNames) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for role, privilege, grantable in entries:
        said = f"{privilege} WITH GRANT OPTION" if grantable else privilege
        found.setdefault(names.role(role), set()).add(said)
    return found


def _shortened(privileges: set[str], every: set[str]) -> list[str]:
    """ALL for all that a release has: 17 has one more than 16."""
    if len(every) > 1 and every <= privileges:
        privileges = (privileges - every) | {"ALL"}
    return sorted(privileges)
