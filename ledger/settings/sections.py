"""The settings that `ledger` and `ledger-agent` share: said once, read by both.

A section is a table of a settings file, and `LEDGER_<SECTION>_<NAME>` in the environment.
"""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ledger.bus.security import KafkaSection, KafkaSettings
from ledger.contracts.topics import valid_pool
from ledger.sampling import SLOW_S
from ledger.settings.errors import SettingsError
from ledger.settings.secret_rules import SecretRule, parse_rule, parse_rules
from ledger.settings.trust import TrustedKey, parse_trust
from migrations.model.migration import COUNT_MAX, WAIT_MAX_S, Language

PREFIX = "LEDGER_"
CONCURRENCY = 16
"""Databases at once: waiting on round trips, two cores are busy with about this many."""
PER_HOST = 16
"""Databases at once on one server: a sixth of the connections that it has by default. With half as
many, a server that is far away is idle most of the time."""
GRACE_S = 30.0
"""What most orchestrators wait between their two signals."""
CONTENT_CACHE_BYTES = 64 * 1024 * 1024


def _paths(value: object) -> object:
    """Variables hold folders as the system writes a PATH; files hold them as a list."""
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _words(value: object) -> object:
    """Variables hold a list with commas; files hold it as a list."""
    if not isinstance(value, str):
        return value
    return [word.strip() for word in value.split(",") if word.strip()]


def _rules(value: object) -> object:
    """Variables hold rules with `;` between them; files hold them as a list of texts."""
    if isinstance(value, str):
        return parse_rules(value)
    if isinstance(value, list | tuple):
        return tuple(parse_rule(one) if isinstance(one, str) else one for one in value)
    return value


def _trusted(value: object) -> object:
    """Variables hold keys with commas; files hold them as a list of texts."""
    words = _words(value)
    if isinstance(words, list | tuple):
        return tuple(parse_trust(one) if isinstance(one, str) else one for one in words)
    return words


def _command(value: object) -> object:
    """Variables hold a command as a shell would read it; files hold its words as a list."""
    return shlex.split(value) if isinstance(value, str) else value


Folders = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
Programs = Annotated[tuple[Language, ...], BeforeValidator(_words)]
ProgramWords = Annotated[tuple[str, ...], BeforeValidator(_command)]
SecretRules = Annotated[tuple[SecretRule, ...], BeforeValidator(_rules)]
TrustedKeys = Annotated[tuple[TrustedKey, ...], BeforeValidator(_trusted)]
Seconds = Annotated[float, Field(ge=0, le=WAIT_MAX_S)]
SomeSeconds = Annotated[float, Field(gt=0, le=WAIT_MAX_S)]
HowMany = Annotated[int, Field(ge=1, le=COUNT_MAX)]


class SettingsSection(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_true(cls, value: object, info: ValidationInfo) -> object:
        """Pydantic would take true for 1."""
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("it is true or false, where a number or a text belongs")
        return value


class SigningSection(SettingsSection):
    """How a leader signs."""

    key_file: Path | None = Field(
        None,
        description="file with the key that signs orders, as `ledger keys generate` makes it; "
        "unsigned orders are sent, to a broker on this machine alone, if unset",
    )


class LogForm(StrEnum):
    """How lines of a log look: for people, or one JSON object each."""

    TEXT = "text"
    JSON = "json"


MOST_NAMED = 1000
"""Four figures of each, half a megabyte of a scrape."""


class MonitoringSection(SettingsSection):
    """Where a program says over HTTP how it is, and how its log looks."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address that is listened on for them; loopback alone unless another is named",
    )
    port: int | None = Field(
        None, ge=0, le=65535, description="port of /healthz, /readyz and /metrics; none, if unset"
    )
    log: LogForm = Field(
        LogForm.TEXT, description="lines of the log: `text` for people, or `json`, one object each"
    )
    slow_trace_s: SomeSeconds = Field(
        SLOW_S,
        description="attempts that take as long are traced, whatever share of traces is kept",
    )
    named_databases: int = Field(
        0,
        ge=0,
        le=MOST_NAMED,
        description="so many databases, the first by id, have figures of their own at the leader: "
        f"state, versions behind, last migration; at most {MOST_NAMED:,}",
    )


class AgentSection(SettingsSection):
    """How agents work: those of their own, and those in the ledger's process without a broker."""

    name: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="what an agent is called; host name and process id, if unset",
    )
    ledger: UUID | None = Field(
        None,
        description="id of the one ledger whose orders are taken, as `ledger init` says it; "
        "the first one that is heard, if unset",
    )
    trust: TrustedKeys = Field(
        (),
        description="the ledger to obey and the key that signs its orders, `<ledger id>:<public "
        "key>`; several by comma, while a key is replaced; unsigned orders are taken, from a "
        "broker on this machine alone, if unset",
    )
    key_file: Path | None = Field(
        None, description="file with the key that signs reports, as `ledger keys generate` makes it"
    )
    concurrency: HowMany = Field(CONCURRENCY, description="databases worked on at once, per agent")
    per_host: HowMany = Field(PER_HOST, description="databases worked on at once, per server")
    secret_roots: Folders = Field(
        (), description="folders below which `file:` references may be read, as a PATH"
    )
    secrets: SecretRules = Field(
        (),
        description="which secrets may go to which hosts, ports, users and databases, by `;`; "
        "without a rule `env:TENANT*` and `file:*` to this machine",
    )
    sockets: Folders = Field(
        (), description="folders of Unix sockets that databases may be behind, as a PATH"
    )
    grace_s: Seconds = Field(
        GRACE_S, description="seconds that running work gets after the first signal"
    )
    programs: Programs = Field(
        (), description="languages of programs that migrations may run here: python, psql, by comma"
    )
    psql_shell: bool = Field(
        False, description="let psql scripts start programs, and read this process's variables"
    )
    fingerprints: bool = Field(
        False,
        description="take the fingerprint of a schema after everything that changes it; at a "
        "rollout's end those of its databases are compared",
    )
    cancel_blockers: bool = Field(
        False, description="let `watchdog.when_blocked = cancel` cancel what others run"
    )
    backup_command: ProgramWords = Field(
        (),
        description="program that says when a database was last backed up: its words, behind which "
        "stands the database's id; it prints one moment, such as 2026-11-30T14:05:00Z",
    )
    insecure_postgres: bool = Field(
        False, description="allow databases without verified TLS; for trying things"
    )
    ssl_rootcert: Path | None = Field(
        None, description="certificates that databases are checked by"
    )
    ssl_cert: Path | None = Field(None, description="client certificate for databases")
    ssl_key: Path | None = Field(None, description="key of the client certificate for databases")
    content_cache_bytes: int = Field(
        CONTENT_CACHE_BYTES,
        ge=1024 * 1024,
        le=2**40,
        description="bytes of migration texts that are kept beside those that orders in hand need",
    )

    @model_validator(mode="after")
    def _serves_one_ledger(self) -> AgentSection:
        """An agent obeys one ledger; what names several names nobody."""
        if len({one.ledger for one in self.trust} | ({self.ledger} - {None})) > 1:
            raise ValueError(
                "trust and ledger name several ledgers, and an agent serves one; name one of them"
            )
        return self


class SharedSettings(SettingsSection):
    """What both programs read; all that `ledger-agent` reads. `load` merges it from its sources."""

    model_config = ConfigDict(hide_input_in_errors=True)

    pool: str = Field(
        "default", description="pool of databases that are added without one; the agents' pool"
    )
    insecure_bus: bool = Field(
        False, description="allow a broker without TLS and login that is not on loopback"
    )
    kafka: KafkaSection = Field(default_factory=KafkaSection)
    agent: AgentSection = Field(default_factory=AgentSection)
    monitoring: MonitoringSection = Field(default_factory=MonitoringSection)

    @property
    def broker(self) -> KafkaSettings | None:
        """How to reach the broker, as the bus takes it; `None` without one."""
        return self.broker_for("")

    def broker_for(self, unsigned: str) -> KafkaSettings | None:
        """The same, for a program that has nothing signed: then `unsigned` says what to do."""
        if self.kafka.bootstrap is None:
            return None
        return KafkaSettings(**dict(self.kafka), insecure_bus=self.insecure_bus, unsigned=unsigned)

    @property
    def agents_pool(self) -> str:
        """The pool, which becomes part of a topic's name. Raises `SettingsError`."""
        if not valid_pool(self.pool):
            raise SettingsError(
                f"{self.pool!r} cannot be a pool: write small letters, digits, - and _, "
                "63 at most, in --pool or LEDGER_POOL"
            )
        return self.pool
