"""Reads registered bundles back: their migrations from the log, their texts by hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.contracts.events import BundleRegistered, ChangeAccepted, FileGone
from ledger.contracts.registry import MigrationRef
from ledger.domain.histories import Histories
from ledger.errors import UnknownBundle
from ledger.store.log.decode import open_event
from ledger.store.port import Log, TextStore

STREAM = "bundles"
"""All bundles share one stream, so that its version decides who registers a version first."""


@dataclass(slots=True)
class BundleState:
    """Every registered bundle by digest, oldest first, and the histories that they are of."""

    version: int = 0
    bundles: dict[str, BundleRegistered] = field(default_factory=dict)
    histories: Histories = field(default_factory=Histories)
    accepted: dict[tuple[str, str], dict[str, dict[str, str]]] = field(default_factory=dict)
    """Per history and version, and new checksum: the texts it may stand in for, with the reason."""
    gone: dict[str, set[str]] = field(default_factory=dict)
    """By history: versions that no folder needs to have any more."""

    def accept(self, event: ChangeAccepted, reason: str) -> None:
        """Note a person's leave; what the old text stood in for, the new one does too."""
        texts = self.accepted.setdefault((event.history, event.version), {})
        texts[event.given] = {**texts.get(event.known, {}), event.known: reason}

    def take(self, registered: BundleRegistered) -> None:
        """Note one registration."""
        self.bundles[registered.bundle] = registered
        self.histories.take(registered)


class BundleTexts:
    """Bundles as the relay needs them; what was read once is kept, for bundles never change."""

    def __init__(self, log: Log, content: TextStore) -> None:
        self._log = log
        self._content = content
        self._refs: dict[str, Mapping[str, MigrationRef]] = {}

    async def refs(self, digest: str) -> Mapping[str, MigrationRef]:
        """The migrations of a bundle by version. Raises `UnknownBundle`."""
        if digest not in self._refs:
            state = await read_bundles(self._log)
            for known in state.bundles.values():
                self._refs[known.bundle] = {ref.version: ref for ref in known.migrations}
        if digest not in self._refs:
            raise UnknownBundle(digest)
        return self._refs[digest]

    async def text(self, sha256: str) -> bytes:
        """A text by its hash. Raises `ContentNotFound`."""
        return await self._content.get(sha256)


async def read_bundles(log: Log) -> BundleState:
    """Fold the bundles' stream."""
    state = BundleState()
    async for raw in log.read_stream(STREAM):
        state.version = raw.stream_version
        opened = open_event(raw)
        event = opened.event
        match event:
            case BundleRegistered():
                state.take(event)
            case ChangeAccepted():
                state.accept(event, opened.metadata.reason or "")
            case FileGone():
                state.gone.setdefault(event.history, set()).add(event.version)
            case _:
                continue
    return state
