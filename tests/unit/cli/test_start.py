"""The program before its modules are there."""

from __future__ import annotations

import subprocess
import sys

from ledger.cli.app.exits import ExitCode
from ledger.cli.app.start import INTERRUPTED

INTERRUPTED_WHILE_IMPORTING = """
import sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
from ledger.cli.app.start import main
main()
"""


def test_ctrl_c_while_the_program_is_imported_is_answered_in_one_word() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "interrupted\n")
    assert ExitCode.INTERRUPTED == INTERRUPTED
