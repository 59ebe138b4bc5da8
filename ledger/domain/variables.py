"""What placeholders stand for in each database of a plan; pure.

    declared: constants and labels ─┐
    labels of the database ─────────┼─▶ values, pinned by the plan ─▶ order ─▶ command
    values of an earlier order ─────┘   (going down: what the up was run with)

Only variables that the plan's migrations use are recorded. A value is settled when the rollout is
planned: a label that changes later changes nothing in it, and its rollback undoes what was run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from ledger.contracts.registry import DatabaseValues, MigrationRef, Variable
from ledger.contracts.reports import Event
from ledger.contracts.rollout_events import RolloutPlanned, WavePlanned
from ledger.domain.refusals import InvalidArgument, RequestRefusal, listed
from migrations.likeness import nearest

Values = tuple[tuple[str, str], ...]
"""Names and values, sorted."""


class HasVariables(Protocol):
    """A migration, which knows the variables that its text was filled with."""

    @property
    def variables(self) -> Sequence[str]:
        """Their names."""


class UnknownVariable(InvalidArgument):
    """Somebody gave a value to a name that no migration of the folder has as a placeholder."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        like = nearest(name, known)
        way = f"write --var {like}=VALUE, or leave it out" if like else "leave it out"
        if not like and known:
            way = f"there are {listed(sorted(known))}; correct it, or leave it out"
        super().__init__(f"no migration of the folder uses the variable {name!r} of --var; {way}")
        self.name = name


class UndeclaredVariables(RequestRefusal):
    """Migrations have placeholders that no declared variable stands for."""

    def __init__(self, names: Sequence[str], migrations: Sequence[str]) -> None:
        super().__init__(
            f"{listed(migrations)} need variables that are not declared: {listed(names)}; "
            f"give them with --var {names[0]}=VALUE, or under [variables] in ledger.toml"
        )
        self.names = tuple(names)
        self.migrations = tuple(migrations)


class MissingLabels(RequestRefusal):
    """Databases lack a label that a variable takes its value from."""

    def __init__(self, variable: str, label: str, databases: Sequence[str]) -> None:
        super().__init__(
            f"variable {variable} takes its value from the label {label!r}, which is missing on "
            f"{listed(databases)}; set it with `ledger fleet label`, or leave them out with "
            "--select"
        )
        self.variable = variable
        self.label = label
        self.databases = tuple(databases)


class DifferentValues(RequestRefusal):
    """What is to be taken back was applied with different values of a variable."""

    def __init__(self, database: str, variable: str) -> None:
        super().__init__(
            f"on {database!r} these migrations were applied with different values of variable "
            f"{variable}, and one order has one value; take fewer of them back at a time"
        )
        self.database = database
        self.variable = variable


def refuse_unknown(
    said: Iterable[str], migrations: Iterable[HasVariables], beside: Collection[str] = ()
) -> None:
    """Refuse a name that was said for one rollout and means nothing in its folder.

    What is declared for the project may be for others. What files `beside` the folder use is known.
    Raises `UnknownVariable`.
    """
    known = {*beside, *(name for migration in migrations for name in migration.variables)}
    for name in said:
        if name not in known:
            raise UnknownVariable(name, known)


def unneeded(said: Iterable[str], pending: Iterable[HasVariables]) -> list[str]:
    """What whoever agrees should know of names that nothing pending uses, in words."""
    used = {name for migration in pending for name in migration.variables}
    return [f"variable {name} changes nothing: no pending migration uses it"
            for name in said if name not in used]  # fmt: skip


def samples(declared: Sequence[Variable]) -> dict[str, str]:
    """What a folder is read with."""
    return {variable.name: variable.value for variable in declared}


def used(declared: Sequence[Variable], migrations: Sequence[MigrationRef]) -> tuple[Variable, ...]:
    """The declared variables that the migrations need, by name. Raises `UndeclaredVariables`."""
    known = {variable.name: variable for variable in declared}
    wanted = sorted({name for ref in migrations for name in ref.variables})
    missing = [name for name in wanted if name not in known]
    if missing:
        holders = [ref.label for ref in migrations if set(missing) & set(ref.variables)]
        raise UndeclaredVariables(missing, holders)
    return tuple(known[name] for name in wanted)


def own_values(
    variables: Sequence[Variable],
    labels: Mapping[str, Mapping[str, str]],
    earlier: Mapping[str, Values],
) -> dict[str, DatabaseValues]:
    """The values that databases have for themselves; `labels` are the labels by database.

    What a database was once run with (`earlier`) goes before its labels. Raises `MissingLabels`.
    """
    wanted = {variable.name for variable in variables}
    found = {
        database: {name: value for name, value in earlier.get(database, ()) if name in wanted}
        for database in labels
    }
    for variable in variables:
        if variable.label is not None:
            _take_labels(variable.name, variable.label, labels, found)
    return {
        database: DatabaseValues(database=database, values=tuple(sorted(values.items())))
        for database, values in found.items()
        if values
    }


def _take_labels(
    name: str,
    label: str,
    labels: Mapping[str, Mapping[str, str]],
    found: dict[str, dict[str, str]],
) -> None:
    """Fill in one variable where nothing earlier is known. Raises `MissingLabels`."""
    without = [database for database in labels if name not in found[database]]
    lacking = [database for database in without if label not in labels[database]]
    if lacking:
        raise MissingLabels(name, label, lacking)
    for database in without:
        found[database][name] = labels[database][label]


def ordered_values(variables: Sequence[Variable], own: Values) -> Values:
    """What an order says: the plan's values, and before them what the database has for itself."""
    return tuple(sorted((samples(variables) | dict(own)).items()))


def described(events: Sequence[Event]) -> dict[str, str]:
    """What a plan's variables stand for, in words a person checks them by."""
    planned = [event for event in events if isinstance(event, RolloutPlanned)]
    own: dict[str, dict[str, None]] = {}
    for event in events:
        if isinstance(event, WavePlanned):
            for name, value in (pair for one in event.values for pair in one.values):
                own.setdefault(name, {})[value] = None
    return {
        variable.name: _in_words(variable, list(own.get(variable.name, {})))
        for event in planned
        for variable in event.variables
    }


def _in_words(variable: Variable, values: Sequence[str]) -> str:
    if not values:
        return variable.value
    source = f"label {variable.label}: " if variable.label is not None else "as it was applied: "
    return source + listed(values)


def earlier_values(
    migrations: Sequence[MigrationRef], runs: Iterable[tuple[str, str, Values]]
) -> dict[str, Values]:
    """What each database's migrations were run with; `runs` are database, version and values.

    Raises `DifferentValues`.
    """
    names = {ref.version: frozenset(ref.variables) for ref in migrations}
    found: dict[str, list[Values]] = {}
    for database, version, values in runs:
        wanted = tuple((name, value) for name, value in values if name in names[version])
        found.setdefault(database, []).append(wanted)
    return {database: together(database, values) for database, values in found.items()}


def together(database: str, orders: Sequence[Values]) -> Values:
    """The values that several orders of a database were run with. Raises `DifferentValues`."""
    found: dict[str, str] = {}
    for values in orders:
        for name, value in values:
            if found.setdefault(name, value) != value:
                raise DifferentValues(database, name)
    return tuple(sorted(found.items()))
