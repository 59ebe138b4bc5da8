"""Where the program begins: Ctrl-C is answered in words also while its modules are imported.

And where it ends: what could not be written to standard output is told here, once for all commands.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence

from ledger.outlet import Streams

FAILED = 1
INTERRUPTED = 130
"""As in `ExitCode`, which is not imported yet."""
FORMATS = ("json", "ndjson")
"""As in `OutputFormat`: the forms that programs read."""


def main() -> None:
    """The console script."""
    # Modules stay: nothing is to be collected until the command runs (migrations/gc_tuning.py).
    gc.disable()
    streams, for_program = Streams(), is_for_program(sys.argv[1:])
    try:
        from ledger.cli.app.main import run

        code = run()
    except KeyboardInterrupt:
        sys.stderr.write(told("interrupted", INTERRUPTED, for_program))
        code = INTERRUPTED
    if lost := streams.lost():
        code = code or FAILED
        sys.stderr.write(told(f"ledger: {lost}", code, for_program))
    sys.stderr.flush()
    # Everything ends now, so nothing is looked for in it.
    gc.freeze()
    sys.exit(code)


def is_for_program(words: Sequence[str]) -> bool:
    """Whether these words ask for a form that programs read: then errors have it, too."""
    for before, word in zip(("", *words), words, strict=False):
        if before in ("-o", "--output") and word in FORMATS:
            return True
        if word.startswith(("-o", "--output=")) and word.rpartition("=")[2] in FORMATS:
            return True
        if word.startswith("-o") and word[2:] in FORMATS:
            return True
    return False


def told(text: str, code: int, for_program: bool) -> str:
    """An error as it is written to stderr: a line, or one JSON object on a line of its own."""
    if not for_program:
        return f"{text}\n"
    message = text.removeprefix("ledger: ")
    return json.dumps({"version": 1, "kind": "error", "exit_code": code, "error": message}) + "\n"
