"""The ledger's own schema only grows: what was installed somewhere is never edited."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from ledger.store.log.history import REQUESTS

FROZEN = {
    "0001_log.sql": "55a9b7968d03d653bf95266d53dacc8929130d0bf35bfa4a782cb269f567c824",
    "0002_read_models.sql": "eb56a48ce9f0e3b067b37b073ccb621f811c710c5182888e00bed07645308150",
    "0003_requests.sql": "22ef8df9cdab71f1381f9bdff01a925f2e6ca4a2c5952230b3697a3dc6ff1733",
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
