"""How much a server may say: what it sends is counted before the driver keeps any of it.

The driver collects a message, an answer or a row whole, however large, and a tenant decides how
large: by a notice of 500 MB, a row that compresses well, a table behind a check. So the frames of
the protocol are read here (each is a letter and a length), and a session that says too much is cut:
a failure of that one database, and not of the agent that serves its neighbours.
"""

from __future__ import annotations

import struct

MESSAGE_MAX_BYTES = 16 * 2**20
"""Of one message: a row, a piece of COPY. The driver holds it about three times."""
TEXT_MAX_BYTES = 2**20
"""Of an error, a notice, a notification or a setting; people write a few hundred bytes."""
ANSWER_MAX_BYTES = 32 * 2**20
"""Of all rows that one question collects; in Python's objects they take about five times that."""
ROW_COST_BYTES = 64
"""What a row weighs besides its bytes."""

_HEADER = struct.Struct("!cI")
_TEXTS = b"ENAS"
_ENDS_THE_SESSION = (b"VFATAL", b"VPANIC")
"""The field of an error that no server translates (protocol: Error and Notice Message Fields)."""
_COLLECTED_AFTER = b"2"
"""Bound: rows of the extended protocol are kept, those of a script are dropped as they come."""


class AnswerTooLarge(Exception):
    """The server says more than we take. Shows what, and what to do."""


class Inflow:
    """The frames of one session, counted; no I/O."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0
        self._collected = False
        self._bytes = 0
        self._settings = 0
        self._error: bytes | None = None
        self.farewell = False
        """Whether the server has ended the session: behind a FATAL error nothing is answered."""

    def received(self, data: bytes) -> None:
        """Count what has come. Raises AnswerTooLarge."""
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                if self._error is not None:
                    self._read_error(data[at : at + step])
                at += step
                continue
            missing = _HEADER.size - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == _HEADER.size:
                self._frame(*_HEADER.unpack(self._head))
                self._head = b""

    def _frame(self, kind: bytes, length: int) -> None:
        limit = TEXT_MAX_BYTES if kind in _TEXTS else MESSAGE_MAX_BYTES
        if length > limit:
            what = "an error or a notice" if kind in _TEXTS else "one row or message"
            raise AnswerTooLarge(
                f"the server sent {what} of {length:,} bytes, and {limit:,} are taken"
            )
        self._skip = max(length - 4, 0)
        self._error = b"" if kind == b"E" else None
        if kind == b"Z":
            self._collected, self._bytes, self._settings = False, 0, 0
        elif kind == _COLLECTED_AFTER:
            self._collected = True
        elif kind == b"S":
            # Each is kept by its name, and a false server has names without end.
            self._settings += length
            if self._settings > TEXT_MAX_BYTES:
                raise AnswerTooLarge(
                    f"the server tells more than {TEXT_MAX_BYTES:,} bytes of its settings at once"
                )
        elif kind == b"D" and self._collected:
            self._bytes += length + ROW_COST_BYTES
            if self._bytes > ANSWER_MAX_BYTES:
                raise AnswerTooLarge(
                    f"the answer to one question has more than {ANSWER_MAX_BYTES:,} bytes of rows"
                )

    def _read_error(self, piece: bytes) -> None:
        self._error = (self._error or b"") + piece
        if not self._skip:
            fields = self._error.split(b"\0")
            self.farewell = self.farewell or any(field in _ENDS_THE_SESSION for field in fields)
            self._error = None
