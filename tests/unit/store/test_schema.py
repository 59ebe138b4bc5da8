"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from ledger.store.log.history import REQUESTS

FROZEN = {
    "0001_log.sql": "8c69e42e6e3c091ceab752a5b7d9c4780d92d8c89101cf78198aac0ab99cd583",
    "0002_read_models.sql": "6f61fd9fe8da6083a8642c1ce27f1a49d2aa379ec1786e5ac01996eaefb5de32",
    "0003_requests.sql": "4e6daf064502ca34fb279e32e1a9e4b280ab8cbb9cb43943cb3d3f9f76220304",
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
