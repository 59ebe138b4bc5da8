"""Migration texts by hash: taken from the bus in pieces, checked, kept within a bound, parsed once.

A text counts only if its SHA-256 is the one it is called by: the manifest of a bundle by the order,
its files by the manifest. A migration counts only if its sections hash to what both of them say.
Parsed migrations are kept too: a rollout runs the same few texts on thousands of databases.

The bound is for texts that may be of use later. What an order in hand is to be made from is taken
and kept whatever it weighs, until it was parsed; so an order never waits for texts that push each
other out, or for one that is larger than the bound.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

from agents.errors import TextRefused
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import UnknownMessage
from ledger.contracts.events import MigrationOrdered
from ledger.contracts.manifest import decode_manifest
from ledger.contracts.messages import Received
from ledger.contracts.registry import MigrationRef, Step
from ledger.contracts.wire import Chunk, decode_chunk
from migrations.errors import LoadError
from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Mode
from migrations.model.folder_history import FolderHistory
from migrations.model.migration import Migration, SourceFile

logger = logging.getLogger(__name__)

TextVariables = tuple[tuple[str, str], ...]
"""Names and values, sorted."""

ENTRY_BYTES = 1024
"""What a text, or a piece of one, counts for besides its bytes: what Python takes to keep it."""
PARSED = 1_000
"""Parsed migrations that are kept; a rollout has tens."""
MANIFESTS = 20
"""Manifests of bundles that are kept as they were read."""
SHOWN = 12
"""Digits of a hash in a message."""
TOO_SMALL = (
    "a text of %d bytes is larger than all that may be kept (%d bytes), so it is asked for again "
    "with each rollout; raise LEDGER_AGENT_CONTENT_CACHE_BYTES"
)


class Texts:
    """The texts that this agent has, by SHA-256; the least recently used go first."""

    def __init__(self, limit_bytes: int, arrived: Callable[[], None] = lambda: None) -> None:
        self._limit = limit_bytes
        self._arrived = arrived
        self._texts: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._pieces: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        self._pieces_size = 0
        self._needed: AbstractSet[str] = frozenset()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._texts

    @property
    def pieces(self) -> int:
        """How many pieces wait for the others of their text."""
        return sum(map(len, self._pieces.values()))

    def get(self, sha256: str) -> bytes:
        """The text. Raises KeyError."""
        self._texts.move_to_end(sha256)
        return self._texts[sha256]

    def need(self, texts: AbstractSet[str]) -> None:
        """Take and keep these, whatever they weigh, until others are needed."""
        if texts != self._needed:
            self._needed = frozenset(texts)
            self._let_go()

    def take(self, message: Received) -> None:
        """Add what `message` carries; what cannot be read or is wrong is left out, and logged."""
        try:
            chunk = decode_chunk(message)
        except UnknownMessage as unknown:
            logger.warning("a message on %s was left out: %s", message.topic, unknown)
            return
        if chunk.sha256 in self._texts:
            return
        if chunk.size <= self._limit or chunk.sha256 in self._needed:
            self._collect(chunk)

    def _collect(self, chunk: Chunk) -> None:
        pieces = self._pieces.setdefault(chunk.sha256, {})
        if chunk.index not in pieces:
            pieces[chunk.index] = chunk.data
            self._pieces_size += _counted(chunk.data)
        if len(pieces) == chunk.count:
            self._complete(chunk.sha256, chunk.count)
        self._let_go()

    def _complete(self, sha256: str, count: int) -> None:
        pieces = self._pieces[sha256]
        text = b"".join(pieces.get(index, b"") for index in range(count))
        self._forget(sha256)
        if hashlib.sha256(text).hexdigest() != sha256:
            logger.warning("a text was left out: its SHA-256 is not %s", sha256)
            return
        if len(text) > self._limit:
            logger.warning(TOO_SMALL, len(text), self._limit)
        self._texts[sha256] = text
        self._size += _counted(text)
        self._arrived()

    def _let_go(self) -> None:
        """Forget what nobody needs, oldest first, until the rest is within the bound."""
        while self._size > self._limit and (oldest := self._spare(self._texts)):
            self._size -= _counted(self._texts.pop(oldest))
        while self._pieces_size > self._limit and (oldest := self._spare(self._pieces)):
            self._forget(oldest)

    def _spare(self, kept: Iterable[str]) -> str | None:
        return next((sha256 for sha256 in kept if sha256 not in self._needed), None)

    def _forget(self, sha256: str) -> None:
        self._pieces_size -= sum(map(_counted, self._pieces.pop(sha256).values()))


def _counted(kept: bytes) -> int:
    return len(kept) + ENTRY_BYTES


class _Bundle(NamedTuple):
    """What a manifest says: its migrations by version, and which history they are."""

    refs: Mapping[str, MigrationRef]
    folder: FolderHistory


class Library:
    """The migrations that an order names, made from texts."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._manifests: OrderedDict[str, _Bundle] = OrderedDict()
        self._parsed: OrderedDict[tuple[MigrationRef, TextVariables], Migration] = OrderedDict()

    def hold(self, texts: AbstractSet[str]) -> None:
        """Have these taken and kept: orders that wait are to be made from them."""
        self._texts.need(texts)

    def missing(self, command: ApplyCommand) -> bool:
        """Whether a text that `command` leads to is not here yet."""
        return any(sha256 not in self._texts for sha256 in self.sources(command))

    def sources(self, command: ApplyCommand) -> AbstractSet[str]:
        """The texts that `command` is still to be made from, as far as they are known by now.

        First the manifest, then the files of those migrations that were not parsed yet.
        """
        bundle = command.order.bundle
        if not command.order.steps:
            return frozenset()
        if bundle not in self._manifests and bundle not in self._texts:
            return {bundle}
        try:
            refs = self.refs(command)
        except TextRefused:
            # It is here, and will be refused as it is.
            return frozenset()
        unread = (ref for ref in refs if _key(ref, command.order.variables) not in self._parsed)
        return {file.sha256 for ref in unread for file in ref.files}

    def refs(self, command: ApplyCommand) -> tuple[MigrationRef, ...]:
        """What the bundle says of the migrations of `command`, in its order.

        Raises `TextRefused` for a manifest that cannot be read or has other migrations.
        """
        if not command.order.steps:
            return ()
        known = self._manifest(command.order.bundle).refs
        return tuple(_ref_of(step, known, command.order) for step in command.order.steps)

    def folder(self, command: ApplyCommand) -> FolderHistory | None:
        """What the whole bundle of `command` is. Raises `TextRefused`."""
        return self._manifest(command.order.bundle).folder if command.order.steps else None

    def load(self, command: ApplyCommand) -> tuple[Migration, ...]:
        """The migrations of `command`, in its order. Raises `TextRefused`; none may be missing."""
        keys = [_key(ref, command.order.variables) for ref in self.refs(command)]
        # Those that are parsed by now stay so while others are, which may push them out.
        known = {key: self._parsed[key] for key in keys if key in self._parsed}
        for key in known:
            self._parsed.move_to_end(key)
        return tuple(known.get(key) or self._one(*key) for key in keys)

    def _manifest(self, bundle: str) -> _Bundle:
        if bundle not in self._manifests:
            try:
                manifest = decode_manifest(self._texts.get(bundle))
            except UnknownMessage as unknown:
                raise TextRefused(f"bundle {bundle[:SHOWN]} cannot be read: {unknown}") from None
            self._manifests[bundle] = _Bundle(
                {ref.version: ref for ref in manifest.migrations},
                FolderHistory(
                    manifest.history,
                    frozenset((ref.version, ref.up_checksum) for ref in manifest.migrations),
                    manifest.migrations,
                ),
            )
            if len(self._manifests) > MANIFESTS:
                self._manifests.popitem(last=False)
        self._manifests.move_to_end(bundle)
        return self._manifests[bundle]

    def _one(self, ref: MigrationRef, variables: TextVariables) -> Migration:
        files = [SourceFile(f.name, self._texts.get(f.sha256)) for f in ref.files]
        migration = _parse(ref, files, dict(variables))
        self._parsed[ref, variables] = migration
        if len(self._parsed) > PARSED:
            self._parsed.popitem(last=False)
        return migration


def _ref_of(step: Step, known: Mapping[str, MigrationRef], order: MigrationOrdered) -> MigrationRef:
    """The migration of this step. Raises `TextRefused` if the bundle has another one."""
    ref = known.get(step.version)
    if ref is None:
        raise TextRefused(f"bundle {order.bundle[:SHOWN]} has no migration {step.version}")
    backwards = order.mode in (Mode.DOWN, Mode.ROLLBACK) and order.adoption is None
    if step.checksum != (ref.down_checksum if backwards else ref.up_checksum):
        raise TextRefused(
            f"migration {ref.label} of bundle {order.bundle[:SHOWN]} is not the one that was "
            "ordered; plan the rollout again"
        )
    return ref


def _key(ref: MigrationRef, variables: TextVariables) -> tuple[MigrationRef, TextVariables]:
    """What a parsed migration depends on: itself, and the values that its text is filled with."""
    return ref, tuple((name, value) for name, value in variables if name in ref.variables)


def _parse(ref: MigrationRef, files: list[SourceFile], variables: dict[str, str]) -> Migration:
    # What may run here is settled by the agent's own settings, before anything is run.
    reading = Reading(variables, programs=True)
    try:
        migration = load_files(
            ref.format, files, version=ref.version, name=ref.name, reading=reading
        )
    except LoadError as error:
        raise TextRefused(
            f"migration {ref.label} cannot be read by this agent: {error}. "
            "Run agents of the ledger's own version"
        ) from None
    # What a baseline stands for is the folder's to say, not its own file's.
    migration = replace(migration, replaces=ref.replaces)
    if not ref.has_verify:
        # A script that nobody allowed psql to run when the folder was registered.
        migration = replace(migration, verify=None)
    down = migration.down.checksum if migration.down else None
    wanted = (ref.version, ref.up_checksum, ref.down_checksum)
    if (migration.version, migration.up.checksum, down) != wanted:
        raise TextRefused(
            f"migration {ref.label} does not hash to what was ordered; register the bundle again"
        )
    return migration
