"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "43f7d27626fff378b901f1f324940cc73ed6c05ce6b3f2b204c97797d8b7f615",
    "0002_read_models.sql": "76fbca5fc1a7632c7b077a801a3980cac860791771088a7f98daa80ffcd1bfa9",
    "0003_requests.sql": "8120d05d1b48045589263216a58d3dd4b86c81a55b9d76276eac9aeadaa788e4",
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
