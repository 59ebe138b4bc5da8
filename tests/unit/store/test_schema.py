"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "ff4b12bfbbb0335815ab868d736f9ddb539122be8682b2f3aac44be2cb9281e6",
    "0002_read_models.sql": "b0bc663dd3d40ce68451f66e8bb8211837f74d7b712d1a129457854c2970c6ea",
    "0003_requests.sql": "9e64f8c48f1f79e56c7298c45fd407aa84cabf5227cb8df4dffd67c122e9efc1",
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
