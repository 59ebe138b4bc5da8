"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "8dae2e2dd165ab5a2c5b35b8ba25aacf33f8aeefd63f48e80a19f42227440967",
    "0002_read_models.sql": "1363c6fa69c38db13921c318a70d81e7e0c6b5be481bf4acc92040dd6b21e80c",
    "0003_requests.sql": "2fe581c7fc199f96e38ad3bf6bf78a211af8ea2078daa2d3be808bfad92b6abc",
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
