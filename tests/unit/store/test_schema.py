"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from ledger.store.log.history import REQUESTS

FROZEN = {
    "0001_log.sql": "4ed0a77e522577bd0307668f75f285c5c3f9dff65c632b935ff8551854d15d21",
    "0002_read_models.sql": "eb56a48ce9f0e3b067b37b073ccb621f811c710c5182888e00bed07645308150",
    "0003_requests.sql": "cf108df8590739a635da67dc0ef52cf5022964691d90e6bbfad15e234abe04e8",
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
