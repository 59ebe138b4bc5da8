"""How the help page of a command looks: options under headings, limits and types in words.

    heading                  its options say
    WHICH_DATABASES          where it happens
    WHICH_MIGRATIONS         what is read, and in which format
    HOW_FAR                  how far and how fast it goes, and what stops it
    TIMEOUTS                 how long anything may take; all in seconds
    RECORD                   what is kept of it beside what it did
    OUTPUT                   whether it asks, stays, and how it shows what it found

A command with few options has one list and no headings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from typer.core import TyperGroup

from ledger.command_line import Spoken

WHICH_DATABASES: Final = "Which databases"
WHICH_MIGRATIONS: Final = "Which migrations"
HOW_FAR: Final = "How far and how fast"
TIMEOUTS: Final = "Timeouts"
RECORD: Final = "Record"
OUTPUT: Final = "Output"

HISTORY: Final = "The other tool's history"
CONNECTION: Final = "How it is reached"
WRITTEN: Final = "What is written"
RECIPE: Final = "A recipe"
WHICH_EVENTS: Final = "Which events"

ORDER: Final = (WHICH_DATABASES, WHICH_MIGRATIONS, HOW_FAR, TIMEOUTS, RECORD, OUTPUT)
"""From where to how it is shown; a heading of one command's own comes before all of them."""
FEW: Final = 8
"""So many options are read at a glance."""
SECONDS: Final = "SECONDS"
LAST_POSITION: Final = 2**63 - 1
"""The last position that a log can have; no help needs to say so."""
_DAY_S: Final = 86_400.0
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")


class Arranged:
    """Mixed into a command or a group of commands of typer: its page is arranged."""

    params: list[Any]

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.params = arrange(self.params)

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters; typer adds some of its own later, which are to be read by people too."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in parameters:
            if one.param_type_name != "argument":
                _say_type(one)
        return parameters

    def get_help_option(self, ctx: Any) -> Any:
        """`--help`, under the heading where the page has such things."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            headings = [one.rich_help_panel for one in self.params]
            option.rich_help_panel = OUTPUT if any(headings) else None
        return option


class CommandGroup(Spoken, Arranged, TyperGroup):
    """A noun with its commands."""


def arrange(parameters: Sequence[Any]) -> list[Any]:
    """The parameters of a command in the order of its page, each changed to be read by people.

    Arguments keep their places, before all options. Under each heading what has a short name comes
    first, for it is used most.
    """
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    options = [one for one in parameters if one.param_type_name != "argument"]
    for one in parameters:
        _say_limits(one)
    for argument in arguments:
        # The usage line adds brackets and dots of its own.
        name = argument.display_name_raw.removesuffix("...")
        whole = _BRACKETS.fullmatch(name)
        argument.metavar = whole[1] if whole else name
    for option in options:
        _say_type(option)
    if sum(not option.hidden for option in options) <= FEW:
        for option in options:
            option.rich_help_panel = None
        return [*arguments, *options]
    return [*arguments, *sorted(options, key=_place)]


def limits_in_words(low: float | None, high: float | None, *, seconds: bool = False) -> str:
    """What a number may be: `1 or more`, `1 to 65,535`, `up to 24 days`; empty if it may be any.

    That nothing is below zero goes without saying.
    """
    least = f"{low:,.15g}" if low else ""
    if high is None or high == LAST_POSITION:
        return f"{least} or more" if least else ""
    most = f"{high:,.15g}"
    if seconds and not least and high % _DAY_S == 0:
        most = f"{high / _DAY_S:,.15g} days"
    return f"{least} to {most}" if least else f"up to {most}"


def _place(option: Any) -> tuple[int, bool]:
    heading = option.rich_help_panel
    short = any(len(name) == len("-x") for name in option.opts)
    return ORDER.index(heading) if heading in ORDER else -1, not short


def _say_limits(parameter: Any) -> None:
    """Limits as words at the end of the help text, in place of `[0.0<=x<=2073600.0]`."""
    seconds = parameter.metavar == SECONDS
    limits = limits_in_words(parameter.min, parameter.max, seconds=seconds)
    # These two are for show alone: values are checked by what typer keeps of the annotation.
    parameter.min = parameter.max = None
    if limits:
        parameter.help = f"{parameter.help.removesuffix('.')} ({limits})."


def _say_type(option: Any) -> None:
    """No type for a flag; a name for a value, in place of `<str>`."""
    if option.metavar is None and option.is_flag:
        option.metavar = ""
    elif option.metavar is None and not option.type_descriptor.is_choice:
        option.metavar = max(option.opts, key=len).strip("-").upper()
