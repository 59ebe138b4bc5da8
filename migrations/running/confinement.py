"""Runs one program that can start no other: `python confinement.py PROGRAM ARGUMENTS`.

psql executes text that nobody has seen before it runs, since `:name` may bring a command along. So
where no shell is allowed, the kernel refuses: no new process, for root too (seccomp, on Linux), and
by a limit of zero processes elsewhere, which binds everybody but root. It is a script that becomes
the program, because between fork and exec of a process with threads nothing else is safe.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence

# What makes a process, by machine: audit's number of the machine, then clone, fork, vfork, clone3.
_MACHINES = {
    "x86_64": (0xC000003E, (56, 57, 58, 435)),
    "aarch64": (0xC00000B7, (220, 435)),
}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
_X32 = 0x40000000


def forbid_new_processes() -> None:
    """From here on this process, and what it becomes, starts no other."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    machine = _MACHINES.get(platform.machine())
    if sys.platform == "linux" and machine is not None:
        _forbid(*machine)


def _forbid(audit: int, calls: Sequence[int]) -> None:
    """A filter in the kernel that answers `calls`, and calls of another kind of machine, EPERM."""
    refusal = len(calls) + 5
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, refusal - 2, audit),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, refusal - 4, 0, _X32),
        *((_EQUAL, refusal - 5 - at, 0, call) for at, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.prctl(
        _SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    forbid_new_processes()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  no shell is meant
