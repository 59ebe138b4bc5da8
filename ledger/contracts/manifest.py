"""A bundle as one text that is named by its hash: an order leads to the bytes of its migrations.

```
order.bundle ─SHA-256─▶ manifest: the migrations of the bundle ─SHA-256─▶ text of each file
order.steps  ─version, checksum─▶ one of them, and the section that is to run
```

A manifest is the JSON of `Manifest` without what has its default, so that a field that is added
later changes the hash of no folder that does not use it. It travels and is stored as texts are. It
does not depend on the folder's path, nor on times of files, nor on the values of variables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from ledger.contracts.envelope import UnknownMessage, first_problem
from ledger.contracts.registry import MigrationRef, WireValue

FORM: Literal["migration-ledger/manifest/1"] = "migration-ledger/manifest/1"


class Manifest(WireValue):
    """The migrations of a bundle, in running order."""

    form: Literal["migration-ledger/manifest/1"]
    migrations: tuple[MigrationRef, ...]
    history: str = ""
    """What the folder's project calls its history."""


def encode_manifest(migrations: Sequence[MigrationRef], history: str = "") -> bytes:
    """The text whose SHA-256 names the bundle of these migrations."""
    manifest = Manifest(form=FORM, migrations=tuple(migrations), history=history)
    return manifest.model_dump_json(exclude_defaults=True).encode()


def decode_manifest(text: bytes) -> Manifest:
    """The manifest in this text. Raises `UnknownMessage`; its hash is not looked at here."""
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise UnknownMessage("manifest", 1, first_problem(error, "the whole text")) from None


def name_of(manifest: bytes) -> str:
    """What orders call the bundle with this manifest: its SHA-256 (hex)."""
    return hashlib.sha256(manifest).hexdigest()
