"""`--var NAME=VALUE`, and `[variables]` of the settings: what placeholders stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import flags_of
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.contracts.registry import Variable
    from ledger.settings import Settings
    from migrations.formats import Reading
    from migrations.model.migration import Migration


def declared(given: Sequence[str] | None, settings: Settings) -> tuple[Variable, ...]:
    """What the command line and the settings say, by name. Raises `WrongArgument`."""
    from ledger.contracts.registry import Variable

    found = {variable.name: variable for variable in settings.declared}
    said: set[str] = set()
    for one in given or ():
        name, equals, value = one.partition("=")
        if not name.strip() or not equals:
            raise WrongArgument(f"--var {one} is no assignment; write --var NAME=VALUE")
        if name.strip() in said:
            raise WrongArgument(f"--var {name.strip()} is there twice; say it once")
        said.add(name.strip())
        found[name.strip()] = Variable(name=name.strip(), value=value)
    return tuple(found[name] for name in sorted(found))


def names_said(given: Sequence[str] | None) -> tuple[str, ...]:
    """The names of `--var`, in the order in which they are looked at."""
    return tuple(sorted(one.partition("=")[0].strip() for one in given or ()))


def loaded_here(
    ctx: typer.Context,
    folder: Path,
    format: str | None,
    given: Sequence[str] | None,
    *,
    psql: bool = False,
) -> tuple[Migration, ...]:
    """A folder's migrations for one database without a ledger, which has no labels.

    `psql` is a person's leave to take scripts that only psql understands.

    Raises `WrongArgument` when they need a variable that only a label has a value for, and
    `UnknownVariable` for one that none of them needs.
    """
    from ledger.domain.variables import refuse_unknown
    from migrations.formats.bundle import load_folder

    variables = declared(given, flags_of(ctx).load().settings)
    migrations = load_folder(folder, format, reading_of(variables, psql=psql)).migrations
    refuse_unknown(names_said(given), migrations)
    needed = {name for migration in migrations for name in migration.variables}
    for variable in variables:
        if variable.label is not None and variable.name in needed:
            raise WrongArgument(
                f"variable {variable.name} takes its value from the label {variable.label!r}, and "
                f"without a ledger there is none; give it with --var {variable.name}=VALUE"
            )
    return migrations


def reading_of(variables: Sequence[Variable], *, psql: bool = False) -> Reading:
    """How a folder is read with these."""
    from migrations.formats import Reading

    return Reading({variable.name: variable.value for variable in variables}, programs=psql)
