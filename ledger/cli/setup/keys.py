"""`ledger keys`: what orders and reports are signed with, and who may sign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import UnaskedYesOption, YesOption, confirm
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption

if TYPE_CHECKING:
    from ledger.domain.keys import AgentKey

keys_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Keys: make them, and say which may sign what agents report.",
)

PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
"""For examples: that of RFC 8032, whose private key stands there too."""
COLUMNS = ("key", "for", "agent", "pools", "status", "public_key")

PublicKeyArgument = Annotated[
    str, typer.Argument(metavar="PUBLIC_KEY", help="As `ledger keys generate` prints it.")
]
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Its id, or eight digits of it and more.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(keys_app, name="keys", rich_help_panel="Set-up")


@command(
    keys_app,
    "generate",
    examples=("ledger keys generate /etc/ledger/signing.key",),
    needs_arguments=True,
)
async def generate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written; a new file.")],
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Make a key: the private part goes to FILE, for its owner alone, the public one is printed.

    A leader is given it with LEDGER_SIGNING_KEY_FILE, an agent with LEDGER_AGENT_KEY_FILE. Each
    gets its own, made where it is used; no ledger is asked.
    """
    from ledger.signing.key_files import generate as new_key
    from ledger.signing.key_files import write

    key = new_key()
    write(key, file)
    Output(output).record(
        "keys.generate",
        {"key": key.id, "public_key": key.public_key, "file": str(file)},
        f"key {key.id} is in {file}, for its owner alone\npublic key: {key.public_key}\n"
        f"for a leader: LEDGER_SIGNING_KEY_FILE={file}, and at its agents "
        f"LEDGER_AGENT_TRUST=<ledger id>:{key.public_key}\n"
        f"for an agent: LEDGER_AGENT_KEY_FILE={file}, and "
        f"`ledger keys register {key.public_key} --agent NAME --pool POOL`",
    )


@command(
    keys_app,
    "register",
    examples=(f"ledger keys register {PUBLIC} --agent eu-1 --pool eu",),
    needs_arguments=True,
)
async def register_key(
    ctx: typer.Context,
    public_key: PublicKeyArgument,
    why: ReasonOptions,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Whose key it is.")],
    pool: Annotated[
        str, typer.Option("--pool", metavar="POOL", help="For whose databases it may report.")
    ],
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let an agent's key sign what agents of a pool report.

    From a pool's first key on, nothing is believed of it that none of its keys signed.
    """
    async with opened(ctx) as session:
        keys = session.ledger.keys
        await keys.check_register(public_key, agent, pool)
        what = f"believe what the key of agent {agent} signs of pool {pool}, and nothing unsigned"
        confirm(session.ledger.name, [what], yes=yes)
        key = await keys.register(public_key, agent, pool, why.asked())
    _done(output, "keys.register", key, f"is registered for pool {pool}")


@command(
    keys_app,
    "rotate",
    examples=(f"ledger keys rotate 39f713d0 {PUBLIC} --reason 'yearly'",),
    needs_arguments=True,
)
async def rotate(
    ctx: typer.Context,
    key: KeyArgument,
    public_key: PublicKeyArgument,
    why: ReasonOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Register another key for the same agent and pools; both are valid until one is revoked.

    Give the agent its new file, see that it works, then `ledger keys revoke` the old key.
    """
    async with opened(ctx) as session:
        keys = session.ledger.keys
        await keys.check_rotate(key, public_key)
        old = await keys.find(key)
        what = f"let another key sign beside {old.key}, of agent {old.agent}"
        confirm(session.ledger.name, [what], yes=yes)
        new = await keys.rotate(key, public_key, why.asked())
    what = f"is valid beside {old.key}; `ledger keys revoke {old.key[:8]}` when it is in use"
    _done(output, "keys.rotate", new, what)


@command(
    keys_app,
    "revoke",
    examples=("ledger keys revoke 39f713d0 --reason 'its host was stolen'",),
    needs_arguments=True,
)
async def revoke(
    ctx: typer.Context,
    key: KeyArgument,
    why: ReasonOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let a key sign nothing any more, for good.

    What it signed and is in the log already stays; what comes later is not believed.
    """
    async with opened(ctx) as session:
        keys = session.ledger.keys
        await keys.check_revoke(key, why.asked())
        known = await keys.find(key)
        what = f"believe nothing more that the key {known.key} of agent {known.agent} signs"
        confirm(session.ledger.name, [what], yes=yes)
        await keys.revoke(key, why.asked())
    _done(output, "keys.revoke", known, "is revoked")


@command(keys_app, "list", examples=("ledger keys list", "ledger keys list -o json"))
async def list_(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the keys: that of who led last, as agents are to trust it, and those that may report."""
    from ledger.cli.app.output import say
    from ledger.contracts.public_keys import key_bytes, key_id

    async with opened(ctx) as session:
        ledger, leaders = await session.ledger.keys.leaders()
        ring = await session.ledger.keys.ring()
    rows = [_row(one) for one in ring.keys.values()]
    if leaders is not None:
        own = {"key": key_id(key_bytes(leaders)), "for": "orders", "public_key": leaders}
        rows.insert(0, {**_EMPTY, **own, "status": "signs", "trust": f"{ledger}:{leaders}"})
        say(f"LEDGER_AGENT_TRUST={ledger}:{leaders}")
    else:
        say("who led last signed no orders; see `ledger keys generate`")
    Output(output).rows(
        "keys.list",
        rows,
        COLUMNS,
        empty="No key is registered; `ledger keys register` does that.",
        ledger=str(ledger),
    )


_EMPTY: dict[str, object] = {"agent": None, "pools": [], "replaces": None, "trust": None}


def _row(key: AgentKey) -> dict[str, object]:
    return {
        **_EMPTY,
        "key": key.key,
        "for": "reports",
        "agent": key.agent,
        "pools": list(key.pools),
        "status": "valid" if key.valid else "revoked",
        "public_key": key.public_key,
        "replaces": key.replaces,
        "registered_position": key.registered_position,
        "revoked_position": key.revoked_position,
    }


def _done(output: OutputFormat, kind: str, key: AgentKey, what: str) -> None:
    fields = {"key": key.key, "agent": key.agent, "pools": list(key.pools)}
    Output(output).record(kind, fields, f"key {key.key} of agent {key.agent} {what}")
