"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from ledger.store.log.history import REQUESTS

FROZEN = {
    "0001_log.sql": "3160367d1f8aa61ae3d39fdf6e4585f3a53e5c0f774c9b67388ec810c0ad69d8",
    "0002_read_models.sql": "bd9ff62ed97b0a1f11c2148917a85ae64c864433019390271cd1e73adf225ff0",
    "0003_requests.sql": "d77016637a13afd2770eba7887ab8529f595e11339b5985e2014eb5941220ef4",
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
