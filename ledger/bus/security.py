"""How the broker is reached and trusted: TLS, SASL, client certificates, and what is refused.

Whoever can write to a command topic can run migrations, so a broker that is not on loopback needs
TLS and a login or a client certificate. `insecure_bus` switches that off, for development; agents
say in their heartbeats and reports when it is on.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ledger.bus.broker_address import brokers_in, check_brokers
from ledger.bus.port import BusMisconfigured


class KafkaSection(BaseModel):
    """How to reach the broker. Without `bootstrap` everything runs in one process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap: Annotated[str, AfterValidator(check_brokers)] | None = Field(
        None, description="host:port of one or more brokers, by comma"
    )
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
        -1,
        ge=-1,
        le=100,
        description="copies of each topic that we create; -1 is three, or one per broker",
    )


class KafkaSettings(KafkaSection):
    """Where the broker is and how to get in, and whether it may be talked to without proof.

    `unsigned` says what to do instead, for a program that has nothing signed over this bus.
    """

    insecure_bus: bool = False
    unsigned: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether traffic is inside TLS."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def authenticated(self) -> bool:
        """Whether we prove who we are, by a login or a client certificate."""
        return self.security_protocol.startswith("SASL_") or self.ssl_certfile is not None

    @property
    def servers(self) -> list[str]:
        """The bootstrap addresses one by one."""
        return brokers_in(self.bootstrap or "")


def check(settings: KafkaSettings) -> None:
    """Raise `BusMisconfigured` for settings that contradict themselves or are not safe."""
    if not settings.servers:
        raise BusMisconfigured("no broker is named; set LEDGER_KAFKA_BOOTSTRAP to host:port")
    if settings.security_protocol.startswith("SASL_") and not (
        settings.sasl_mechanism and settings.sasl_username and settings.sasl_password
    ):
        raise BusMisconfigured(
            f"{settings.security_protocol} needs a login; set LEDGER_KAFKA_SASL_MECHANISM, "
            "LEDGER_KAFKA_SASL_USERNAME and LEDGER_KAFKA_SASL_PASSWORD"
        )
    check_hosts(settings, (server.rpartition(":")[0] for server in settings.servers))


def check_hosts(settings: KafkaSettings, hosts: Iterable[str]) -> None:
    """Raise `BusMisconfigured` when one of `hosts` may not be talked to like this."""
    elsewhere = [host for host in hosts if not is_loopback(host)]
    if not elsewhere:
        return
    if not (settings.insecure_bus or (settings.encrypted and settings.authenticated)):
        lacks = "TLS" if not settings.encrypted else "a login or a client certificate"
        raise BusMisconfigured(
            f"the broker at {elsewhere[0]} is not on this machine and the connection lacks "
            f"{lacks}; set LEDGER_KAFKA_SECURITY_PROTOCOL=SASL_SSL with a login (or SSL with a "
            "client certificate), or allow it for development with --insecure-bus"
        )
    # No flag excuses this: whoever may write to a topic there could give orders, or report.
    if settings.unsigned:
        raise BusMisconfigured(
            f"the broker at {elsewhere[0]} is not on this machine, and {settings.unsigned}"
        )


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its very name; names are not looked up."""
    bare = host.strip().strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The security arguments that aiokafka's clients take, all explicit.

    Raises `BusMisconfigured` when a certificate or key cannot be used.
    """
    return {
        "security_protocol": settings.security_protocol,
        "ssl_context": _ssl_context(settings) if settings.encrypted else None,
        "sasl_mechanism": settings.sasl_mechanism or "PLAIN",
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": _revealed(settings.sasl_password),
    }


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """TLS that always verifies the broker's certificate and name."""
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(
                settings.ssl_certfile,
                settings.ssl_keyfile,
                password=_revealed(settings.ssl_password),
            )
    except (OSError, ssl.SSLError) as error:
        raise BusMisconfigured(
            f"the certificates for the broker cannot be used "
            f"({error.strerror or error}); check LEDGER_KAFKA_SSL_CAFILE, "
            "LEDGER_KAFKA_SSL_CERTFILE, LEDGER_KAFKA_SSL_KEYFILE and LEDGER_KAFKA_SSL_PASSWORD"
        ) from None
    return context


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
