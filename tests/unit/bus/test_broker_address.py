"""Addresses of brokers as people write them."""

from __future__ import annotations

import pytest

from ledger.bus.broker_address import brokers_in, check_brokers


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("localhost:9092", ["localhost:9092"]),
        ("a:1, b.example:2,", ["a:1", "b.example:2"]),
        ("[::1]:9092,10.0.0.7:9093", ["[::1]:9092", "10.0.0.7:9093"]),
    ],
)
def test_addresses_with_host_and_port_are_taken_one_by_one(text: str, addresses: list[str]) -> None:
    assert check_brokers(text) == text
    assert brokers_in(text) == addresses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (":9092", "':9092' has no host"),
        ("broker", "'broker' has no port"),
        ("broker:", "'broker:' has no port"),
        ("[::1]", r"'\[::1\]' has no port"),
        ("broker:http", "'broker:http' has a port that is none, it can be 1 to 65,535"),
        ("broker:0", "has a port that is none"),
        ("broker:-1", "has a port that is none"),
        ("broker:65536", "has a port that is none"),
        ("broker:" + "9" * 30, "has a port that is none"),
        ("kafka://broker:9092", "has a scheme"),
        ("PLAINTEXT://:9092", "has a scheme"),
        ("::1:9092", r"without brackets, as in \[::1\]:9092"),
        ("a:1;b:2", "is more than one address"),
        ("a:1 b:2", "is more than one address"),
        ("a:1/topic", "has a path"),
        ("a:1,:2", "':2' has no host"),
        ("a:1,,b:2", "an address is empty"),
        (" , ", "an address is empty"),
        ("b\u202e:1", r"'b\\u202e:1' has a host that can be none"),
    ],
)
def test_what_is_none_is_named_with_what_is_wrong_and_how_to_write_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said + r".*; write HOST:PORT"):
        check_brokers(text)


def test_a_login_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="carries a login") as refused:
        check_brokers("ada:hunter2@broker:9092")
    assert "hunter2" not in str(refused.value)
