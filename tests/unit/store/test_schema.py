"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "83aebc437ae049c7052952c824d2d4bb0f6c415b7c96aac166e53f23f0d97b1a",
    "0002_read_models.sql": "76fbca5fc1a7632c7b077a801a3980cac860791771088a7f98daa80ffcd1bfa9",
    "0003_requests.sql": "1ac7b5603860637496676ef5e3922bd7a6057472a167e7d027445131ecfe3228",
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
