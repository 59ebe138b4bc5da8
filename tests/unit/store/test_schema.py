"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "cd3da61ed25bd34a4c732c29d3b7101f634f9d0f390ba4d5f3ad36f67c0f7f0e",
    "0002_read_models.sql": "37e4d2c3bd77cfac1f0b454d2b3669a5b2aef2c7bc7be40914cf3a255dc47d26",
}
"""SHA-256 of every schema file. A change is a new file here, never another value."""


def test_a_schema_file_is_never_edited_because_an_upgrade_would_not_see_it() -> None:
    folder = files("ledger.store") / "schema"
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    assert found == FROZEN
