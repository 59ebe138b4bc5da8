"""Runs pytest, and what failed once more, alone: what passes then depends on chance.

Such a test is listed as unsteady, each time, until it is mended, or what it tests is: a race of the
product shows in no other way. More than a few that fail are no chance, and nothing is run again.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

FAILED = Path(".pytest_cache/v/cache/lastfailed")
AT_MOST = 3
DISTRIBUTION = ("--numprocesses", "--dist")


def main(words: Sequence[str]) -> int:
    """The exit code of pytest with these words, or of its second run."""
    FAILED.unlink(missing_ok=True)
    code = _pytest(words)
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not failed or len(failed) > AT_MOST or not all(map(_is_test, failed)):
        return code
    sys.stdout.write(f"\n{len(failed)} failed and run once more, alone\n")
    sys.stdout.flush()
    again = _pytest([*_undistributed(words), *failed])
    if again == pytest.ExitCode.OK:
        for name in failed:
            sys.stdout.write(f"UNSTEADY: {name} failed among the others and passed alone\n")
    return again


def _pytest(words: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *words], check=False).returncode


def _is_test(name: str) -> bool:
    return re.search(r"\.py::", name) is not None


def _undistributed(words: Sequence[str]) -> list[str]:
    """The options alone: no folders, no workers."""
    kept = list(words)
    for option in DISTRIBUTION:
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return [word for word in kept if word.startswith("-")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
