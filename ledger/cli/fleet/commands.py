"""`ledger fleet`: which databases there are, how they are reached, and whether they can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import UnaskedYesOption, YesOption, announce, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_DATABASES, CommandGroup
from ledger.cli.app.options import (
    AllOption,
    DatabaseArgument,
    PageOption,
    ReasonOptions,
    SelectOption,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.fleet import apply, check, fence, label, show
from ledger.cli.fleet.groups import SHOWN, show_pools
from ledger.cli.fleet.options import ConnectionOptions
from ledger.cli.fleet.reading import ReadingOptions, tell_reading
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.domain.fleet import DatabaseRecord

fleet_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Databases: as a file describes them, or one by one; label, move, retire, check.",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(fleet_app, name="fleet", rich_help_panel="Fleet and rollouts")
    apply.register(fleet_app)
    label.register(fleet_app)
    show.register(fleet_app)
    check.register(fleet_app)
    fence.register(fleet_app)


@command(
    fleet_app,
    "add",
    examples=(
        "ledger fleet add acme --url postgresql://migrator@db1/acme --password file:secrets/acme",
        "ledger fleet add acme --host db1 --user mig_acme --password env:ACME --label tier=gold",
    ),
    needs_arguments=True,
)
async def add(
    ctx: typer.Context,
    database: DatabaseArgument,
    place: ConnectionOptions,
    why: ReasonOptions,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=VALUE",
            help="May be repeated.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = None,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Register one database. Nothing connects to it yet: `ledger fleet check` does."""
    from ledger.cli.fleet.entries import FleetFileEntry
    from ledger.cli.fleet.file import connection_of, labels_of

    connection = connection_of(database, place.url, place.fields())
    async with opened(ctx) as session:
        pool = place.pool or session.settings.pool
        entry = FleetFileEntry(database, pool, connection, labels_of(label or ()))
        await session.ledger.fleet.preview_import([entry])
        announce(session.ledger.name, [f"register 1 database, {database}"])
        await session.ledger.fleet.add(database, pool, connection, entry.labels, why.asked())
    _done(output, "fleet.add", database, "registered; see `ledger fleet check`")


@command(
    fleet_app,
    "import",
    examples=("ledger fleet import fleet.yaml --reason 'first customers'",),
    needs_arguments=True,
)
async def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML, as `ledger fleet apply` reads it.")
    ],
    why: ReasonOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Register every database of a YAML file; what is registered alike already is left alone.

    What is registered otherwise is refused: `ledger fleet apply` makes it as the file says.
    """
    from ledger.cli.fleet.file import read_fleet
    from ledger.domain.wording import number_of

    async with opened(ctx) as session:
        entries = read_fleet(file, session.settings.pool)
        new = len((await session.ledger.fleet.preview_import(entries)).added)
        if new:
            what = f"register {number_of(new, 'database')} of {file}"
            confirm(session.ledger.name, [what], yes=yes)
        result = await session.ledger.fleet.import_(entries, why.asked())
    fields = {"added": list(result.added), "unchanged": list(result.unchanged)}
    Output(output).record(
        "fleet.import",
        fields,
        f"{number_of(len(result.added), 'database')} registered, "
        f"{len(result.unchanged):,} there already",
    )


@command(
    fleet_app,
    "list",
    examples=("ledger fleet list -s tier=gold", "ledger fleet list -o json"),
)
async def list_(
    ctx: typer.Context,
    select: SelectOption = "",
    every: AllOption = False,
    limit: PageOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the databases of the fleet; passwords are references and are shown as such.

    More than 50 are counted, by status and pool, unless `--all` or `--select` asks for a list.
    """
    async with opened(ctx) as session:
        form = Output(output)
        if form.for_people and not (select or every or limit):
            pools = await session.ledger.status.pools()
            if sum(one.databases for one in pools) > SHOWN:
                show_pools(pools, form)
                return
        most = None if every and limit is None else form.at_most(limit)
        found = await session.ledger.fleet.page(select, limit=most)
    form.rows(
        "fleet.list",
        [_record(one) for one in found.databases],
        ("database", "pool", "status", "address", "user", "password", "labels"),
        empty=f"No database matches {select}; `ledger fleet list` shows all of them."
        if select
        else "No database is registered; `ledger fleet add` or `ledger fleet apply` does that.",
    )
    form.tell_left_out(len(found.databases), found.total, limited=True)


@command(
    fleet_app,
    "repoint",
    examples=("ledger fleet repoint acme --host db7.internal --reason 'restored after an outage'",),
    needs_arguments=True,
)
async def repoint(
    ctx: typer.Context,
    database: DatabaseArgument,
    place: ConnectionOptions,
    why: ReasonOptions,
    reading: ReadingOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Say that a database moved or was restored: its identity and journal are read again.

    Only what is named changes. What the new place has lost is recorded, and told.
    """
    from ledger.cli.fleet.file import changes_of
    from ledger.domain.fleet_changes import WORDS

    changes = changes_of(database, place.url, place.fields())
    if not changes and place.pool is None:
        raise WrongArgument(
            "say where it is now: --host, --port, --url, --dbname, --pool or another option; for "
            "a database that was restored in place use `ledger fleet reinstate`"
        )
    async with opened(ctx) as session:
        await session.ledger.fleet.check_repoint(database, place.pool, changes, why.asked())
        said = {**changes, **({"pool": place.pool} if place.pool is not None else {})}
        where = ", ".join(f"{WORDS.get(name, name)}={value}" for name, value in said.items())
        confirm(session.ledger.name, [f"repoint 1 database, {database}, to {where}"], yes=yes)
        check = await session.ledger.fleet.repoint(database, place.pool, changes, why.asked())
        if check:
            return await tell_reading(
                session, check, database, reading, Output(output),
                kind="fleet.repoint", done="repointed",
            )  # fmt: skip
    what = (
        "is there already, nothing was recorded; for a database that was restored in place use "
        "`ledger fleet reinstate`"
    )
    _done(output, "fleet.repoint", database, what)
    return ExitCode.OK


@command(
    fleet_app, "suspend", examples=("ledger fleet suspend acme --reason 'being moved'",),
    needs_arguments=True,
)  # fmt: skip
async def suspend(
    ctx: typer.Context,
    database: DatabaseArgument,
    why: ReasonOptions,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Leave a database out of new orders until it is reinstated."""
    async with opened(ctx) as session:
        await session.ledger.fleet.check_suspend(database)
        announce(session.ledger.name, [f"suspend 1 database, {database}"])
        changed = await session.ledger.fleet.suspend(database, why.asked())
    what = "suspended" if changed else "suspended already, as it was"
    _done(output, "fleet.suspend", database, f"{what}; `ledger fleet reinstate` takes it back")


@command(
    fleet_app, "reinstate", examples=("ledger fleet reinstate acme --reason 'restore checked'",),
    needs_arguments=True,
)  # fmt: skip
async def reinstate(
    ctx: typer.Context,
    database: DatabaseArgument,
    why: ReasonOptions,
    reading: ReadingOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Let a database take part again as it is now: identity and journal are read again.

    What its journal has lost is recorded, and told.
    """
    async with opened(ctx) as session:
        await session.ledger.fleet.check_reinstate(database, why.asked())
        what = f"take 1 database, {database}, as it is now and forget what was known of it"
        confirm(session.ledger.name, [what], yes=yes)
        check = await session.ledger.fleet.reinstate(database, why.asked())
        return await tell_reading(
            session, check, database, reading, Output(output),
            kind="fleet.reinstate", done="reinstated",
        )  # fmt: skip


@command(
    fleet_app, "retire", examples=("ledger fleet retire acme --reason 'contract ended'",),
    needs_arguments=True,
)  # fmt: skip
async def retire(
    ctx: typer.Context,
    database: DatabaseArgument,
    why: ReasonOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Take a database out of the fleet for good; its history stays."""
    async with opened(ctx) as session:
        await session.ledger.fleet.check_retire(database)
        confirm(session.ledger.name, [f"retire 1 database, {database}, for good"], yes=yes)
        changed = await session.ledger.fleet.retire(database, why.asked())
    what = "retired" if changed else "retired already, as it was"
    _done(output, "fleet.retire", database, f"{what}; its history stays")


def _record(record: DatabaseRecord) -> dict[str, object]:
    connection = record.connection
    return {
        "database": record.database,
        "pool": record.pool,
        "status": record.status,
        "address": f"{connection.target.server}/{connection.target.database}",
        "user": connection.user,
        "password": connection.password,
        "labels": dict(record.labels),
        "connection": connection.model_dump(mode="json"),
    }


def _done(output: OutputFormat, kind: str, database: str, what: str) -> None:
    Output(output).record(kind, {"database": database}, f"{database}: {what}")
