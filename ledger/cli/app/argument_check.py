"""What may stand on a command line, for every command alike; asked before the command is there.

    said          a value that is given says something; a variable that nobody set does not
    once          an option that takes one value stands there once
    apart         of options that exclude one another only one
    together      an option that does nothing by itself, with the one that it belongs to
    in range      a number is one that what is behind it can hold
    harmless      nothing that would deceive whoever reads it in the record

What is refused is named, with what to do. Nothing of a command has run by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import typer

from ledger.cli.app.help_page import limits_in_words
from ledger.command_line import SHOWN_CHARS, Spoken
from ledger.errors import WrongArgument
from migrations.model.migration import COUNT_MAX, WAIT_MAX_S
from migrations.printable import PROBLEM, escaped, is_safe

APART: Final = (
    ("--down", "--to"),
    ("--down", "--phase"),
    ("--down", "--allow-out-of-order"),
    ("--bundle", "--folder"),
    ("--bundle", "--format"),
    ("--bundle", "--var"),
    ("--bundle", "--allow-psql"),
    ("--no-wait", "--timeout"),
    ("--all", "--failed"),
    ("--all", "--problems"),
    ("--all", "--behind"),
    ("--all", "--since"),
    ("--all", "--sql"),
    ("--behind", "--problems"),
    ("--accept-changed", "--gone"),
    ("--follow", "--until"),
    ("--follow", "--before"),
    ("--quiet", "--verbose"),
)
"""Options of which one would win over the other in silence, wherever a command has both."""
TOGETHER: Final = (("--every", "--watch"), ("--allow-shell", "--allow-code"))
"""Options that do nothing without the one behind them."""


class Checked(Spoken):
    """Mixed into a command or a group of typer: what is typed behind it is looked at first."""

    params: list[Any]

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        for one in self.params:
            _bound(one)

    def look_at(self, ctx: Any, args: Sequence[str]) -> None:
        """Refuse arguments that cannot be meant. Raises `typer.BadParameter`."""
        super().look_at(ctx, args)
        parser: Any = self.make_parser(ctx)  # type: ignore[attr-defined]
        given, rest, order = parser.parse_args(args=list(args))
        if any(one.is_eager for one in order):
            return
        # What is behind a group's own options is looked at by the command that gets it.
        _refuse_unsafe(args[: -len(rest)] if rest and rest == args[-len(rest) :] else args)
        for one in self.params:
            _refuse_empty(ctx, one, given.get(one.name))
        written = {_written(one, given) for one in order}
        wrong = _twice(order, args) or _together(written, self.params)
        if wrong:
            ctx.fail(wrong)

    def reworded(self, wrong: typer.BadParameter) -> str:
        """What is wrong with a value; typer says what pydantic says."""
        return _in_words(wrong)


def refuse_beside(ctx: typer.Context, what: str, *options: str) -> None:
    """Refuse options that `what` would drop in silence. Raises `WrongArgument`."""
    for one in _said(ctx, options):
        raise WrongArgument(f"{what} goes without {one}; leave one of them out")


def refuse_without(ctx: typer.Context, needed: str, *options: str) -> None:
    """Refuse options that do nothing in this command without another. Raises `WrongArgument`."""
    for one in _said(ctx, options):
        raise WrongArgument(_needs(one, needed))


def is_said(ctx: typer.Context, option: str) -> bool:
    """Whether an option, by its long name, stands on the line."""
    return any(_said(ctx, [option]))


def _said(ctx: typer.Context, options: Sequence[str]) -> Iterator[str]:
    for one in ctx.command.params:
        source = ctx.get_parameter_source(one.name or "")
        if source and source.name == "COMMANDLINE" and _name(one) in options:
            yield _name(one)


def _needs(needy: str, needed: str) -> str:
    return f"{needy} does nothing without {needed}; say both, or neither"


def exclusion(first: str, second: str) -> str:
    """What is said of two options of which one would win in silence."""
    return f"{first} and {second} exclude one another; say one of them"


def _bound(parameter: Any) -> None:
    """Give a number that names no limit that of what is behind it."""
    annotation = parameter.type_descriptor.annotation
    kinds, kept = {annotation, *get_args(annotation)}, parameter.type_descriptor.parameter_info
    if kept.max is None and int in kinds:
        kept.max = COUNT_MAX
    elif kept.max is None and float in kinds:
        kept.max = WAIT_MAX_S


def _refuse_unsafe(args: Sequence[str]) -> None:
    """Refuse what could deceive whoever reads it in the record; it is not repeated."""
    for before, argument in zip(["", *args], args, strict=False):
        option = argument if argument.startswith("--") else before
        name = option.partition("=")[0]
        # A variable's value is a part of SQL, where lines are harmless.
        if not is_safe(argument, lines=name == "--var"):
            what = escaped(name) if name.startswith("-") else "an argument"
            raise typer.BadParameter(f"{what} {PROBLEM}; write it without them")


def _refuse_empty(ctx: Any, parameter: Any, said: Any) -> None:
    texts = said if isinstance(said, list | tuple) else [said]
    if not any(isinstance(text, str) and not text.strip() for text in texts):
        return
    what, way = "it is empty", "say what is meant"
    if _name(parameter) == "--select":
        what = "the selection is empty"
        way = (
            "write which databases are meant, for example `tier=gold`, or leave the option out "
            "for the whole fleet"
        )
    else:
        way += "" if parameter.required else ", or leave it out"
        way += f": {parameter.help.removesuffix('.')}" if parameter.help else ""
    raise typer.BadParameter(
        f"{what}, as from a variable that is not set; {way}", ctx=ctx, param=parameter
    )


def _twice(order: Sequence[Any], args: Sequence[str]) -> str:
    """What is wrong with an option that stands there twice: only the last would count."""
    for one in order:
        if one.param_type_name != "option" or one.multiple or order.count(one) == 1:
            continue
        if not one.is_flag:
            join = "; join what you want with commas" if _name(one) == "--select" else ""
            return f"{_name(one)} is there twice, and only the last would count; say it once{join}"
        if any(name in args for name in one.secondary_opts):
            return exclusion(_name(one), one.secondary_opts[0])
    return ""


def _together(written: set[str], parameters: Sequence[Any]) -> str:
    """What is wrong with these options beside each other."""
    for first, second in APART:
        if {first, second} <= written:
            return exclusion(first, second)
    known = {_name(one) for one in parameters}
    for needy, needed in TOGETHER:
        if needy in written and needed in known - written:
            return _needs(needy, needed)
    return ""


def _written(one: Any, given: Mapping[str, Any]) -> str:
    """What stands on the line; `--no-wait` where that is what was said."""
    if one.param_type_name == "option" and one.secondary_opts and given.get(one.name) is False:
        return str(one.secondary_opts[0])
    return _name(one)


def _name(one: Any) -> str:
    """An option by its long name, an argument as its help calls it."""
    if one.param_type_name == "option":
        return str(max(one.opts, key=len))
    return str(one.display_name_raw).strip("[].")


def _in_words(wrong: typer.BadParameter) -> str:
    """What is wrong with a value, which is named; typer says what pydantic says."""
    problems = getattr(wrong.__cause__, "errors", None)
    if problems is None:
        return wrong.message
    problem = problems(include_url=False)[0]
    value, limits = str(problem["input"]), problem.get("ctx", {})
    if value.strip("+-").lower() == "nan":
        return f"{value!r} is no number"
    match problem["type"]:
        case "int_parsing" | "int_from_float":
            said = "is no whole number"
        case "float_parsing" | "finite_number":
            said = "is no number"
        case "greater_than_equal":
            said = f"is too small, it can be {limits_in_words(limits['ge'], None) or '0 or more'}"
        case "less_than_equal":
            said = f"is too large, it can be at most {_number(limits['le'])}"
        case "int_parsing_size":
            said = f"is too large, it can be at most {_number(COUNT_MAX)}"
        case "uuid_parsing":
            said = "is no id; write it as `ledger status` shows it"
        case "value_error":
            # Our own words, and typer's, which name the value and what can stand in its place.
            return wrong.message.removeprefix("Value error, ")
        case _:
            said = "does not fit"
    shown = escaped(value) if len(value) <= SHOWN_CHARS else f"{escaped(value[:SHOWN_CHARS])}…"
    return f"{shown!r} {said}"


def _number(limit: float) -> str:
    """In digits; a day and more, in seconds, as days, too."""
    days, rest = divmod(limit, 86_400)
    is_time = not isinstance(limit, int) and days > 1 and not rest
    digits = f"{int(limit):,}" if limit == int(limit) else f"{limit:,.10g}"
    return digits + (f" ({days:.0f} days)" if is_time else "")
