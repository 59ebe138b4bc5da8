"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "83aebc437ae049c7052952c824d2d4bb0f6c415b7c96aac166e53f23f0d97b1a",
    "0002_read_models.sql": "9380d89126ede1b2f8a9639dc9ffd56e38db9272fce7f532d4927636720d6da2",
    "0003_requests.sql": "2105cce5f38d32b68ea50775d61c19f4b96f89d4541cf473c5263c17732c43e3",
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
