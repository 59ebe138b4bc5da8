"""Where the program begins: Ctrl-C is answered in words also while its modules are imported."""

from __future__ import annotations

import gc
import sys

INTERRUPTED = 130
"""As `ExitCode.INTERRUPTED`, which is not imported yet."""


def main() -> None:
    """The console script."""
    # Modules stay: nothing is to be collected until the command runs (migrations/gc_tuning.py).
    gc.disable()
    try:
        from ledger.cli.app.main import main as program

        program()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
