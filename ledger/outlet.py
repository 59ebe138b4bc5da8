"""Where both programs write: a stream that is full or closed ends no command in its middle.

Somebody else's troubles are not the command's: a reader who has seen enough (`| head`), a disk
without room, a terminal that was closed. What cannot be written is dropped, what the program does
is done to its end, and then one sentence and the exit code say that its answer was lost. A reader
who went away has what he wanted: then the exit code is the command's own.

    write ──▶ taken
      └──▶ refused by the system: noted in `lost`, dropped, as is everything later
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class Outlet(io.FileIO):
    """A file descriptor that is written to as long as the system takes it.

    `lost` is why something was not written, `closed_before` why nothing ever can be.
    """

    lost: OSError | None = None
    closed_before: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or take note of why nothing can be written any more."""
        self.lost = self.lost or self.closed_before
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


class Streams:
    """Standard output and standard error of this process on outlets, from now on."""

    def __init__(self) -> None:
        self._out: Outlet | None = None
        if _is_own(sys.stdout, sys.__stdout__):
            sys.stdout, self._out = _opened(sys.stdout, 1)
        if _is_own(sys.stderr, sys.__stderr__):
            sys.stderr, _ = _opened(sys.stderr, 2)

    def lost(self) -> str:
        """What to say when the answer could not be written; empty when it was, or nobody read on.

        To be asked at the end: it writes what is left.
        """
        sys.stdout.flush()
        lost = self._out.lost if self._out else None
        if lost is None or lost.errno == errno.EPIPE:
            return ""
        return (
            f"standard output takes nothing ({os.strerror(lost.errno or errno.EIO)}), so what was "
            "found is not shown; what was asked is done all the same: mend that, and look again"
        )


def reader_is_gone() -> bool:
    """Whether nobody reads standard output any more: what only shows, and has no end, may end."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = raw.lost if isinstance(raw, Outlet) else None
    return lost is not None and lost.errno == errno.EPIPE


def _is_own(stream: TextIO | None, original: TextIO | None) -> bool:
    """Whether a stream is the process's own, and not one that somebody captures."""
    return stream is None or stream is original


def _opened(stream: TextIO | None, descriptor: int) -> tuple[TextIO, Outlet]:
    """The same stream on an outlet; one that was closed from the start takes nothing."""
    if stream is None:
        outlet = Outlet(os.devnull, "w")
        outlet.closed_before = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return io.TextIOWrapper(io.BufferedWriter(outlet), encoding="utf-8"), outlet
    outlet = Outlet(descriptor, "w", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.isatty() or descriptor == 2,
    )
    return text, outlet
