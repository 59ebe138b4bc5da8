"""Options that belong together, declared once as a frozen dataclass and used by several commands.

A command takes a group as one parameter; typer sees the group's fields as options of the command:

    @dataclass(frozen=True, slots=True)
    class Why(OptionGroup):
        HEADING: ClassVar = RECORD
        reason: Annotated[str | None, typer.Option("--reason")] = None

    async def suspend(ctx: typer.Context, database: str, why: Why) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, ClassVar, get_args, get_type_hints


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """Marks a dataclass whose fields are options; every field but required ones has a default.

    `HEADING` is where they stand on a help page, unless an option says so itself.
    """

    HEADING: ClassVar[str | None] = None


def flattened(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of `function` with every group replaced by its fields, all keyword-only."""
    plain: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        group = _group(parameter.annotation)
        if group is None:
            plain.append(parameter.replace(name=name, kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            plain += _parameters(group)
    return inspect.Signature(plain)


def gathered(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `function`, made of the flat ones that typer gives."""
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        group = _group(parameter.annotation)
        if group is None:
            arguments[name] = given[name]
        else:
            arguments[name] = group(**{field.name: given[field.name] for field in fields(group)})
    return arguments


def _group(annotation: Any) -> type[OptionGroup] | None:
    is_group = isinstance(annotation, type) and issubclass(annotation, OptionGroup)
    return annotation if is_group else None


def _parameters(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_under(group.HEADING, hints[field.name]),
        )
        for field in fields(group)
    ]


def _under(heading: str | None, annotation: Any) -> Any:
    """The annotation of an option with a heading, in place of none."""
    value, option = get_args(annotation)
    if option.rich_help_panel is None:
        # A copy, for several groups may share the declaration of an option.
        option = copy(option)
        option.rich_help_panel = heading
    return Annotated[value, option]
