"""psql, the program that people have: tests of it run where it is installed, and always in CI."""

from __future__ import annotations

import shutil

import pytest

needs_psql = pytest.mark.skipif(
    shutil.which("psql") is None, reason="psql is not installed here; .ci/run installs it"
)
