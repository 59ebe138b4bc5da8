"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "e0a93c98846590ef8ffb2d3e18d56f6abad16f9c32b9d83d26ea9b38d8284161",
    "0002_read_models.sql": "2fd3206100650de5ed6430d2eebe320dfae48ce1ddac0cd7a1907090d5c521c7",
    "0003_requests.sql": "c21807d06a663533eace5abd312ac7b3f87b4ebb69173714c382ddb7e494ddc2",
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
