"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "105ffe20da201f136202a1eddb326f402e10b16cd2e80c4b6b5b379809bc0172",
    "0002_read_models.sql": "57ceafb776002e8f32ccb7cba6b33362db7eb1c9a642c5855b8255e1eb73cf9e",
    "0003_requests.sql": "c9c73158b2ba2b6f0d3cb6030fe265bea616363ccc3766707c62c04dd071ec7b",
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
