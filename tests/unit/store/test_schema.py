"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "4f0490f8759c0782814932bf107e819de1dd81619301a55c39808835c444d48c",
    "0002_read_models.sql": "9a983efc80ed170269a2f81a33dc2f0b9dffa9351d69bc3ec6abb42a468baff0",
    "0003_requests.sql": "8d0d4b3fd8b3489e208da671ed7297483a54acb5859acf27c95f612a293af2fd",
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
