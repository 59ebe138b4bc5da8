"""When a server has ended a session, read from the frames in whatever pieces they come."""

from __future__ import annotations

import struct

import pytest

from migrations.target.inflow import Inflow


def _error(*fields: bytes, kind: bytes = b"E") -> bytes:
    body = b"".join(field + b"\0" for field in fields) + b"\0"
    return kind + struct.pack("!I", len(body) + 4) + body


READY = b"Z\0\0\0\5I"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("message", "farewell"),
    [
        (_error(b"SFATAL", b"VFATAL", b"C57P01", b"Mterminating connection"), True),
        (_error(b"SFATAL", b"VFATAL", b"C25P03", b"Midle"), True),
        (_error(b"SFATALE", b"VPANIC", b"CXX000", b"Mcorrupt"), True),
        (_error(b"SERROR", b"VERROR", b"C42601", b"MVFATAL"), False),
        (_error(b"SFATAL", b"VFATAL", b"C00000", b"Mno error", kind=b"N"), False),
    ],
)
def test_a_fatal_error_ends_the_session_in_whatever_pieces_it_comes(
    message: bytes, farewell: bool, size: int
) -> None:
    inflow, data = Inflow(), READY + message + READY
    for at in range(0, len(data), size):
        inflow.received(data[at : at + size])
    assert inflow.farewell is farewell
