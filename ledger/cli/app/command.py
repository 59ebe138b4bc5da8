"""Runs a command: event loop, signals, root span, and one sentence for whatever goes wrong.

Commands are written as coroutines and registered through `command`, never on a typer application
directly: typer would call a coroutine function, throw its coroutine away and exit with 0.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ledger.cli.app.argument_check import Checked, exclusion
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.flags import Flags
from ledger.cli.app.help_page import Arranged
from ledger.cli.app.option_groups import flattened, gathered
from ledger.cli.app.output import QUIET, OutputFormat, say, tell_error
from ledger.stopper import Stopper
from migrations.clock import SYSTEM_CLOCK
from migrations.gc_tuning import settle_memory
from migrations.log_lines import PrintableFormatter

if TYPE_CHECKING:
    from ledger.runtime import Ledger
    from ledger.settings import LoadedSettings, Settings

FORMER_OPTIONS = {"--dialect": "--format"}
"""Names that options had; they still work, and no help shows them."""


def _behind(name: str, *names: str) -> inspect.Parameter:
    """An option that stands before the command, to be said behind it, too; its help is there."""
    option = Annotated[bool, typer.Option(*names, hidden=True, help="As before the command.")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)


QUIETLY = _behind("quietly", "--quiet", "-q")
VERBOSELY = _behind("verbosely", "--verbose", "-v")
CommandFunction = Callable[..., Coroutine[Any, Any, ExitCode | None]]


@dataclass(frozen=True, slots=True)
class Session:
    """An open ledger and the settings it was opened with."""

    ledger: Ledger
    settings: Settings


class LedgerCommand(Checked, Arranged, TyperCommand):
    """A command whose page is arranged, that looks at what is typed behind it, and understands the
    former names of its options.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, with what had another name under its name of today."""
        return super().parse_args(ctx, [_name_of_today(argument) for argument in args])


def _name_of_today(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return FORMER_OPTIONS.get(name, name) + equals + value


async def tell_behind(session: Session) -> None:
    """Say how far what is shown is behind the log, where nobody leads who would project it."""
    from ledger.domain.wording import number_of

    lag = await session.ledger.status.lag()
    if lag is not None:
        leader = lag.leader
        why = f"{leader.name} leads and {leader.silence}" if leader else "nobody leads"
        say(
            f"What is shown is {number_of(lag.events, 'event')} behind the log: {why}, and "
            "this role may not bring it up to date."
        )


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Sequence[str] = (),
    panel: str | None = None,
    needs_arguments: bool = False,
    traced: bool = True,
) -> Callable[[CommandFunction], CommandFunction]:
    """Register a coroutine function as the command `name` of `app`.

    `examples` end its help text, `panel` is its heading in the list of commands; with
    `needs_arguments`, no arguments show the help. What runs for days is not `traced` as one span.
    """

    def register(function: CommandFunction) -> CommandFunction:
        app.command(
            name,
            cls=LedgerCommand,
            help=_help(function),
            epilog=_examples(examples),
            rich_help_panel=panel,
            no_args_is_help=needs_arguments,
        )(_runnable(function, traced))
        return function

    return register


@asynccontextmanager
async def opened(ctx: typer.Context) -> AsyncIterator[Session]:
    """The ledger that the settings name, open until the block ends.

    Raises `LedgerError` subclasses when there is none, or it is not one this program can use.
    """
    from ledger.runtime import open_ledger
    from ledger.sampling import call_slow

    flags = flags_of(ctx)
    loaded = flags.load()
    settings = loaded.settings
    call_slow(settings.monitoring.slow_trace_s)
    if flags.verbose:
        _say_which(loaded)
    async with open_ledger(settings) as ledger:
        yield Session(ledger, settings)


def _say_which(loaded: LoadedSettings) -> None:
    """Which ledger is meant, and who says so."""
    for one in loaded.origins:
        if one.setting in ("name", "database_url", "kafka.bootstrap") and one.value is not None:
            say(f"{one.setting} is {one.value}, from {one.origin}")


def flags_of(ctx: typer.Context) -> Flags:
    """What stood before the command."""
    return ctx.obj if isinstance(ctx.obj, Flags) else Flags()


def _examples(examples: Sequence[str]) -> str | None:
    lines = ["Examples:", *(f"  {example}".rstrip() for example in examples)]
    return "\n".join(lines).replace("[", r"\[") if examples else None


def _help(function: CommandFunction) -> str:
    """The docstring with each paragraph on one line: the terminal decides where lines end."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("[", r"\[")


def _runnable(function: CommandFunction, traced: bool) -> Callable[..., None]:
    """`function` as typer can call it: it never raises anything but `typer.Exit`."""

    @functools.wraps(function)
    def run(**given: Any) -> None:
        before = flags_of(given["ctx"])
        quiet, verbose = given.pop(QUIETLY.name), given.pop(VERBOSELY.name)
        flags = replace(before, quiet=before.quiet or quiet, verbose=before.verbose or verbose)
        if flags.quiet and flags.verbose:
            # One of them before the command, one behind it.
            given["ctx"].fail(exclusion("--quiet", "--verbose"))
        given["ctx"].obj = flags
        asked = given.get("output", OutputFormat.TABLE)
        # A form that only one command has is for programs that read no errors of ours.
        form = OutputFormat(asked) if asked in list(OutputFormat) else OutputFormat.TABLE
        silence = QUIET.set(flags.quiet)
        try:
            code = _guarded(lambda: _in_loop(function, given, traced), flags.debug, form)
        finally:
            QUIET.reset(silence)
        raise typer.Exit(code)

    known = flattened(function)
    parameters = [*known.parameters.values(), QUIETLY, VERBOSELY]
    run.__signature__ = known.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _in_loop(function: CommandFunction, given: dict[str, Any], traced: bool) -> ExitCode:
    """Run the coroutine to its end, inside the root span of everything that it causes."""
    from ledger.exporters import configure
    from ledger.telemetry import SERVICE, command_span, set_log_levels

    settle_memory()
    verbose, began = flags_of(given["ctx"]).verbose, SYSTEM_CLOCK.monotonic()
    set_log_levels(logging.INFO if verbose else logging.WARNING)
    if verbose:
        logged = logging.StreamHandler(sys.stderr)
        logged.setFormatter(PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[logged])
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter())
        logging.lastResort.addFilter(_is_news)
    close = configure(SERVICE, metadata.version("migration-ledger"))
    span = command_span(_canonical(given["ctx"].command_path)) if traced else nullcontext()
    try:
        with asyncio.Runner() as runner:
            code = runner.run(_stoppable(function(**gathered(function, given)), span))
    finally:
        close()
        if verbose:
            say(f"took {SYSTEM_CLOCK.monotonic() - began:.1f} s")
    return ExitCode.OK if code is None else code


def _is_news(record: logging.LogRecord) -> bool:
    """What attempts came to is told by whoever watches their rollout; only logs have both."""
    return record.name != "agents.reporter"


def _canonical(path: str) -> str:
    """A command as everybody calls it, by whichever of our names it was started."""
    return " ".join(["ledger", *path.split()[1:]])


async def _stoppable(
    coroutine: Coroutine[Any, Any, ExitCode | None], span: AbstractContextManager[object]
) -> ExitCode | None:
    """Let SIGTERM, and a terminal that is closed, do what Ctrl-C does: cancel, clean up, end."""
    with Stopper(signals=(signal.SIGTERM, signal.SIGHUP)), span:
        return await coroutine


def _guarded(work: Callable[[], ExitCode], debug: bool, form: OutputFormat) -> ExitCode:
    """What `work` returns, or the code of what it raised, after saying so."""
    try:
        return work()
    except typer.Exit as end:
        return ExitCode(end.exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        if form is OutputFormat.TABLE:
            say("interrupted")
        else:
            tell_error("interrupted", ExitCode.INTERRUPTED, form)
        return ExitCode.INTERRUPTED
    except Exception as error:
        if debug:
            say("".join(traceback.format_exception(error)))
        from ledger.cli.app.explain_error import explain

        explanation = explain(error)
        tell_error(explanation.text, explanation.code, form)
        return explanation.code
