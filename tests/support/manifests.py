"""What a folder of migrations is called."""

from __future__ import annotations

from ledger.contracts.manifest import encode_manifest, name_of
from ledger.service.migration_refs import migration_ref
from migrations.formats.bundle import Bundle


def bundle_name(bundle: Bundle) -> str:
    """The SHA-256 of its manifest, where nothing was accepted as changed."""
    return name_of(encode_manifest([migration_ref(one) for one in bundle.migrations]))
