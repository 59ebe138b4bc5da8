"""What a trace and the sizes of the fleet's tables say of statements, for the rules."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.cli.app.trace import Traced, size_text
from ledger.domain.table_sizes import TableSize
from migrations.lint.finding import Effect
from migrations.model.traces import TracedStatement

SMALL_MB = 10.0
"""Written anew or read in a tenth of a second."""


@dataclass(frozen=True, slots=True)
class TraceEvidence:
    """As `migrations.lint.rule.Evidence`; of what was not traced it knows nothing."""

    traced: Traced

    def effects(self, version: str, number: int) -> frozenset[Effect] | None:
        """All that the statement does; `None` where that was not seen."""
        one = self._seen(version, number)
        if one is None:
            return None
        found = {
            Effect.REWRITES: one.rewrites,
            Effect.SCANS: one.scans,
            Effect.BLOCKS_WRITES: one.blocks_writes,
        }
        return frozenset(effect for effect, tables in found.items() if tables)

    def seen(self, version: str, number: int) -> str:
        """What it does, in words; names as they are."""
        one = self._seen(version, number)
        if one is None:
            return ""
        said = [f"rewrites {table}" for table in one.rewrites]
        said += [f"reads all of {table}" for table in one.scans if table not in one.rewrites]
        blocking = [lock for lock in one.locks if lock.mode.blocks_writes]
        said += [f"takes {lock.mode.words} on {lock.table}" for lock in blocking]
        return ", ".join(said) or "blocks nobody"

    def large(self, version: str, number: int) -> str:
        """Where it meets a table above the limit."""
        return "; ".join(size_text(one) for one in self._sizes(version, number) if one.above)

    def is_small(self, version: str, number: int) -> bool:
        """Whether its tables are small in all databases of the fleet, and each said so."""
        sizes = self._sizes(version, number)
        return (
            bool(sizes)
            and not self.traced.unsized
            and all(one.known and one.largest_mb <= SMALL_MB for one in sizes)
        )

    def _seen(self, version: str, number: int) -> TracedStatement | None:
        one = self.traced.trace.at(version, number)
        return None if one is None or one.untraced else one

    def _sizes(self, version: str, number: int) -> list[TableSize]:
        one = self.traced.trace.at(version, number)
        heavy = one.heavy if one is not None else ()
        return [size for size in self.traced.sizes if size.table in heavy]
