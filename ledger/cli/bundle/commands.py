"""`ledger bundle` and `ledger create`: folders of migrations, written and registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.code_option import PsqlOption
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import UnaskedYesOption, announce
from ledger.cli.app.help_page import WRITTEN, CommandGroup
from ledger.cli.app.options import MIGRATIONS, FolderOption, FormatOption, ReasonOptions, VarOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.variables import declared, names_said
from ledger.cli.bundle.create import KindOptions, RecipeOptions
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.contracts.events import BundleRegistered
    from ledger.service.migration_texts import MigrationText

DIGEST_SHOWN = 12
"""Hexadecimal digits of a digest that people see; any unambiguous beginning is understood."""

bundle_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Bundles: folders of migrations, kept by their content.",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(bundle_app, name="bundle", rich_help_panel="Fleet and rollouts")
    command(
        app,
        "create",
        panel="Every day",
        examples=(
            "ledger create add_email_index",
            "ledger create 'split addresses' -f db/migrations",
            "ledger create fill_totals --kind data",
            "ledger create email_idx --recipe index-concurrently --table users --column email",
        ),
        needs_arguments=True,
    )(create)


async def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it does, in a few words.")],
    sort: KindOptions,
    ingredients: RecipeOptions,
    folder: FolderOption = MIGRATIONS,
    author: Annotated[
        str, typer.Option("--author", help="Written into the file.", rich_help_panel=WRITTEN)
    ] = "",
    description: Annotated[
        str, typer.Option("--description", help="Written into the file.", rich_help_panel=WRITTEN)
    ] = "",
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Write a new migration's files into the folder that others read.

    The version is that of now, or the next number where the folder counts; the format is the
    folder's own. Nothing is ever overwritten. Recipes are changes that are known to be safe on a
    busy table: add-column, check, foreign-key, index-concurrently, not-null, rename-column,
    table-split, type-change, unique-index.
    """
    from migrations.authoring.create import create as write
    from migrations.clock import SYSTEM_CLOCK

    paths = write(
        folder,
        name,
        at=SYSTEM_CLOCK.now(),
        author=author,
        description=description,
        wanted=sort.wanted(ingredients),
    )
    files = [str(path) for path in paths]
    Output(output).record("create", {"files": files}, "\n".join(files))


@command(
    bundle_app,
    "register",
    examples=("ledger bundle register migrations", "ledger bundle register db -o json"),
    needs_arguments=True,
)
async def register_folder(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of migrations.")],
    why: ReasonOptions,
    format: FormatOption = None,
    var: VarOption = None,
    allow_psql: PsqlOption = False,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Store a folder's migrations under the hash of their content, with the git commit.

    The same content again is harmless; a changed `up` under a known version is refused.
    """
    from ledger.domain.variables import refuse_unknown

    async with opened(ctx) as session:
        variables = declared(var, session.settings)
        bundles = session.ledger.bundles
        known = await bundles.read(folder, format, variables, psql=allow_psql)
        refuse_unknown(names_said(var), known.registration.migrations)
        announce(session.ledger.name, [f"store the migrations of {folder}"])
        registered = await bundles.record(known, why.asked())
    from ledger.domain.wording import number_of

    bundle = registered.bundle
    word = "registered" if registered.new else "was registered already"
    holds = number_of(len(bundle.migrations), "migration")
    Output(output).record(
        "bundle.register",
        _summary(bundle) | {"new": registered.new},
        f"{bundle.bundle[:DIGEST_SHOWN]} {word}: {holds}{_git(bundle)}",
    )


@command(bundle_app, "list", examples=("ledger bundle list",))
async def list_(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the registered bundles, oldest first; people see the last of many."""
    async with opened(ctx) as session:
        bundles = await session.ledger.bundles.all()
    form = Output(output)
    shown = bundles[-(form.at_most(None) or len(bundles)) :]
    form.rows(
        "bundle.list",
        [_summary(bundle) for bundle in shown],
        ("short", "history", "migrations", "newest", "source", "git_commit", "git_dirty"),
        empty="No bundle is registered; `ledger bundle register DIR` does that.",
    )
    form.tell_left_out(len(shown), len(bundles))


@command(
    bundle_app,
    "show",
    examples=("ledger bundle show 3f9a2c", "ledger bundle show --sql 20260401120000"),
)
async def show(
    ctx: typer.Context,
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="Its digest, or an unambiguous beginning of it. Default: with --sql any that "
            "has the migration, else the one registered last.",
            autocompletion=completion.bundles,
        ),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(
            "--sql",
            metavar="VERSION",
            help="Print the text of this migration instead.",
            autocompletion=completion.known_versions,
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the migrations of one bundle, or print the text of one as it was registered.

    Where databases have a migration, it is the text that they have.
    """
    async with opened(ctx) as session:
        if sql is not None:
            _show_text(await session.ledger.texts.find(sql, bundle), Output(output))
            return
        bundles = session.ledger.bundles
        found = await (bundles.latest() if bundle is None else bundles.get(bundle))
    Output(output).rows(
        "bundle.show",
        [
            {
                "migration": ref.version,
                "name": ref.name,
                "format": ref.format,
                "transactional": ref.transactional,
                "down": ref.reversible,
                "verify": ref.has_verify,
                "up_checksum": ref.up_checksum,
                "files": [file.name for file in ref.files],
            }
            for ref in found.migrations
        ],
        ("migration", "name", "transactional", "down", "verify", "files"),
        empty="This bundle holds no migration.",
        bundle=found.bundle,
    )


def _show_text(found: MigrationText, form: Output) -> None:
    """Its files one below the other; what would move a cursor is shown, JSON has it as it is."""
    from ledger.domain.refusals import listed

    texts = [(name, text.decode(errors="backslashreplace")) for name, text in found.files]
    fields = {
        "bundle": found.bundle,
        "migration": found.ref.version,
        "name": found.ref.name,
        "up_checksum": found.ref.up_checksum,
        "files": [{"name": name, "text": text} for name, text in texts],
        "holders": found.holders,
        "others": found.others,
    }
    if form.for_people:
        for name, text in texts:
            typer.echo(f"-- {escaped(name)}")
            # A tab is a part of SQL, of COPY's data for one, and moves nothing back.
            plain = text.replace("\r\n", "\n").rstrip("\n").split("\t")
            typer.echo("\t".join(escaped(part, lines=True) for part in plain))
    else:
        form.record("bundle.text", fields)
    if found.others:
        say(f"Another text of it is in {listed(found.others)}; name a BUNDLE to see that one.")


def _summary(bundle: BundleRegistered) -> dict[str, Any]:
    return {
        "bundle": bundle.bundle,
        "short": bundle.bundle[:DIGEST_SHOWN],
        "history": bundle.name or bundle.history,
        "migrations": len(bundle.migrations),
        "newest": bundle.migrations[-1].label if bundle.migrations else None,
        "source": bundle.source,
        "git_commit": bundle.git_commit,
        "git_dirty": bundle.git_dirty,
    }


def _git(bundle: BundleRegistered) -> str:
    if bundle.git_commit is None:
        return ""
    dirty = ", with uncommitted changes" if bundle.git_dirty else ""
    return f", git {bundle.git_commit[:DIGEST_SHOWN]}{dirty}"
