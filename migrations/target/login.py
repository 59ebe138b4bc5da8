"""Logging in to a tenant: our own SCRAM in front of asyncpg, which never learns the password.

asyncpg answers whatever a server asks for, also a request for the password in clear or under MD5,
and cannot be told otherwise. So a server that somebody registered could simply ask. Here the
messages of the login are read before the driver sees them:

    server ── R: SASL … ──▶ this module ── our answer ──▶ server
    server ── R: clear text, MD5, GSS … ──▶ refused, connection cut
    server ── R: done, and all other messages ──▶ counted (`inflow`) ──▶ asyncpg

Behind the login the same place lets several questions go out in one breath (`together`).

The password is handed to this module by `logging_in` and not to the driver: a driver that builds
its connections in another way has nothing that it could send.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncpg import connect_utils, protocol

from migrations.target.inflow import AnswerTooLarge, Inflow
from migrations.target.scram import LoginRefused, Scram

if TYPE_CHECKING:
    from migrations.target.pipeline import Together

MESSAGE_MAX_BYTES = 64 * 1024
"""Of one message before the login is done; PostgreSQL's own are a few hundred bytes."""
_OK, _CLEAR, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_NAMES = {_CLEAR: "in clear", _MD5: "as an MD5 hash", 7: "by GSSAPI", 9: "by SSPI"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one login is made with; `None` where no password is known."""

    password: str | None = field(repr=False)


_credentials: ContextVar[Credentials | None] = ContextVar("credentials", default=None)


@contextmanager
def logging_in(password: str | None) -> Iterator[None]:
    """Every connection that the driver opens within the block logs in by our rules."""
    token = _credentials.set(Credentials(password))
    try:
        yield
    finally:
        _credentials.reset(token)


class Login:
    """The messages of one login; no I/O. `certificate` is the server's, in DER, inside TLS."""

    def __init__(self, credentials: Credentials, certificate: bytes | None) -> None:
        self._credentials = credentials
        self._certificate = certificate
        self._scram: Scram | None = None
        self._buffer = b""
        self.done = False

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """What to answer the server, and what the driver may see. Raises `LoginRefused`."""
        self._buffer += data
        answers, through = b"", b""
        while not self.done and len(self._buffer) >= 5:
            kind, length = self._buffer[:1], struct.unpack_from("!I", self._buffer, 1)[0]
            if not 4 <= length <= MESSAGE_MAX_BYTES:
                raise LoginRefused("the server's answer is none; check that it is PostgreSQL")
            if len(self._buffer) <= length:
                break
            message = self._buffer[: length + 1]
            self._buffer = self._buffer[length + 1 :]
            if kind != b"R":
                through += message
                continue
            answer = self._answer(message[5:])
            if answer is None:
                through += message
                self.done = True
            else:
                answers += answer
        if self.done:
            through += self._buffer
            self._buffer = b""
        return answers, through

    def _answer(self, body: bytes) -> bytes | None:
        """Our answer to a request of the server; `None` when it asks for nothing any more."""
        if len(body) < 4:
            raise LoginRefused("the server's answer is none; check that it is PostgreSQL")
        code, rest = struct.unpack_from("!I", body)[0], body[4:]
        scram = self._scram
        if code == _OK:
            if scram is not None and not scram.proven:
                raise LoginRefused(
                    "the server took the login without proving that it knows the password; "
                    "somebody else answers in its place: check host, port and network"
                )
            return None
        if code == _SASL and scram is None:
            return self._begin([name for name in rest.split(b"\0") if name])
        if code == _SASL_CONTINUE and scram is not None and not scram.proven:
            return _password_message(scram.client_final(rest))
        if code == _SASL_FINAL and scram is not None:
            scram.check_server(rest)
            return b""
        raise LoginRefused(
            f"the server wants the password {_NAMES.get(code, 'in another way')}, and it leaves "
            "this process by SCRAM-SHA-256 alone; use scram-sha-256 in its pg_hba.conf, and set "
            "the role's password anew with password_encryption = 'scram-sha-256'"
        )

    def _begin(self, offered: list[bytes]) -> bytes:
        if not self._credentials.password:
            raise LoginRefused(
                "the server wants a password and none is known here; register a reference to it"
            )
        self._scram = Scram(self._credentials.password, self._certificate)
        mechanism, first = self._scram.client_first(offered)
        return _password_message(mechanism + b"\0" + struct.pack("!I", len(first)) + first)


def _password_message(body: bytes) -> bytes:
    return b"p" + struct.pack("!I", len(body) + 4) + body


class _Outward:
    """The transport as the driver sees it: what is to follow goes out with its next words."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.behind = b""

    def write(self, data: Any) -> None:
        """Send, and what is to follow with it, as one piece."""
        if self.behind:
            data, self.behind = b"".join((data, self.behind)), b""
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _LoginProtocol(protocol.Protocol):
    """asyncpg's protocol behind our login; itself as soon as that is done."""

    def __init__(self, addr: Any, connected: asyncio.Future[Any], *rest: Any) -> None:
        super().__init__(addr, connected, *rest)
        self._connected = connected
        self._credentials = _credentials.get() or Credentials(None)
        self._line: Any = None
        self._outward: Any = None
        self._together: Together | None = None
        self._login: Login | None = None
        self._inflow = Inflow()
        self.excess: AnswerTooLarge | None = None
        """Why the session was cut, if it said too much."""
        self.heard = 0
        """How often the server has said something (`migrations.target.lookout`)."""

    def connection_made(self, transport: Any) -> None:
        """Begin a login on this line, bound to the server's certificate if there is one."""
        self._line = transport
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._login = Login(self._credentials, certificate)
        self._outward = _Outward(transport)
        super().connection_made(self._outward)

    def data_received(self, data: Any) -> None:
        """Answer what concerns the login; hand on the rest."""
        self.heard += 1
        if self._login is None:
            self._hand_on(bytes(data))
            return
        try:
            answers, through = self._login.received(bytes(data))
        except LoginRefused as refused:
            if not self._connected.done():
                self._connected.set_exception(refused)
            self._line.abort()
            return
        if answers:
            self._line.write(answers)
        if self._login.done:
            self._login = None
        if through:
            self._hand_on(through)

    def _hand_on(self, data: bytes) -> None:
        if self.excess is not None:
            return
        try:
            self._inflow.received(data)
        except AnswerTooLarge as excess:
            self.excess = excess
            self._line.abort()
            return
        if (together := self._together) is not None:
            data = together.received(data)
            self._together = None if together.done else together
        if data:
            super().data_received(data)
        if self._inflow.farewell:
            # A proxy may keep the line open, and the driver would wait for an answer for ever.
            self._line.abort()

    def follow_with(self, together: Together) -> None:
        """Send these questions behind the driver's next one."""
        self._together, self._outward.behind = together, together.messages

    def take_back(self, together: Together) -> None:
        """Forget these questions if the driver's own was never sent."""
        if self._together is together and self._outward.behind:
            self._together, self._outward.behind = None, b""


class _Protocols:
    """`asyncpg.protocol` as the driver connects with it: ours where `logging_in` asks for it."""

    def Protocol(self, *arguments: Any) -> protocol.Protocol:  # noqa: N802  the driver's name
        """Make the protocol of a new connection."""
        made = protocol.Protocol if _credentials.get() is None else _LoginProtocol
        return made(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(protocol, name)


setattr(connect_utils, "protocol", _Protocols())  # noqa: B010  no stub names it
