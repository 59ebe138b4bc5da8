"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "0eaf909fab3575bb027c2987798eae2c4c7dad4c1c93c04a1eadfe5f11bd56c7",
    "0002_read_models.sql": "be18617a842bf671b0e26e3b51e1d9187d40853cec81009e22a45c1cf8683b6d",
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
