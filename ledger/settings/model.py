"""What can be set, with defaults, units and reasons. Secrets are `SecretStr`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ledger.bus.security import KafkaSettings
from ledger.contracts.registry import Variable
from ledger.errors import SettingsError
from migrations.model.migration import TIMEOUT_MAX_S

PREFIX = "LEDGER_"


class Transport(StrEnum):
    """How orders travel to agents."""

    LOCAL = "local"
    """Agents live in the ledger's own process; no broker."""
    KAFKA = "kafka"


def _paths(value: object) -> object:
    """Variables hold folders as the system writes a PATH; files hold them as a list."""
    return value.split(os.pathsep) if isinstance(value, str) else value


def _words(value: object) -> object:
    """Variables hold a list with commas; files hold it as a list."""
    if not isinstance(value, str):
        return value
    return [word.strip() for word in value.split(",") if word.strip()]


Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)]
Programs = Annotated[tuple[Literal["python", "psql"], ...], NoDecode, BeforeValidator(_words)]
Seconds = Annotated[float, Field(ge=0)]
Timeout = Annotated[float, Field(ge=0, le=TIMEOUT_MAX_S)]
"""Seconds, no more than the server takes."""


class SettingsSection(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSection(SettingsSection):
    """How to reach the broker. Without `bootstrap` everything runs in one process."""

    bootstrap: str | None = Field(None, description="host:port of one or more brokers, by comma")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the broker; PLAINTEXT on loopback only"
    )
    ssl_cafile: Path | None = Field(None, description="certificates that the broker is checked by")
    ssl_certfile: Path | None = Field(None, description="our certificate, for client certificates")
    ssl_keyfile: Path | None = Field(None, description="the key of our certificate")
    ssl_password: SecretStr | None = Field(None, description="password of the key file")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how to log in to the broker"
    )
    sasl_username: str | None = Field(None, description="user name at the broker")
    sasl_password: SecretStr | None = Field(None, description="password at the broker")
    replication_factor: int = Field(
        -1, description="copies of each topic that we create; -1 is three, or one per broker"
    )


class RolloutSection(SettingsSection):
    """What a rollout does unless its own flags say otherwise."""

    waves: str = Field("1,10%,rest", description="sizes of the waves: counts, percents, `rest`")
    in_flight: int = Field(50, ge=1, description="databases worked on at the same time")
    budget: str = Field("0", description="how many databases may fail: a count or a percent")
    when_spent: Literal["halt", "rollback"] = Field(
        "halt", description="what a rollout does when its budget is spent"
    )
    lock_timeout_s: Timeout = Field(
        2.0, description="seconds a statement waits for a lock before it is tried again later"
    )
    statement_timeout_s: Timeout = Field(0.0, description="seconds per statement; 0 is no limit")
    expiry_s: float = Field(
        3600.0, gt=0, description="seconds until an order that nobody started is ordered again"
    )
    deadline_s: float = Field(
        14400.0, gt=0, description="seconds until an order without an answer counts as unknown"
    )


class AgentSection(SettingsSection):
    """The agents that live in this process when there is no broker."""

    concurrency: int = Field(16, ge=1, description="databases worked on at once, per agent")
    per_host: int = Field(8, ge=1, description="databases worked on at once, per server")
    secret_roots: Folders = Field(
        (), description="folders below which `file:` references may be read, as a PATH"
    )
    grace_s: Seconds = Field(
        30.0, description="seconds that running work gets after the first signal"
    )
    programs: Programs = Field(
        (), description="languages of programs that migrations may run here: python, psql, by comma"
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
        64 * 1024 * 1024, ge=1024 * 1024, description="bytes of migration texts that are kept"
    )


class LabelVariable(SettingsSection):
    """A variable that has another value in each database: that of the database's label."""

    label: str = Field(min_length=1, description="the label whose value it takes")
    sample: str = Field(description="stands in its place while a folder is read")


class Settings(BaseSettings):
    """All settings, checked. `load` is the way to get one: it knows the origins too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = Field(
        None, description="the ledger's own PostgreSQL database, as a postgresql:// address"
    )
    name: str = Field("ledger", description="what this ledger is called in questions and titles")
    pool: str = Field("default", description="pool of databases that are added without one")
    insecure_bus: bool = Field(
        False, description="allow a broker without TLS and login that is not on loopback"
    )
    resend_s: float = Field(
        30.0, gt=0, description="seconds until an unanswered order is published again"
    )
    kafka: KafkaSection = Field(default_factory=KafkaSection)
    rollout: RolloutSection = Field(default_factory=RolloutSection)
    agent: AgentSection = Field(default_factory=AgentSection)
    variables: dict[str, str | LabelVariable] = Field(
        default_factory=dict,
        description="what placeholders in migrations stand for, by name; never a secret",
    )

    @property
    def transport(self) -> Transport:
        """Kafka when a broker is configured, else one process."""
        return Transport.KAFKA if self.kafka.bootstrap else Transport.LOCAL

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The variables, by name."""
        return tuple(
            Variable(name=name, value=said)
            if isinstance(said, str)
            else Variable(name=name, value=said.sample, label=said.label)
            for name, said in sorted(self.variables.items())
        )

    @property
    def ledger_url(self) -> str:
        """Address of the ledger's database, with its password. Raises `SettingsError` if unset."""
        if self.database_url is None:
            raise SettingsError(
                "no ledger is named; set LEDGER_DATABASE_URL, or database_url in ledger.toml, "
                "or start one to try things with `ledger dev`"
            )
        return self.database_url.get_secret_value()

    @property
    def broker(self) -> KafkaSettings | None:
        """How to reach the broker, as the bus takes it; `None` in one-process mode."""
        if self.kafka.bootstrap is None:
            return None
        fields: dict[str, Any] = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.kafka
        }
        return KafkaSettings(**fields, insecure_bus=self.insecure_bus)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has merged: it keeps the origins, which a model forgets."""
        return (init_settings,)
