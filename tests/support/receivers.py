"""Receivers of notifications that run here: plain HTTP, services behind TLS, and mail."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SLACK, PAGERDUTY = "hooks.slack.com", "events.pagerduty.com"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody posted."""

    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


Answering = Callable[[Request], tuple[int, str]]


def takes(_: Request) -> tuple[int, str]:
    """Take everything."""
    return 204, ""


@dataclass
class HttpReceiver:
    """Answers posts, and remembers them; `answers` may be changed while it runs."""

    answers: Answering = takes
    taken: list[Request] = field(default_factory=list)
    """What was answered with success."""
    refused: list[Request] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def up(self) -> None:
        """Listen, again where it listened before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse every connection."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._tls is not None:
                # A proxy is asked for a connection to the service, and then is the service.
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await writer.drain()
                await writer.start_tls(self._tls)
            request = await _read(reader)
            status, text = self.answers(request)
            (self.taken if status < 300 else self.refused).append(request)
            head = (
                f"HTTP/1.1 {status} -\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            )
            writer.write((head + text).encode())
            await writer.drain()
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(headers.get("host", ""), head[0].split(" ")[1], headers, body)


@asynccontextmanager
async def http_receiver(answers: Answering = takes) -> AsyncIterator[HttpReceiver]:
    """A receiver of plain posts, until the block ends."""
    receiver = HttpReceiver(answers)
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()


def services(request: Request) -> tuple[int, str]:
    """Answer as Slack and PagerDuty do."""
    if request.host.startswith(SLACK):
        return 200, "ok"
    return 202, json.dumps({"status": "success", "dedup_key": request.json.get("dedup_key")})


@asynccontextmanager
async def service_receiver(
    folder: Path, answers: Answering = services
) -> AsyncIterator[tuple[HttpReceiver, dict[str, str]]]:
    """Slack and PagerDuty by their own names, with TLS; and the variables that lead there.

    Both have fixed addresses. So the client is told a proxy, which is what every client behind a
    firewall is told, and whom it may believe.
    """
    authority, certificate = _certificates(folder, SLACK, PAGERDUTY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    receiver = HttpReceiver(answers, _tls=context)
    await receiver.up()
    environ = {
        "HTTPS_PROXY": f"http://127.0.0.1:{receiver.port}",
        "REQUESTS_CA_BUNDLE": str(authority),
    }
    try:
        yield receiver, environ
    finally:
        await receiver.down()


def _certificates(folder: Path, *names: str) -> tuple[Path, Path]:
    """An authority's certificate, and a chain with its key for these names."""
    now = datetime.now(UTC)
    own, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )

    authority = (
        builder(issuer, own)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .sign(own, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    leaf = (
        builder(subject, theirs)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), critical=False
        )
        .sign(own, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    key = theirs.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "services.pem").write_bytes(leaf.public_bytes(pem) + key)
    return folder / "authority.pem", folder / "services.pem"


class Mailbox:
    """Mails that came."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(  # noqa: N802  # As aiosmtpd calls it.
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep one."""
        self.mails.append(message_from_bytes(envelope.original_content or b""))
        return "250 taken"


@asynccontextmanager
async def mail_receiver() -> AsyncIterator[tuple[Mailbox, int]]:
    """A mail server, until the block ends; its mails and its port."""
    mailbox = Mailbox()
    # A port of its own has to be chosen: the controller connects to it by number.
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()
