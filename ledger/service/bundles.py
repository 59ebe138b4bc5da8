"""Registers folders of migrations: texts by hash, the bundle as an event."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.contracts.events import BundleRegistered, ChangeAccepted, FileGone
from ledger.contracts.manifest import encode_manifest, name_of
from ledger.contracts.registry import Accepted, MigrationRef, Variable
from ledger.contracts.reports import Event
from ledger.domain.folder_refusals import ChangedMigration, NothingToRepair
from ledger.domain.histories import Histories, WhichHistory
from ledger.domain.refusals import ReasonRequired
from ledger.domain.variables import samples
from ledger.errors import NoBundle, UnknownBundle, VersionConflict
from ledger.service.catch_up import brought_up
from ledger.service.commit import ask_git
from ledger.service.migration_refs import migration_ref
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.bundles import STREAM, BundleState, read_bundles
from ledger.store.port import Log, TextStore
from ledger.store.views.port import Views

if TYPE_CHECKING:
    from migrations.formats.bundle import Bundle

TRIES = 5
"""How often a folder is registered again because somebody else registered one meanwhile."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of registering a folder; `new` is False when the log had this very bundle."""

    digest: str
    new: bool
    bundle: BundleRegistered
    position: int | None = None
    """Where its registration stands, if it is new."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was read: once, so that what is registered is what was shown."""

    registration: BundleRegistered
    texts: tuple[bytes, ...]
    """Every text of its files, once."""
    vanished: tuple[MigrationRef, ...]
    """What was registered before, is not in it, and was not accepted as gone."""
    corrected: Mapping[str, str] = field(default_factory=dict)
    """Versions with another text than was registered, which nobody has; and that text's checksum.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever confirms its plan should know of it."""
        return tuple(
            f"{ref.label} has another text than the one that was registered, which no database has"
            for ref in self.registration.migrations
            if ref.version in self.corrected
        )


class BundleService:
    """Stores bundles and finds them again."""

    def __init__(
        self,
        log: Log,
        content: TextStore,
        reads: Views,
        encoder: RequestEncoder,
        variables: Sequence[Variable] = (),
        name: str = "",
    ) -> None:
        self._log = log
        self._reads = reads
        self._encoder = encoder
        self._content = content
        self._variables = variables
        self._name = name
        """What the project calls its history."""

    async def read(
        self,
        folder: Path,
        format: str | None = None,
        variables: Sequence[Variable] | None = None,
        *,
        psql: bool = False,
    ) -> Folder:
        """The folder, and what registering it would record; nothing is. Raises as `register`."""
        bundle = await self._load(folder, format, variables, psql=psql)
        state = await read_bundles(self._log)
        return await self._found(folder, bundle, state)

    async def register(
        self,
        folder: Path,
        asked: RequestContext,
        format: str | None = None,
        variables: Sequence[Variable] | None = None,
        *,
        psql: bool = False,
    ) -> Registered:
        """Store the folder's migrations under the hash of their content.

        `variables` are what its placeholders stand for; those of the settings, if it is `None`.
        `psql` is a person's leave to take scripts that only psql understands.
        Raises `migrations.errors.LoadError` for what cannot be read, and `ChangedMigration` when a
        version is known with another `up` that a database has or may have.
        """
        bundle = await self._load(folder, format, variables, psql=psql)
        state = await read_bundles(self._log)
        return await self.record(await self._found(folder, bundle, state), asked)

    async def record(self, folder: Folder, asked: RequestContext) -> Registered:
        """Store a folder that was read before, as it was then.

        Raises `ChangedMigration`, also for a text that somebody else has registered since.
        """
        event = folder.registration
        for attempt in range(TRIES):
            state = await read_bundles(self._log)
            known = state.bundles.get(event.bundle)
            if known is not None:
                return Registered(known.bundle, new=False, bundle=known)
            await self._refuse_held(state, event)
            refuse_changed_since(state, event, folder.corrected)
            manifest = encode_manifest(event.migrations, event.name)
            await self._content.put_many([manifest, *folder.texts])
            events = self._encoder.encode([event], asked)
            try:
                placed = await self._log.append(STREAM, events, expected_version=state.version)
            except VersionConflict:
                if attempt == TRIES - 1:
                    raise
            else:
                return Registered(event.bundle, True, event, placed.first_position)
        raise AssertionError

    async def accept_changed(
        self,
        folder: Path,
        version: str,
        asked: RequestContext,
        format: str | None = None,
        *,
        dry: bool = False,
    ) -> None:
        """Let the folder's text of a version stand in for the one that is registered.

        When `dry`, it is only found out whether that may be. Raises `ReasonRequired`,
        `NothingToRepair`, and LoadError for a folder that cannot be read.
        """
        _require_reason(asked, version)
        bundle = await self._load(folder, format, psql=True)
        refs = [migration_ref(one) for one in bundle.migrations]
        ref = next((one for one in refs if one.version == version), None)
        if ref is None:
            raise NothingToRepair(version, "the folder has no such version")
        state = await read_bundles(self._log)
        key = self._key(state, refs, folder)
        known = state.histories.refs(key).get(version)
        if known is None:
            raise NothingToRepair(version, "it was never registered")
        if known.up_checksum == ref.up_checksum:
            raise NothingToRepair(version, "its text is the one that is registered")
        event = ChangeAccepted(
            version=version, known=known.up_checksum, given=ref.up_checksum, history=key
        )
        if not dry:
            await self._append(event, asked, state)

    async def accept_gone(
        self,
        folder: Path,
        version: str,
        asked: RequestContext,
        format: str | None = None,
        *,
        dry: bool = False,
    ) -> None:
        """Note that no folder has this version any more. Raises as `accept_changed`."""
        _require_reason(asked, version)
        state = await read_bundles(self._log)
        bundle = await self._load(folder, format, psql=True)
        refs = [migration_ref(one) for one in bundle.migrations]
        key = self._key(state, refs, folder, gone=(version,))
        if version not in state.histories.refs(key):
            raise NothingToRepair(version, "it was never registered")
        if any(migration.version == version for migration in bundle.migrations):
            raise NothingToRepair(version, "the folder has it")
        if not dry and version not in state.gone.get(key, ()):
            await self._append(FileGone(version=version, history=key), asked, state)

    async def _append(self, event: Event, asked: RequestContext, state: BundleState) -> None:
        events = self._encoder.encode([event], asked)
        await self._log.append(STREAM, events, expected_version=state.version)

    async def text(self, sha256: str) -> bytes:
        """A text that was stored with a bundle. Raises `ContentNotFound`."""
        return await self._content.get(sha256)

    async def get(self, digest: str) -> BundleRegistered:
        """A bundle by its digest or an unambiguous beginning of it. Raises `UnknownBundle`."""
        state = await read_bundles(self._log)
        found = [bundle for known, bundle in state.bundles.items() if known.startswith(digest)]
        if len(found) != 1:
            raise UnknownBundle(digest)
        return found[0]

    async def histories(self) -> Histories:
        """Every history that is registered."""
        return (await read_bundles(self._log)).histories

    async def latest(self) -> BundleRegistered:
        """The bundle registered last, of the history that the project names, if it names one.

        Raises `NoBundle`, and `WhichHistory` where several are known and none is named.
        """
        state = await read_bundles(self._log)
        histories = state.histories
        if len(histories.by_key) > 1 and not self._name:
            raise WhichHistory(one.called for one in histories.by_key.values())
        key = histories.keys.get(self._name) if len(histories.by_key) > 1 else None
        found = [one for one in state.bundles.values() if key in (None, one.history)]
        if not found or (key is None and len(histories.by_key) > 1):
            raise NoBundle
        return found[-1]

    async def all(self) -> list[BundleRegistered]:
        """Every bundle, oldest first."""
        return list((await read_bundles(self._log)).bundles.values())

    async def _load(
        self,
        folder: Path,
        format: str | None = None,
        variables: Sequence[Variable] | None = None,
        *,
        psql: bool = False,
    ) -> Bundle:
        """The folder's migrations. Raises `LoadError`."""
        from migrations.formats import Reading
        from migrations.formats.bundle import load_folder

        values = samples(self._variables if variables is None else variables)
        reading = Reading(values, programs=psql)
        return await asyncio.to_thread(load_folder, folder, format, reading)

    async def _found(self, folder: Path, bundle: Bundle, state: BundleState) -> Folder:
        refs = [migration_ref(migration) for migration in bundle.migrations]
        key = self._key(state, refs, folder)
        event = await self._event(accepting(state, refs, key), folder, key)
        await self._refuse_held(state, event)
        others = changed(state, event)
        corrected = {ref.version: known.up_checksum for ref, known in others}
        return Folder(event, _texts(bundle), _vanished(state, event), corrected)

    def _key(
        self,
        state: BundleState,
        migrations: Sequence[MigrationRef],
        path: Path,
        gone: Collection[str] = (),
    ) -> str:
        """The key of the history that the folder is. Raises `NothingInCommon`."""
        from migrations.formats.multi_folder import folders_of
        from migrations.model.folder_history import default_name

        called = default_name(folders_of(path)[0].resolve().name)
        # Of which history they are gone is not known before the folder's is.
        gone = {*gone}.union(*state.gone.values())
        return state.histories.key_of(migrations, self._name, called, gone)

    async def _refuse_held(self, state: BundleState, bundle: BundleRegistered) -> None:
        """Raise `ChangedMigration` for another text of what a database has or may have.

        What failed everywhere, was rolled back, or was never run, nobody has: it may be corrected.
        """
        found = {ref.version: (ref, known) for ref, known in changed(state, bundle)}
        if not found:
            return
        await brought_up(self._reads, self._log)
        # Other histories have other texts of the same version.
        texts = state.histories.by_key[bundle.history].texts
        holders: dict[str, list[str]] = {}
        for held in await self._reads.held_texts(list(found)):
            if held.checksum is not None and (held.version, held.checksum) not in texts:
                continue
            if held.checksum != found[held.version][0].up_checksum:
                holders.setdefault(held.version, []).append(held.holder)
        for version, by in holders.items():
            ref, known = found[version]
            raise ChangedMigration(ref.label, version, known.up_checksum, ref.up_checksum, by)

    async def _event(
        self, migrations: tuple[MigrationRef, ...], path: Path, key: str
    ) -> BundleRegistered:
        from migrations.formats.multi_folder import folders_of

        # Several folders are one history, and stand in one repository.
        folder = folders_of(path)[0]
        commit = await ask_git(folder, "rev-parse", "HEAD")
        dirty = await ask_git(folder, "status", "--porcelain", "--", ".") if commit else None
        return BundleRegistered(
            bundle=name_of(encode_manifest(migrations, self._name)),
            history=key,
            name=self._name,
            migrations=migrations,
            source=folder.name,
            git_commit=commit.strip() if commit else None,
            git_dirty=bool(dirty.strip()) if dirty is not None else None,
        )


def _vanished(state: BundleState, bundle: BundleRegistered) -> tuple[MigrationRef, ...]:
    here = {ref.version for ref in bundle.migrations}
    gone: Collection[str] = state.gone.get(bundle.history, ())
    return tuple(
        ref
        for version, ref in state.histories.refs(bundle.history).items()
        if version not in here and version not in gone
    )


def _require_reason(asked: RequestContext, version: str) -> None:
    if not (asked.reason or "").strip():
        raise ReasonRequired(f"repairing {version}", "overrules what was recorded")


def _texts(bundle: Bundle) -> tuple[bytes, ...]:
    """Every text of the bundle, once."""
    return tuple(
        {
            hashlib.sha256(file.content).digest(): file.content
            for migration in bundle.migrations
            for file in migration.files
        }.values()
    )


def accepting(
    state: BundleState, refs: Sequence[MigrationRef], history: str
) -> tuple[MigrationRef, ...]:
    """The migrations of a history, each with the texts that a person lets it stand in for."""
    accepted = [
        state.accepted.get((history, ref.version), {}).get(ref.up_checksum, {}) for ref in refs
    ]
    return tuple(
        ref.model_copy(
            update={
                "accepts": tuple(
                    Accepted(checksum=known, reason=reason) for known, reason in texts.items()
                )
            }
        )
        for ref, texts in zip(refs, accepted, strict=True)
    )


def changed(
    state: BundleState, bundle: BundleRegistered
) -> Iterator[tuple[MigrationRef, MigrationRef]]:
    """What is registered with another `up` that no person accepted, and what is registered."""
    registered = state.histories.refs(bundle.history)
    for ref in bundle.migrations:
        known = registered.get(ref.version)
        if known is None or ref.repeatable or known.up_checksum == ref.up_checksum:
            continue
        if known.up_checksum not in {one.checksum for one in ref.accepts}:
            yield ref, known


def refuse_changed_since(
    state: BundleState, bundle: BundleRegistered, corrected: Mapping[str, str]
) -> None:
    """Raise `ChangedMigration` unless the texts that are replaced are those that were seen."""
    for ref, known in changed(state, bundle):
        if corrected.get(ref.version) != known.up_checksum:
            raise ChangedMigration(ref.label, ref.version, known.up_checksum, ref.up_checksum)
