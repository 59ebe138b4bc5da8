"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from ledger.store.log.history import REQUESTS

FROZEN = {
    "0001_log.sql": "0338c3315d49817d22f5491a1a89ff66c0d2d9fa2c4bdd3f7d96fb6a21fb4862",
    "0002_read_models.sql": "3eb7ab2774304c64bb3fc5f3e8445308b5d41107af06801c4ed971e01e307155",
    "0003_requests.sql": "4a9e3818640ab8fe23aae3158b934f625b3ce986abe44b590156c4ad47184b4c",
    "0004_notifications.sql": "d6776424492844227f134a6c8042acd09ae3d46df284f9e0465dd5ad094ab53b",
}
"""SHA-256 of every schema file. A change is a new file here, never another value."""


def test_the_index_of_requests_has_every_type_that_stands_for_one() -> None:
    schema = (files("ledger.store") / "schema" / "0001_log.sql").read_text(encoding="utf-8")
    (index,) = re.findall(r"CREATE INDEX log_requests.*?IN \((.*?)\);", schema, re.DOTALL)
    assert sorted(re.findall(r"'(\w+)'", index)) == list(REQUESTS)


def test_a_schema_file_is_never_edited_because_an_upgrade_would_not_see_it() -> None:
    folder = files("ledger.store") / "schema"
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    assert found == FROZEN
