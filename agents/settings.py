"""What an agent was told: flags over `LEDGER_*` variables. Agents read no settings file.

`Variables` is what the environment says, checked; `AgentSettings` is what the agent works with, and
what the single-process mode of the ledger builds by itself. An unknown `LEDGER_*` variable is
refused, because one that is silently ignored is worse than one that is missing.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents.errors import AgentSettingsError
from ledger.bus.security import KafkaSettings
from ledger.contracts.topics import valid_pool
from ledger.contracts.variables import VARIABLES
from migrations.model.migration import Language

PREFIX = "LEDGER_"
CONCURRENCY = 16
"""Databases at once: waiting on round trips, two cores are busy with about this many."""
PER_HOST = 8
"""Databases at once on one server, so that a rollout does not take all of its connections."""
GRACE_S = 30.0
"""What most orchestrators wait between their two signals."""
CONTENT_CACHE_BYTES = 64 * 1024 * 1024


def default_name() -> str:
    """Host name and process id: tells agents apart, and people where to look."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How one agent works. Seconds and bytes as the names say.

    `insecure_postgres` accepts databases without verified TLS, `insecure_bus` records that the bus
    was allowed to be unsafe: both are said in every heartbeat and report.
    """

    pool: str
    name: str = field(default_factory=default_name)
    concurrency: int = CONCURRENCY
    per_host: int = PER_HOST
    secret_roots: tuple[Path, ...] = ()
    programs: tuple[Language, ...] = ()
    """Languages of programs that migrations may run here; nothing, unless a person allowed it."""
    grace_s: float = GRACE_S
    insecure_postgres: bool = False
    insecure_bus: bool = False
    content_cache_bytes: int = CONTENT_CACHE_BYTES
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None

    @property
    def insecure(self) -> tuple[str, ...]:
        """The development flags in use, as heartbeats and reports name them."""
        flags = (("bus", self.insecure_bus), ("postgres", self.insecure_postgres))
        return tuple(name for name, on in flags if on)


def _paths(value: object) -> object:
    """Variables hold folders as the system writes a PATH."""
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _words(value: object) -> object:
    """Variables hold lists with commas."""
    if not isinstance(value, str):
        return value
    return [word.strip() for word in value.split(",") if word.strip()]


Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)]
Programs = Annotated[tuple[Language, ...], NoDecode, BeforeValidator(_words)]


class Variables(BaseSettings):
    """The environment of `ledger-agent`; every field is the variable of that name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    pool: str = "default"
    insecure_bus: bool = False
    kafka_bootstrap: str = ""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ssl_cafile: Path | None = None
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    kafka_ssl_password: SecretStr | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_replication_factor: int = -1
    agent_name: str = Field(default_factory=default_name, min_length=1, max_length=200)
    agent_concurrency: int = Field(CONCURRENCY, ge=1)
    agent_per_host: int = Field(PER_HOST, ge=1)
    agent_secret_roots: Folders = ()
    agent_programs: Programs = ()
    agent_grace_s: float = Field(GRACE_S, ge=0)
    agent_insecure_postgres: bool = False
    agent_content_cache_bytes: int = Field(CONTENT_CACHE_BYTES, ge=1024 * 1024)
    agent_ssl_rootcert: Path | None = None
    agent_ssl_cert: Path | None = None
    agent_ssl_key: Path | None = None

    def agent(self) -> AgentSettings:
        """How the agent is to work."""
        return AgentSettings(
            pool=self.pool,
            name=self.agent_name,
            concurrency=self.agent_concurrency,
            per_host=self.agent_per_host,
            secret_roots=self.agent_secret_roots,
            programs=self.agent_programs,
            grace_s=self.agent_grace_s,
            insecure_postgres=self.agent_insecure_postgres,
            insecure_bus=self.insecure_bus,
            content_cache_bytes=self.agent_content_cache_bytes,
            sslrootcert=self.agent_ssl_rootcert,
            sslcert=self.agent_ssl_cert,
            sslkey=self.agent_ssl_key,
        )

    def kafka(self) -> KafkaSettings:
        """How the broker is reached."""
        return KafkaSettings(
            bootstrap=self.kafka_bootstrap,
            security_protocol=self.kafka_security_protocol,
            ssl_cafile=self.kafka_ssl_cafile,
            ssl_certfile=self.kafka_ssl_certfile,
            ssl_keyfile=self.kafka_ssl_keyfile,
            ssl_password=_revealed(self.kafka_ssl_password),
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=_revealed(self.kafka_sasl_password),
            replication_factor=self.kafka_replication_factor,
            insecure_bus=self.insecure_bus,
        )


def load(flags: Mapping[str, Any]) -> Variables:
    """The settings by flags (fields by name, `None` for what was not given) over variables.

    Raises `AgentSettingsError`, which never shows a value.
    """
    _refuse_unknown_variables()
    try:
        variables = Variables(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = f"{PREFIX}{problem['loc'][0]}".upper()
        raise AgentSettingsError(f"{name} is wrong: {problem['msg']}; correct it") from None
    if not valid_pool(variables.pool):
        raise AgentSettingsError(
            f"{variables.pool!r} cannot be a pool: write small letters, digits, - and _, "
            "63 at most, in --pool or LEDGER_POOL"
        )
    return variables


def _refuse_unknown_variables() -> None:
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in VARIABLES:
            (close,) = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.0)
            raise AgentSettingsError(
                f"{name} is no variable that this program knows; the nearest is {close}: "
                "write that, or unset it"
            )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
