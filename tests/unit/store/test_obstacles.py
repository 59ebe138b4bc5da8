"""What keeps us from the ledger's database: each error's sentence has a place and a remedy."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from pathlib import Path

import asyncpg
import pytest

from ledger.settings.address import place_of
from ledger.store.obstacles import (
    CERTIFICATES,
    OS_ERRORS,
    SQLSTATES,
    TLS_REASONS,
    unreachable,
)

SECRET = "hunter2"
URL = f"postgresql://nora:{SECRET}@db.example:5433/shop"
PLACE = place_of(URL, {})


def refused(state: str, function: str = "", message: str = SECRET) -> asyncpg.PostgresError:
    """What the driver raises when a server refuses with this SQLSTATE, in this function of its."""
    fields = {"S": "FATAL", "C": state, "M": message, "R": function}
    made = asyncpg.PostgresError.new(fields)
    assert isinstance(made, asyncpg.PostgresError)
    return made


def tls(reason: str) -> ssl.SSLError:
    """What the TLS library raises."""
    error = ssl.SSLError(1, SECRET)
    error.reason = reason
    return error


def certificate(code: int) -> ssl.SSLCertVerificationError:
    """What is raised for a server's certificate."""
    error = ssl.SSLCertVerificationError(1, SECRET)
    error.verify_code = code
    return error


TABLE: list[tuple[BaseException, str, str]] = [
    (ConnectionRefusedError(errno.ECONNREFUSED, SECRET), "nobody listens there", "start the"),
    (ConnectionResetError(errno.ECONNRESET, SECRET), "cut the connection", "try again"),
    (BrokenPipeError(errno.EPIPE, SECRET), "cut the connection", "try again"),
    (OSError(errno.EHOSTUNREACH, SECRET), "no way in the network leads to db.example", "network"),
    (OSError(errno.ENETUNREACH, SECRET), "no way in the network", "check the network"),
    (FileNotFoundError(errno.ENOENT, SECRET), "no such socket", "the folder of its socket"),
    (PermissionError(errno.EACCES, SECRET), "may not use its socket", "connect by a host name"),
    (TimeoutError(), "did not answer within 10 s", "nothing on the way drops"),
    (
        OSError(
            f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] a, [Errno {errno.ECONNREFUSED}] b"
        ),
        "nobody listens there",
        "start the server",
    ),
    (
        socket.gaierror(socket.EAI_NONAME, SECRET),
        "no host is called db.example",
        "correct the host",
    ),
    (
        socket.gaierror(socket.EAI_AGAIN, SECRET),
        "the name db.example cannot be looked up",
        "name servers",
    ),
    (certificate(18), "nobody signed who is trusted here", "?sslrootcert=FILE"),
    (certificate(20), "nobody signed who is trusted here", "?sslrootcert=FILE"),
    (certificate(62), "a certificate for another name than db.example", "connect by a name"),
    (certificate(64), "a certificate for another name than db.example", "connect by a name"),
    (certificate(10), "a certificate that has expired", "renew it"),
    (certificate(9), "not valid yet", "compare the clocks"),
    (certificate(23), "was revoked", "renew it"),
    (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "wants a certificate of whoever", "sslcert=FILE"),
    (tls("WRONG_VERSION_NUMBER"), "no version of TLS in common", "check host and port"),
    (tls("SOMETHING_NEW"), "could not agree on TLS (something new)", "versions of TLS"),
    (
        ConnectionError(f"PostgreSQL server at {SECRET} rejected SSL upgrade"),
        "does not offer TLS",
        "ssl = on",
    ),
    (ssl.SSLEOFError(8, SECRET), "cut the connection", "what stands before it"),
    (
        refused("28P01", "auth_failed"),
        "refuses the password of role nora",
        "VALID UNTIL 'infinity'",
    ),
    (
        refused("28000", "ClientAuthentication"),
        "no line in pg_hba.conf that lets role nora",
        "hostssl",
    ),
    (
        refused("28000", "InitializeSessionUserId"),
        "no role nora that may log in",
        "ALTER ROLE nora LOGIN",
    ),
    (refused("28000", "auth_failed"), "does not let role nora in", "pg_hba.conf"),
    (refused("3D000"), "the server has no database shop", "CREATE DATABASE shop"),
    (
        refused("42501", "CheckMyDatabase"),
        "does not let role nora connect",
        "GRANT CONNECT ON DATABASE shop TO nora",
    ),
    (
        refused("42501", "aclcheck_error"),
        "role nora has no rights in this ledger",
        "GRANT ledger_viewer TO nora",
    ),
    (refused("42704"), "refuses a parameter of the address", "leave it out"),
    (refused("55P02"), "refuses a parameter of the address", "leave it out"),
    (refused("22023"), "refuses the value of a parameter", "correct it"),
    (
        refused("53300", "InitProcess"),
        "no free slot for a session (too many",
        "raise max_connections",
    ),
    (
        refused("53300", "InitializeSessionUserId"),
        "no session left for role nora",
        "ALTER ROLE nora CONNECTION",
    ),
    (
        refused("53300", "CheckMyDatabase"),
        "takes no more sessions",
        "ALTER DATABASE shop CONNECTION",
    ),
    (refused("53100"), "its disk or its memory is full", "make room"),
    (refused("53200"), "its disk or its memory is full", "make room"),
    (refused("55000"), "takes no connections", "ALTER DATABASE shop ALLOW_CONNECTIONS true"),
    (refused("57P03"), "is starting, stopping or recovering", "wait until"),
    (refused("57P01"), "ended the session: it stops", "wait until"),
    (refused("57P02"), "ended the session", "see the log"),
    (refused("57P05"), "ended the session", "see the log"),
    (refused("57014"), "cancelled a statement", "statement_timeout"),
    (refused("25P03"), "time-out of its own", "try again"),
    (refused("08006"), "cut the connection", "try again"),
    (refused("XX000"), "refused (SQLSTATE XX000)", "see the log of the server"),
    (asyncpg.ConnectionDoesNotExistError(SECRET), "cut the connection", "try again"),
    (asyncpg.InterfaceError(SECRET), "cut the connection", "try again"),
    (refused("08P01"), "answers in no words of PostgreSQL", "check host and port"),
    (
        asyncpg.ClientConfigurationError(SECRET),
        "an address that cannot be used",
        "postgresql://user@host",
    ),
    (ValueError(SECRET), "an address that cannot be used", "postgresql://user@host"),
]


@pytest.mark.parametrize(("error", "said", "remedy"), TABLE)
def test_each_error_says_where_what_and_the_remedy_in_one_line_without_secrets_or_class_names(
    error: BaseException, said: str, remedy: str
) -> None:
    told = unreachable(error, PLACE)
    text = str(told)
    assert text.startswith("the ledger's database, shop at db.example:5433, ")
    assert said in text
    assert remedy in text.partition("; ")[2]
    assert SECRET not in text
    assert "\n" not in text
    assert not re.search(r"\w+(Error|Exception)\b|\berrno\b", text, re.IGNORECASE)


def test_every_row_of_the_table_makes_a_sentence() -> None:
    rows = (*OS_ERRORS.values(), *CERTIFICATES.values(), *TLS_REASONS.values(), *SQLSTATES.values())
    for row in rows:
        words = {"host": "h", "user": "u", "database": "d"}
        assert "{" not in row.said.format(**words) + row.remedy.format(**words)


def test_names_are_written_as_sql_needs_them() -> None:
    place = place_of("postgresql://Ops-Team@db/Shop.1", {})
    told = str(unreachable(refused("42501", "CheckMyDatabase"), place))
    assert 'GRANT CONNECT ON DATABASE "Shop.1" TO "Ops-Team"' in told


def test_a_server_that_takes_only_tls_is_told_so_where_none_was_asked_for() -> None:
    place = place_of(f"{URL}?sslmode=disable", {})
    told = str(unreachable(refused("28000", "ClientAuthentication"), place))
    assert "without TLS; end the address with ?sslmode=verify-full&sslrootcert=FILE" in told


@pytest.mark.parametrize(
    ("state", "message", "name"),
    [
        ("42704", 'unrecognized configuration parameter "channel_binding"', "channel_binding"),
        ("22023", 'invalid value for parameter "work_mem": "lots"', "work_mem"),
    ],
)
def test_a_parameter_that_the_server_refuses_is_named_and_its_value_is_not(
    state: str, message: str, name: str
) -> None:
    place = place_of(f"{URL}?{name}=lots", {})
    told = str(unreachable(refused(state, message=message), place))
    assert f": {name}; " in told
    assert "lots" not in told


@pytest.mark.parametrize("error", [FileNotFoundError(2, "x"), tls("NO_START_LINE")])
def test_a_file_of_the_address_that_cannot_be_used_is_named_by_its_parameter(
    error: OSError, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    place = place_of(f"{URL}?sslmode=verify-full&sslrootcert={path}", {})
    told = str(unreachable(error, place))
    assert "sslrootcert" in told
    assert str(path) in told
    path.write_text("no certificate")
    told = str(unreachable(tls("NO_START_LINE"), place))
    assert "is no certificate or no key; give sslrootcert files of the form PEM" in told


def test_a_proof_that_nobody_can_check_is_told_with_the_file_that_lacks() -> None:
    place = place_of(f"{URL}?sslmode=verify-full", {})
    told = str(unreachable(asyncpg.ClientConfigurationError(SECRET), place))
    assert "add &sslrootcert=FILE" in told


def test_of_an_address_that_is_not_proven_clean_nothing_is_told() -> None:
    for url in ("postgresql://nora:a/b@db/shop", "postgresql://svc:pw[@127.0.0.1/x", SECRET):
        assert place_of(url, {}) is None
    assert str(unreachable(refused("3D000"))).startswith("the ledger's database is not there")


@pytest.mark.parametrize(
    ("url", "environ", "told"),
    [
        ("postgresql://u@db/x", {}, "x at db:5432"),
        ("postgresql://u@db/x", {"PGPORT": "7"}, "x at db:7"),
        ("postgresql:///x", {"PGHOST": "db"}, "x at db:5432"),
        ("postgresql://u@[::1]:9/x", {}, "x at [::1]:9"),
        ("postgresql://u@db", {}, "u at db:5432"),
        ("postgresql:///x?host=/run/pg", {}, "x at the socket in /run/pg, port 5432"),
    ],
)
def test_where_an_address_leads_is_read_as_the_driver_reads_it(
    url: str, environ: dict[str, str], told: str
) -> None:
    place = place_of(url, environ)
    assert place is not None
    assert place.told == told


def test_where_a_file_of_services_says_it_nothing_is_guessed() -> None:
    assert place_of("postgresql:///x?service=far", {}) is None
    assert place_of("postgresql:///x", {"PGSERVICE": "far"}) is None
