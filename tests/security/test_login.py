"""A server that was registered to catch a password: what it asks for, and what it gets."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.errors import Unreachable
from migrations.target.login import Credentials, Login
from migrations.target.scram import LoginRefused
from migrations.target.session import (
    ConnectionSettings,
    Password,
    close_session,
    open_session,
)
from tests.fixtures.postgres import PostgresServer
from tests.support import listener
from tests.support.listener import Answer, always, listening, scram
from tests.support.tls_server import KEYS, make_certificate, tls_server

CANARY = "canary-p4ssword"


def at(host: str, port: int, **changes: object) -> ConnectionSettings:
    values: dict[str, object] = {
        "host": host,
        "port": port,
        "database": "acme",
        "user": "migrator",
        "password": Password(CANARY),
        "sslmode": "disable",
        "allow_plaintext": True,
    }
    return ConnectionSettings(**values | changes)  # type: ignore[arg-type]


async def refused(settings: ConnectionSettings) -> str:
    with pytest.raises(Unreachable) as failure:
        await open_session(settings, application_name="test")
    assert CANARY not in str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (listener.CLEAR, "in clear"),
        (listener.MD5, "as an MD5 hash"),
        (listener.GSS, "by GSSAPI"),
        (listener.SSPI, "by SSPI"),
        (struct.pack("!I", 2), "in another way"),
        (struct.pack("!I", 99), "in another way"),
    ],
)
async def test_a_server_that_asks_for_a_password_in_another_way_hears_nothing(
    body: bytes, asked: str
) -> None:
    async with listening(always(body)) as server:
        said = await refused(at("127.0.0.1", server.port))
    assert asked in said
    assert "scram-sha-256" in said
    assert server.contacts == 1
    assert server.said == b""


async def test_a_unix_socket_that_asks_in_clear_hears_nothing(tmp_path: Path) -> None:
    async with listening(always(listener.CLEAR), str(tmp_path)) as server:
        assert "in clear" in await refused(at(str(tmp_path), 5432))
    assert (server.contacts, server.said) == (1, b"")


async def test_nothing_of_the_environment_is_sent_where_no_password_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:*:{CANARY}\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    monkeypatch.setenv("PGPASSWORD", CANARY)
    for body in (listener.CLEAR, listener.MD5, listener.SASL):
        async with listening(always(body)) as server:
            await refused(at("127.0.0.1", server.port, password=None))
        assert server.said == b""


async def test_a_server_that_knows_no_other_way_of_sasl_hears_nothing() -> None:
    async with listening(always(listener.OTHER_SASL)) as server:
        assert "offers no login by SCRAM" in await refused(at("127.0.0.1", server.port))
    assert server.said == b""


@pytest.mark.parametrize("rounds", [1, 4095, 2**31 - 1])
async def test_a_server_that_asks_for_a_proof_that_is_easy_to_guess_or_endless_gets_none(
    rounds: int,
) -> None:
    async with listening(scram(rounds=rounds)) as server:
        assert "rounds of hashing" in await refused(at("127.0.0.1", server.port))
    assert b"p=" not in server.said


@pytest.mark.parametrize(
    "answer", [scram(), scram(final=b"e=other-error"), scram(final=b""), scram(signs=False)]
)
async def test_a_server_that_does_not_know_the_password_is_not_taken_for_the_database(
    answer: Answer,
) -> None:
    async with listening(answer) as server:
        assert "somebody else answers" in await refused(at("127.0.0.1", server.port))
    assert CANARY.encode() not in server.said


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("!I", 11) + b"r=x,s=eA==,i=4096",
        struct.pack("!I", 12) + b"v=AAAA",
        struct.pack("!I", 10),
        b"",
    ],
)
async def test_a_server_that_begins_in_the_middle_hears_nothing(body: bytes) -> None:
    async with listening(always(body)) as server:
        await refused(at("127.0.0.1", server.port))
    assert server.said == b""


def test_no_answer_before_the_login_takes_memory() -> None:
    login = Login(Credentials(CANARY), None)
    with pytest.raises(LoginRefused):
        login.received(b"E" + struct.pack("!I", 500_000_000))


def test_a_login_may_come_in_single_bytes() -> None:
    login = Login(Credentials(CANARY), None)
    answers = b"".join(
        login.received(bytes([octet]))[0] for octet in listener.request(listener.SASL)
    )
    assert answers.startswith(b"p")
    assert b"SCRAM-SHA-256\0" in answers


async def test_the_real_server_still_lets_us_in_with_any_password(
    postgres_server: PostgresServer,
) -> None:
    role = f"{postgres_server.prefix}_login_{uuid4().hex[:6]}"
    parts = ConnectionSettings.from_url(postgres_server.admin_url, allow_plaintext=True)
    for password in ("plain", "a:b,c=d%", "pässwört Ⅸ", "\u00adsoft", "x" * 300):
        await postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        try:
            session = await open_session(
                at(
                    parts.host,
                    parts.port,
                    user=role,
                    database="postgres",
                    password=Password(password),
                ),
                application_name="test",
            )
            await close_session(session)
            said = await refused(at(parts.host, parts.port, user=role, database="postgres"))
            assert "28P01" in said
        finally:
            await postgres_server.execute(f"DROP ROLE {role}")


# --- inside TLS ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secured:
    """A real server with TLS whose certificate says `localhost`, and the password of its owner."""

    server: EmbeddedPostgres
    certificate: Path
    settings: ConnectionSettings


@pytest.fixture(params=KEYS)
def secured(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Secured]:
    """Return a running server with TLS."""
    certificate, key = make_certificate(server_folder, "server", *KEYS[request.param])
    with tls_server(server_folder / "postgres", certificate, key) as server:
        url = f"{server.url('postgres')}?sslmode=verify-full&sslrootcert={certificate}"
        yield Secured(server, certificate, ConnectionSettings.from_url(f"{url}&host=localhost"))


async def test_inside_tls_the_login_is_bound_to_the_connection(secured: Secured) -> None:
    session = await open_session(secured.settings, application_name="test")
    try:
        assert await session.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        await close_session(session)
    context = ssl.create_default_context(cafile=secured.certificate)
    (der,) = context.get_ca_certs(binary_form=True)
    answers, _ = Login(Credentials("x"), der).received(
        listener.request(struct.pack("!I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    )
    assert b"SCRAM-SHA-256-PLUS\0" in answers
    assert b"p=tls-server-end-point,,n=" in answers


async def test_whoever_passes_a_login_on_from_another_connection_is_not_let_in(
    secured: Secured, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, "between", "-newkey", "rsa:2048")
    async with passing_on(secured, certificate, key) as between:
        settings = ConnectionSettings(
            host="localhost",
            port=between.port,
            database="postgres",
            user=secured.settings.user,
            password=secured.settings.password,
            sslrootcert=str(certificate),
        )
        with pytest.raises(Unreachable, match="SQLSTATE 28"):
            await open_session(settings, application_name="test")
    assert between.passed, "the login went through the one in between"


async def test_a_server_that_takes_the_binding_out_of_its_offer_hears_nothing(
    tmp_path: Path,
) -> None:
    certificate, key = make_certificate(tmp_path, "between", "-newkey", "rsa:2048")
    assert key.exists()
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    with pytest.raises(LoginRefused, match="does not bind the login"):
        Login(Credentials(CANARY), der).received(listener.request(listener.SASL))


def test_a_certificate_without_a_defined_binding_gives_a_login_without_one(
    tmp_path: Path,
) -> None:
    certificate, _ = make_certificate(tmp_path, "ed", "-newkey", "ed25519")
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    offer = struct.pack("!I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
    answers, _ = Login(Credentials(CANARY), der).received(listener.request(offer))
    assert b"SCRAM-SHA-256\0" in answers


@dataclass
class Between:
    """Somebody with a certificate of his own for the server's name."""

    port: int = 0
    passed: bool = False


@asynccontextmanager
async def passing_on(secured: Secured, certificate: Path, key: Path) -> AsyncIterator[Between]:
    """Ends the client's TLS, begins one with the real server, and passes everything on."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    theirs = ssl.create_default_context(cafile=secured.certificate)
    between = Between()
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                between.passed = between.passed or b"SCRAM" in data
                writer.write(data)
            writer.close()
        except OSError:
            return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(ours)
        there, here = await asyncio.open_connection("localhost", secured.settings.port)
        here.write(struct.pack("!II", 8, listener.SSL_REQUEST))
        assert await there.readexactly(1) == b"S"
        await here.start_tls(theirs, server_hostname="localhost")
        for pair in ((reader, here), (there, writer)):
            task = asyncio.create_task(copy(*pair))
            tasks.add(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
