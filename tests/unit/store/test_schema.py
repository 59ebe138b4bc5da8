"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "276a01c7f9012532d954ef61e6a4f0ff8fa04c15e75809851c0b5935d591eba9",
    "0002_read_models.sql": "9a983efc80ed170269a2f81a33dc2f0b9dffa9351d69bc3ec6abb42a468baff0",
    "0003_requests.sql": "addfe78712fea135c672ee99f52c2d4a22f0c6fe9db203f999c5ff3c9b2dd4f3",
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
