"""The texts of migrations, as they were registered: what ran is read back by its hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.contracts.registry import MigrationRef
from ledger.errors import NoBundle, NoSuchVersion, UnknownBundle
from ledger.service.catch_up import as_near_as_may_be
from ledger.store.bundles import read_bundles
from ledger.store.port import Log, TextStore
from ledger.store.views.port import Views


@dataclass(frozen=True, slots=True)
class MigrationText:
    """A migration's files as `bundle` has them.

    `holders` are databases and rollouts that have, or may have, this very up section; `others`
    those that have another one under the same version.
    """

    bundle: str
    ref: MigrationRef
    files: tuple[tuple[str, bytes], ...]
    holders: tuple[str, ...]
    others: tuple[str, ...]


class MigrationTexts:
    """Finds the text of a migration."""

    def __init__(self, log: Log, content: TextStore, reads: Views) -> None:
        self._log = log
        self._content = content
        self._reads = reads

    async def find(self, version: str, digest: str | None = None) -> MigrationText:
        """A migration by version, name or both, in one bundle or in any.

        Of several texts it is that of the latest bundle whose text a database has, or else the
        latest. Raises `UnknownBundle`, `NoBundle`, `NoSuchVersion` or `ContentNotFound`.
        """
        await as_near_as_may_be(self._reads, self._log)
        bundles = (await read_bundles(self._log)).bundles
        if not bundles:
            raise NoBundle
        chosen = [one for one in bundles if digest is None or one.startswith(digest)]
        if digest is not None and len(chosen) != 1:
            raise UnknownBundle(digest)
        found = [
            (name, ref)
            for name in reversed(chosen)
            for ref in bundles[name].migrations
            if version in (ref.version, ref.name, ref.label)
        ]
        if not found:
            raise NoSuchVersion(version, chosen[-1])
        held = await self._reads.held_texts([found[0][1].version])
        known = {one.checksum for one in held}
        bundle, ref = next((one for one in found if one[1].up_checksum in known), found[0])
        return MigrationText(
            bundle,
            ref,
            tuple([(file.name, await self._content.get(file.sha256)) for file in ref.files]),
            _named(one.holder for one in held if one.checksum == ref.up_checksum),
            _named(one.holder for one in held if one.checksum not in (ref.up_checksum, None)),
        )


def _named(holders: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(holders)))
