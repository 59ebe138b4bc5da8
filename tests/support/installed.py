"""Programs that tests need and the extras do not bring: without one a test is skipped in sight.

On a build server (the variable `CI` is set) nothing is skipped: the test fails and says so.
"""

from __future__ import annotations

import os
import shutil

import pytest

PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
"""Servers stand where the PATH of people may not look."""


def installed(name: str) -> str:
    """The path of a program; without it the test ends here, skipped or failed."""
    found = shutil.which(name, path=PLACES)
    if found is not None:
        return found
    missing = f"{name} is not installed here, and this test needs it"
    if os.environ.get("CI"):
        pytest.fail(f"{missing}; a build server must have it", pytrace=False)
    pytest.skip(missing)
