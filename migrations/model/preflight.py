"""What is asked of a database before something is applied there, and what counts as too much.

```
value ── within its bounds ──▶ pass
      ── beyond the first ───▶ warn
      ── beyond the second ──▶ block
not to be known ─────────────▶ unknown, which counts as block, warn or pass: a setting per check
```

Pure values: an order carries a policy, a report the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from migrations.printable import escaped

SAID_MAX_CHARS = 240
"""Of what one check says, in one line."""


class PreflightCheck(StrEnum):
    """What is asked, in the order in which it is told."""

    RIGHTS = "rights"
    PRIMARY = "primary"
    SERVER_VERSION = "server_version"
    FREE_SPACE = "free_space"
    INVALID_INDEXES = "invalid_indexes"
    TRANSACTIONS = "transactions"
    IDLE = "idle_in_transaction"
    SNAPSHOTS = "snapshots"
    AUTOVACUUM = "autovacuum"
    WRAPAROUND = "wraparound"
    SLOTS = "slots"
    LAG = "lag"
    TABLE_SIZE = "table_size"
    TABLE_ROWS = "table_rows"
    CONNECTIONS = "connections"
    BACKUP = "backup_age"
    WINDOW = "window"


class PreflightVerdict(StrEnum):
    """What a check comes to."""

    FINE = "pass"
    WARN = "warn"
    BLOCK = "block"
    UNKNOWN = "unknown"


class Enforcement(StrEnum):
    """What a rollout does about checks that do not pass."""

    BLOCK = "block"
    """A database with one that blocks is not touched; it is tried again later."""
    WARN = "warn"
    """What would block is told, and everything goes on."""
    OFF = "off"
    """Nothing is asked."""


@dataclass(frozen=True, slots=True)
class CheckBounds:
    """From which value on a check warns, and from which it blocks; `None` is never."""

    check: PreflightCheck
    warn: float | None = None
    block: float | None = None


@dataclass(frozen=True, slots=True)
class UnknownCounts:
    """What it counts as when a check cannot tell."""

    check: PreflightCheck
    counts_as: PreflightVerdict


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is about: unit of its value, whether little of it is too little."""

    unit: str
    what: str
    bounds: tuple[float | None, float | None]
    unknown: PreflightVerdict
    too_little: bool = False


_FINE, _WARN, _BLOCK = PreflightVerdict.FINE, PreflightVerdict.WARN, PreflightVerdict.BLOCK

SUBJECTS: Mapping[PreflightCheck, Subject] = {
    PreflightCheck.RIGHTS: Subject("", "rights that the role lacks", (None, 1), _WARN),
    PreflightCheck.PRIMARY: Subject("", "1 where the server is a standby", (None, 1), _BLOCK),
    PreflightCheck.SERVER_VERSION: Subject(
        "", "release of the server", (None, 14), _BLOCK, too_little=True
    ),
    PreflightCheck.FREE_SPACE: Subject(
        "MB", "free space, as `space_query` says it", (None, None), _FINE, too_little=True
    ),
    PreflightCheck.INVALID_INDEXES: Subject(
        "", "invalid indexes on the touched tables", (1, None), _WARN
    ),
    PreflightCheck.TRANSACTIONS: Subject(
        "s", "age of the oldest transaction that holds a lock in our way", (60, 600), _WARN
    ),
    PreflightCheck.IDLE: Subject(
        "s", "the same of sessions that are idle in a transaction", (30, 300), _WARN
    ),
    PreflightCheck.SNAPSHOTS: Subject(
        "s", "age of the oldest snapshot that CONCURRENTLY has to wait for", (60, 600), _WARN
    ),
    PreflightCheck.AUTOVACUUM: Subject(
        "", "autovacuums at work on the touched tables", (1, None), _WARN
    ),
    PreflightCheck.WRAPAROUND: Subject(
        "", "of them, those that prevent wraparound and do not give way", (None, 1), _WARN
    ),
    PreflightCheck.SLOTS: Subject(
        "MB", "most that a replication slot holds back", (1024, 10240), _WARN
    ),
    PreflightCheck.LAG: Subject("MB", "most that a standby is behind", (64, 1024), _WARN),
    PreflightCheck.TABLE_SIZE: Subject(
        "MB", "size of the largest touched table, indexes included", (10240, None), _FINE
    ),
    PreflightCheck.TABLE_ROWS: Subject(
        "", "rows of the largest touched table, as estimated", (10_000_000, None), _FINE
    ),
    PreflightCheck.CONNECTIONS: Subject(
        "%", "share of the server's connections that is in use", (80, None), _WARN
    ),
    PreflightCheck.BACKUP: Subject("h", "age of the last backup", (None, None), _FINE),
    PreflightCheck.WINDOW: Subject(
        "min", "minutes until the next maintenance window opens", (None, 1), _BLOCK
    ),
}
"""All checks, with the bounds (warn, block) and what unknown counts as where no setting says."""


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """When databases with a label may be changed; without a label, all that have no other.

    `days` are 0 (Monday) to 6, `opens` and `closes` minutes since midnight in `zone`; what closes
    before it opens closes on the next day.
    """

    days: tuple[int, ...]
    opens: int
    closes: int
    zone: str
    label: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class PreflightPolicy:
    """What is asked before something is applied, and what follows; only what is not as usual.

    A database that is blocked is tried again for `wait_s` seconds.
    """

    enforcement: Enforcement = Enforcement.BLOCK
    bounds: tuple[CheckBounds, ...] = ()
    unknown: tuple[UnknownCounts, ...] = ()
    windows: tuple[LabelledWindow, ...] = ()
    backup_query: str = ""
    """SELECTs when the last backup ended; without one, the archiver is asked."""
    space_query: str = ""
    """SELECTs how many bytes are free."""
    wait_s: float = 3600.0

    def bounds_of(self, check: PreflightCheck) -> CheckBounds:
        """From where the check warns and blocks."""
        for one in self.bounds:
            if one.check is check:
                return one
        return CheckBounds(check, *SUBJECTS[check].bounds)

    def counts_as(self, check: PreflightCheck) -> PreflightVerdict:
        """What it counts as that the check cannot tell."""
        for one in self.unknown:
            if one.check is check:
                return one.counts_as
        return SUBJECTS[check].unknown


@dataclass(frozen=True, slots=True)
class TouchedTable:
    """A table by its name, quoted, and the strongest lock that is wanted on it.

    Locks are counted as `migrations.target.holder.MODES` does: 7 is to be alone with it.
    """

    name: str
    wanted: int = 7
    owners_only: bool = False


@dataclass(frozen=True, slots=True)
class TouchedTables:
    """What migrations touch: tables, whether they make something, whether snapshots matter."""

    tables: tuple[TouchedTable, ...] = ()
    creates: bool = False
    waits_for_snapshots: bool = False


@dataclass(frozen=True, slots=True)
class PreflightRequest:
    """What a look is to ask beside, and about which tables."""

    policy: PreflightPolicy
    touched: TouchedTables


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """What one check found: `limit` is the bound that decided, or would have next.

    `said` has the evidence, and what to do, where it does not pass; names, and no query text.
    `tables` are the largest touched tables, each with its value, of the checks that are about them.
    """

    check: PreflightCheck
    verdict: PreflightVerdict
    value: float | None = None
    limit: float | None = None
    said: str = ""
    tables: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Whatever a tenant's names hold is one line that nothing in it can break."""
        said = escaped(self.said)
        if len(said) > SAID_MAX_CHARS:
            said = said[: SAID_MAX_CHARS - 2] + " …"
        object.__setattr__(self, "said", said)
        named = tuple((escaped(name), value) for name, value in self.tables)
        object.__setattr__(self, "tables", named)


def judged(
    check: PreflightCheck,
    value: float | None,
    said: str,
    bounds: CheckBounds,
    tables: tuple[tuple[str, float], ...] = (),
) -> PreflightResult:
    """What a value comes to within these bounds; `None` is unknown, and `said` why."""
    if value is None:
        return PreflightResult(check, PreflightVerdict.UNKNOWN, said=said)
    shown = round(value, 1)
    for verdict, bound in ((_BLOCK, bounds.block), (_WARN, bounds.warn)):
        if bound is not None and _is_beyond(check, value, bound):
            return PreflightResult(check, verdict, shown, bound, said, tables)
    limit = bounds.block if bounds.warn is None else bounds.warn
    return PreflightResult(check, _FINE, shown, limit, tables=tables)


def counted(result: PreflightResult, policy: PreflightPolicy) -> PreflightVerdict:
    """What a result counts as: unknown is what the policy makes of it."""
    if result.verdict is PreflightVerdict.UNKNOWN:
        return policy.counts_as(result.check)
    return result.verdict


def blocking_results(
    results: Iterable[PreflightResult], policy: PreflightPolicy
) -> tuple[PreflightResult, ...]:
    """The results that keep anything from being applied."""
    return tuple(one for one in results if counted(one, policy) is _BLOCK)


def result_text(result: PreflightResult) -> str:
    """One result in words, as people are told it."""
    subject = SUBJECTS[result.check]
    if result.value is None:
        return f"{result.check}: not known ({result.said})" if result.said else f"{result.check}"
    unit = f" {subject.unit}" if subject.unit else ""
    limit = f" (limit {result.limit:,.12g}{unit})" if result.limit is not None else ""
    said = f": {result.said}" if result.said else ""
    return f"{result.check} {result.value:,.12g}{unit}{limit}{said}"


def _is_beyond(check: PreflightCheck, value: float, bound: float) -> bool:
    """Nothing at all is never too much, whatever the bound."""
    return value < bound if SUBJECTS[check].too_little else value >= bound and value > 0
