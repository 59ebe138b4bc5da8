"""Why a request may be refused. Every message names what to do instead.

```
Refusal
├── InvalidArgument        what was written cannot be meant; wrong usage, for scripts
│   ├── InvalidDatabase        the description of a database cannot be stored
│   │   └── LiteralPassword    a password where only a reference to one may stand
│   ├── InvalidSelection       a --select expression cannot be read
│   ├── InvalidWaves           a wave specification cannot be read or leaves databases out
│   ├── InvalidBudget          a failure budget cannot be read
│   ├── InvalidLimit           a number of a plan is out of its range
│   ├── ReasonRequired         it must be said why
│   └── UnknownTool            no tool of this name keeps a history that can be adopted
├── AlreadyRegistered      the id is taken by another database
├── AddressTaken           the target is in the fleet under another id
├── UnknownDatabase        no database has this id
├── DriftUnknown           a database was not seen to have drifted
├── DriftedDatabases       the plan is not for databases that have drifted
├── RetiredDatabase        the id belonged to a database that left for good
├── (those of a folder's files: `ledger.domain.folder_refusals`)
├── EmptySelection         no active database is selected
├── OutOfOrder             a migration would run before one that is applied
├── UnknownBaseline        the folder has no version up to which to mark
├── BeyondBaseline         databases have more than a baseline says
├── UnknownMigration       the rollout has no such version
├── NothingPlanned         there is no migration to run
├── UndeclaredVariables    migrations have placeholders that nothing stands for
├── MissingLabels          databases lack a label that a variable takes its value from
├── DifferentValues        a database's migrations were applied with different values
├── IrreversibleMigrations a migration without a down section stands in the way
├── DownHasNoRollback      what went down comes back by going up
├── UndoHasNoRollback      neither does what takes a rollout back
├── UndoUnderWay           a rollout is being taken back already
├── NothingToUndo          nothing of a rollout is left to be taken back
├── UnavailableDatabases   suspended or retired databases were asked for
├── BusyDatabases          databases are part of another unfinished rollout
├── PlanOutdated           the plan that was shown is not what would be done now
├── WrongStatus            the rollout is not in a state that allows this
├── NotInRollout           a database is no part of the rollout
├── NothingToRetry         no database of the rollout waits for a retry
└── NothingToResolve       the database's outcome is not in doubt
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NAMED_AT_MOST = 5
"""How many databases or migrations a message lists before it only counts the rest."""


def listed(names: Sequence[str]) -> str:
    """The first few of `names`, and how many more there are."""
    shown = ", ".join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more:,} more" if more > 0 else shown


class RequestRefusal(Exception):
    """A request was understood and refused; nothing was recorded."""


class InvalidArgument(RequestRefusal):
    """What was written cannot be meant, whatever the ledger holds."""


class InvalidDatabase(InvalidArgument):
    """The description of a database cannot be stored; `field` says which part of it."""

    def __init__(self, database: str, field: str, why: str) -> None:
        super().__init__(f"database {database!r}: {field} {why}")
        self.database = database
        self.field = field
        self.why = why


class LiteralPassword(InvalidDatabase):
    """A password where only a reference to one may stand. The message does not repeat it."""

    def __init__(self, database: str) -> None:
        super().__init__(
            database,
            "password",
            "must be a reference, because the ledger never stores a literal password: write "
            "env:NAME for a variable of the agents' environment, or file:PATH for a file below "
            "the agents' secret roots (for example file:secrets/{database})",
        )


class AlreadyRegistered(RequestRefusal):
    """The id is taken by a database that is described otherwise."""

    def __init__(self, database: str, differs: Sequence[str]) -> None:
        super().__init__(
            f"database {database!r} is registered already, and differs in {listed(differs)}; "
            "`ledger fleet diff -f FILE` shows how, and `ledger fleet apply -f FILE` makes it as a "
            "file says; or use `ledger fleet repoint` and `ledger fleet label`"
        )
        self.database = database
        self.differs = tuple(differs)


class AddressTaken(RequestRefusal):
    """The target is in the fleet under another id: two of them would work on one journal."""

    def __init__(self, database: str, other: str, where: str) -> None:
        super().__init__(
            f"database {database!r}: {where} is in the fleet as {other!r} already, and one target "
            f"has one id; use {other!r}, correct the address, name another --schema if a schema is "
            f"the target, or take {other!r} out first with `ledger fleet retire {other}`"
        )
        self.database = database
        self.other = other


class UnknownDatabase(RequestRefusal):
    """No database has this id; `nearest` is the one most like it."""

    def __init__(self, database: str, nearest: str | None = None) -> None:
        near = f" (the nearest is {nearest})" if nearest else ""
        super().__init__(
            f"no database {database!r} is registered{near}; "
            "see `ledger fleet list`, or register it with `ledger fleet add`"
        )
        self.database = database


class RetiredDatabase(RequestRefusal):
    """The id belonged to a database that left the fleet for good."""

    def __init__(
        self, database: str, advice: str = "register it under a new id with `ledger fleet add`"
    ) -> None:
        super().__init__(
            f"database {database!r} is retired and its id cannot come back, "
            f"because its history stays; {advice}"
        )
        self.database = database


class ReasonRequired(InvalidArgument):
    """The request changes what the ledger believes of a database, so it must say why."""

    def __init__(
        self,
        request: str,
        what: str = "makes the ledger forget what it believed of the database",
    ) -> None:
        super().__init__(f"{request} {what}; say why with --reason")


class FenceHolds(RequestRefusal):
    """A journal ends in an order that this ledger may have given: it keeps no later one out."""

    def __init__(self, database: str, order: str) -> None:
        super().__init__(
            f"nothing is wrong with the order that the journal of {database} names ({order}): this "
            "ledger has come further, so no order is kept out by it; nothing was recorded; "
            f"`ledger fleet check --select id={database}` shows what else may be wrong"
        )


class FenceUnread(RequestRefusal):
    """What a journal says could not be read, so nobody knows whether something is wrong with it."""

    def __init__(self, database: str, why: str) -> None:
        super().__init__(f"the journal of {database} could not be read: {why}")


class DriftUnknown(RequestRefusal):
    """A database was not seen to have drifted, so there is nothing to accept."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} was not seen to have drifted; `ledger drift` looks at the fleet's schemas"
        )


class DriftedDatabases(RequestRefusal):
    """Databases have another schema than most with the same migrations."""

    def __init__(self, databases: Sequence[str]) -> None:
        super().__init__(
            f"drifted: {listed(databases)}; see how with `ledger drift`, bring them back or accept "
            "them with `ledger drift accept DATABASE --reason TEXT`, or choose --on-drift warn"
        )


class InvalidSelection(InvalidArgument):
    """A --select expression cannot be read at `column` (1-based)."""

    def __init__(self, expression: str, column: int, why: str) -> None:
        super().__init__(
            f"selection {expression!r}, column {column}: {why}; "
            "write for example `tier=gold,region!=eu` or `tier in (gold,silver)`"
        )
        self.expression = expression
        self.column = column


class EmptySelection(RequestRefusal):
    """No active database is selected; without `registered`, there is none at all."""

    def __init__(self, selection: str, *, registered: bool = True) -> None:
        if not registered:
            super().__init__(
                "the fleet has no database yet; register one with `ledger fleet add`, "
                "or all that a file describes with `ledger fleet apply -f FILE`"
            )
            return
        what = f"selection {selection!r} matches" if selection else "the fleet has"
        super().__init__(
            f"{what} no active database; see `ledger fleet list`, "
            "or `ledger fleet reinstate` what is suspended"
        )


class InvalidWaves(InvalidArgument):
    """A wave specification cannot be read, or leaves databases out."""

    def __init__(self, spec: str, why: str) -> None:
        super().__init__(
            f"waves {spec!r}: {why}; write counts or percents and end with `rest`, "
            "for example `1,10%,rest`"
        )


class InvalidBudget(InvalidArgument):
    """A failure budget cannot be read."""

    def __init__(self, spec: str, why: str) -> None:
        super().__init__(
            f"failure budget {spec!r} {why}; write a count like `3`, "
            "or a share of the databases like `2%`"
        )


class InvalidLimit(InvalidArgument):
    """A number of a plan is out of its range."""

    def __init__(self, name: str, value: float, why: str) -> None:
        super().__init__(f"{name} is {value:g}, but {why}; choose another value")


class OutOfOrder(RequestRefusal):
    """Migrations would run before some that databases have; `late` maps each to those databases."""

    def __init__(self, late: Mapping[str, Sequence[str]]) -> None:
        named = [f"{label} ({listed(databases)})" for label, databases in late.items()]
        super().__init__(
            f"older than what databases have already: {listed(named)}; give them versions behind "
            "that, or allow it with --allow-out-of-order"
        )
        self.late = {label: tuple(databases) for label, databases in late.items()}


class UnknownBaseline(RequestRefusal):
    """The folder has no version up to which everything is to count as applied."""

    def __init__(self, version: str, known: Sequence[str]) -> None:
        newest = known[-1] if known else "none"
        super().__init__(
            f"the folder has no migration {version!r} (its newest is {newest}); name one of its "
            "versions with --through"
        )


class BeyondBaseline(RequestRefusal):
    """Databases have migrations beyond the version that a baseline names."""

    def __init__(self, version: str, databases: Sequence[str]) -> None:
        super().__init__(
            f"{listed(databases)} have migrations beyond {version}; name a later version with "
            "--through, or leave them out of the selection"
        )
        self.databases = tuple(databases)


class UnknownTool(InvalidArgument):
    """No tool of this name keeps a history that can be adopted."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no tool is called {name!r}; known are {', '.join(known)}")


class UnknownMigration(RequestRefusal):
    """The rollout has no such version."""

    def __init__(self, rollout: str, version: str, versions: Sequence[str]) -> None:
        super().__init__(
            f"rollout {rollout} has no migration {version!r}; its migrations are {listed(versions)}"
        )


class NothingPlanned(RequestRefusal):
    """There is no migration to run."""

    def __init__(self) -> None:
        super().__init__(
            "the plan holds no migration; register a folder with `ledger bundle register DIR`"
        )


class IrreversibleMigrations(RequestRefusal):
    """A migration without a down section that can run stands in the way of going back.

    `broken` are the reasons of those whose down section cannot run, `way` what can be done else.
    """

    def __init__(
        self, what: str, migrations: Sequence[str], broken: Sequence[str] = (), way: str = ""
    ) -> None:
        reason = "no down section" + (f" that can run: {'; '.join(broken)}" if broken else "")
        super().__init__(
            f"{what} is not possible: {listed(migrations)} cannot be undone ({reason}); "
            f"{way}write a migration that goes forward"
        )
        self.migrations = tuple(migrations)


class DownHasNoRollback(RequestRefusal):
    """What went down comes back by going up."""

    def __init__(self) -> None:
        super().__init__(
            "a rollout that goes down has no rollback: run `ledger up` to bring its migrations "
            "back, and plan it with `--when-spent halt`"
        )


class UnavailableDatabases(RequestRefusal):
    """Suspended or retired databases were asked for; `databases` maps them to their status."""

    def __init__(self, databases: Mapping[str, str]) -> None:
        named = [f"{database} ({status})" for database, status in sorted(databases.items())]
        super().__init__(
            f"not available: {listed(named)}; bring suspended databases back with "
            "`ledger fleet reinstate`, or leave them out of the selection"
        )
        self.databases = dict(databases)


class BusyDatabases(RequestRefusal):
    """Databases are part of another unfinished rollout; `rollouts` maps database to rollout."""

    def __init__(self, rollouts: Mapping[str, str]) -> None:
        held: dict[str, list[str]] = {}
        for database, rollout in sorted(rollouts.items()):
            held.setdefault(rollout, []).append(database)
        named = [f"{listed(names)} (rollout {rollout})" for rollout, names in held.items()]
        super().__init__(
            f"busy in another rollout: {listed(named)}; see what it waits for with "
            "`ledger rollout status`, stay with it by `ledger rollout watch`, or end it with "
            "`ledger rollout abort`"
        )
        self.rollouts = dict(rollouts)


class WrongStatus(RequestRefusal):
    """The rollout is not in a state that allows the request."""

    def __init__(self, request: str, rollout: str, status: str, instead: str) -> None:
        super().__init__(f"cannot {request} rollout {rollout}: it is {status}; {instead}")
        self.status = status


class NotInRollout(RequestRefusal):
    """Databases are no part of the rollout."""

    def __init__(self, rollout: str, databases: Sequence[str]) -> None:
        super().__init__(
            f"rollout {rollout} does not include {listed(databases)}; "
            f"`ledger rollout status {rollout}` lists its databases"
        )


class NothingToRetry(RequestRefusal):
    """The named databases, or all of the rollout's, are in no state that a retry could change."""

    def __init__(self, rollout: str, databases: Mapping[str, str]) -> None:
        named = [f"{database} is {status}" for database, status in sorted(databases.items())]
        what = listed(named) if named else "no database failed, is unknown or was left out"
        super().__init__(
            f"nothing to retry in rollout {rollout}: {what}; see `ledger rollout status {rollout}`"
        )


class NothingToResolve(RequestRefusal):
    """The database's outcome is not in doubt."""

    def __init__(self, rollout: str, database: str, status: str) -> None:
        super().__init__(
            f"database {database!r} is {status} in rollout {rollout}, not in doubt; "
            f"`ledger rollout status {rollout}` says what would help it"
        )
