"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "276a01c7f9012532d954ef61e6a4f0ff8fa04c15e75809851c0b5935d591eba9",
    "0002_read_models.sql": "9a983efc80ed170269a2f81a33dc2f0b9dffa9351d69bc3ec6abb42a468baff0",
    "0003_requests.sql": "2d6fb3fd65436b9634d1a4f4699f0ab64e59482c20f74b415d3088d55f1f4f31",
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
