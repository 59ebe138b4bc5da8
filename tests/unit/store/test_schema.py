"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
from importlib.resources import files

FROZEN = {
    "0001_log.sql": "276a01c7f9012532d954ef61e6a4f0ff8fa04c15e75809851c0b5935d591eba9",
    "0002_read_models.sql": "acce5281db3c052b370c2204104bb857fd49bb7146972aa374c423eaf3461c24",
    "0003_requests.sql": "fcd000af6164f437e6f08aecf40797cf970012b5eb107da6b35669c4c416244f",
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
