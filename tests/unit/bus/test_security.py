"""Which brokers are talked to, and how, and that secrets stay unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from ledger.bus import security
from ledger.bus.kafka import PRODUCER_OPTIONS
from ledger.bus.kafka_readers import CONSUMER_OPTIONS, GROUP_OPTIONS
from ledger.bus.port import BusMisconfigured
from ledger.bus.security import KafkaSettings

LOGIN = {
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "ledger",
    "sasl_password": "canary",
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_a_broker_on_loopback_may_be_plain(host: str) -> None:
    security.check(KafkaSettings(bootstrap=f"{host}:9092"))


@pytest.mark.parametrize(
    "settings",
    [
        KafkaSettings(bootstrap="broker:9092"),
        KafkaSettings(bootstrap="localhost:9092,10.0.0.7:9092"),
        KafkaSettings(bootstrap="broker:9092", security_protocol="SSL"),
        KafkaSettings(bootstrap="broker:9092", security_protocol="SASL_PLAINTEXT", **LOGIN),  # type: ignore[arg-type]
    ],
)
def test_a_broker_elsewhere_needs_tls_and_a_login(settings: KafkaSettings) -> None:
    with pytest.raises(BusMisconfigured, match="--insecure-bus"):
        security.check(settings)


@pytest.mark.parametrize(
    "settings",
    [
        KafkaSettings(bootstrap="broker:9092", security_protocol="SASL_SSL", **LOGIN),  # type: ignore[arg-type]
        KafkaSettings(bootstrap="b:9092", security_protocol="SSL", ssl_certfile=Path("client.pem")),
        KafkaSettings(bootstrap="broker:9092", insecure_bus=True),
    ],
)
def test_tls_with_a_login_or_certificate_or_the_flag_is_enough(settings: KafkaSettings) -> None:
    security.check(settings)


def test_what_the_broker_calls_itself_is_checked_too() -> None:
    with pytest.raises(BusMisconfigured, match=r"the broker at 10\.0\.0\.7"):
        security.check_hosts(KafkaSettings(bootstrap="localhost:9092"), ["localhost", "10.0.0.7"])


def test_a_login_has_to_be_complete() -> None:
    with pytest.raises(BusMisconfigured, match="LEDGER_KAFKA_SASL_PASSWORD"):
        security.check(KafkaSettings(bootstrap="localhost:9092", security_protocol="SASL_SSL"))


def test_certificates_that_cannot_be_read_are_named_by_their_settings() -> None:
    settings = KafkaSettings(
        bootstrap="b:1", security_protocol="SSL", ssl_cafile=Path("/nowhere/ca.pem")
    )
    with pytest.raises(BusMisconfigured, match="LEDGER_KAFKA_SSL_CAFILE"):
        security.client_options(settings)


def test_tls_always_checks_the_brokers_name() -> None:
    context = security.client_options(KafkaSettings(bootstrap="b:1", security_protocol="SSL"))[
        "ssl_context"
    ]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_the_login_is_handed_on_and_never_shown() -> None:
    settings = KafkaSettings(
        bootstrap="b:1",
        security_protocol="SASL_SSL",
        ssl_password=SecretStr("canary"),
        **LOGIN,  # type: ignore[arg-type]
    )
    assert "canary" not in repr(settings)
    options = security.client_options(settings)
    assert options["sasl_plain_password"] == "canary"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"


def test_no_setting_that_can_lose_messages_is_left_to_a_default() -> None:
    assert PRODUCER_OPTIONS["acks"] == "all"
    assert PRODUCER_OPTIONS["enable_idempotence"] is True
    assert CONSUMER_OPTIONS["auto_offset_reset"] == "earliest"
    assert CONSUMER_OPTIONS["enable_auto_commit"] is False
    assert CONSUMER_OPTIONS["isolation_level"] == "read_uncommitted"
    assert GROUP_OPTIONS["max_poll_interval_ms"] >= 3_600_000
    assert "security_protocol" in security.client_options(KafkaSettings(bootstrap="localhost:1"))


def test_what_is_not_signed_needs_a_broker_on_this_machine_whatever_is_insecure() -> None:
    for host in ("broker:9092", "localhost.evil:9092", "localhost:9092,10.0.0.7:9092"):
        settings = KafkaSettings(bootstrap=host, insecure_bus=True, unsigned="sign first")
        with pytest.raises(BusMisconfigured, match="sign first"):
            security.check(settings)
        security.check(settings.model_copy(update={"unsigned": ""}))
    security.check(KafkaSettings(bootstrap="localhost:9092,[::1]:9093", unsigned="sign first"))


def test_a_cluster_elsewhere_behind_an_address_of_this_machine_is_elsewhere() -> None:
    settings = KafkaSettings(bootstrap="localhost:9092", insecure_bus=True, unsigned="sign first")
    security.check(settings)
    with pytest.raises(BusMisconfigured, match="sign first"):
        security.check_hosts(settings, ["localhost", "broker-1.internal"])
