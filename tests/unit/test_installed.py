"""A test whose program is missing is skipped in sight, and fails on a build server."""

from __future__ import annotations

import pytest

from tests.support.installed import installed

MISSING = "no-such-program-anywhere"


def test_a_program_that_is_there_is_found() -> None:
    assert installed("sh").endswith("/sh")


def test_a_missing_program_skips_its_test_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=MISSING):
        installed(MISSING)


def test_a_missing_program_fails_its_test_on_a_build_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=MISSING):
        installed(MISSING)
