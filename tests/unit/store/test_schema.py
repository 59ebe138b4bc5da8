"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "fb13c93cb8715f85a756c3ae29023b87d18b8ee1825ecc905e232f786901ff7c",
    "0002_read_models.sql": "f809b95ca34cbf697cb0c893c3b65f6a96f6ab1b8236a5cbe3ca9386ed2850f2",
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
