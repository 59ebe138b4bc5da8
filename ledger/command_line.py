"""What is no command line, in one sentence of ours that says what to type in its place.

    typer raises        told is
    no such option      where it stands, the one most like it, or the page that has all
    a word too many     what the command takes, and how databases are said where they can be
    a word missing      what it is, and an example of the command
    no such command     the one most like it, here or of another noun
    a wrong value       what is wrong, and the values that there are, or the page

Both programs read their lines with it. Groups and commands mix in `Spoken`, so that every way to a
command says the same; the program itself is a `SpokenProgram`, which writes the sentence.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperGroup

from migrations.likeness import nearest
from migrations.printable import escaped

USAGE: Final = 2
INTERRUPTED: Final = 130
SHOWN_CHARS: Final = 60
"""So much of what was typed is repeated."""
LIKE: Final = 0.6
"""Names of options are short and alike, so that only near ones are offered."""
ELSEWHERE: Final = {"migrate": "up", "apply": "up", "redo": "down", "new": "create"}
"""What other tools call what we have."""
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*")
_CHOICE: Final = re.compile(r"'(?P<value>[^']*)' is not one of (?P<choices>'.+')")
_MISSING: Final = "MissingParameter"
_HELP: Final = "NoArgsIsHelpError"


class WrongLine(typer.BadParameter):
    """What was typed is no command line; the message is a whole sentence."""

    def format_message(self) -> str:
        """The sentence."""
        return self.message


class Spoken:
    """Mixed into a command or a group of typer: what it cannot read is told in our words."""

    params: list[Any]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. Raises `WrongLine`."""
        line = list(args)
        try:
            if line and not ctx.resilient_parsing:
                self.look_at(ctx, line)
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.TyperException as wrong:
            if type(wrong).__name__ == _HELP:
                raise
            if isinstance(wrong, typer.BadParameter):
                wrong.message = self.reworded(wrong)
            raise in_our_words(wrong, ctx, line) from wrong
        return parsed

    def look_at(self, ctx: Any, args: Sequence[str]) -> None:
        """Refuse what cannot be meant before values are looked at. Raises `WrongLine`."""
        parser = self.make_parser(ctx)  # type: ignore[attr-defined]
        _, rest, order = parser.parse_args(args=list(args))
        if any(one.is_eager for one in order):
            return
        if _is_group(ctx.command) and not rest:
            raise WrongLine(f"no command is there; say which, see {_page(ctx)}", ctx)
        if rest and not _is_group(ctx.command):
            raise WrongLine(_surplus(ctx, rest, args), ctx)

    def reworded(self, wrong: typer.BadParameter) -> str:
        """What is wrong with a value, which is named beside it."""
        return wrong.message

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that a group was given. Raises `WrongLine` where it has none called so."""
        group: Any = self
        if not ctx.resilient_parsing and group.get_command(ctx, args[0]) is None:
            raise WrongLine(_no_command(ctx, args), ctx)
        return super().resolve_command(ctx, args)  # type: ignore[misc]


class SpokenProgram(Spoken):
    """Mixed into the group that is a program: it ends with the sentence, and no usage line."""

    program: ClassVar[str]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that the line names; ends the process unless `standalone_mode` is off."""
        group: Any = super()
        try:
            code = group.main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as wrong:
            if not standalone_mode:
                raise
            code = self._told(wrong, list(sys.argv[1:] if args is None else args))
        except typer.Abort:
            if not standalone_mode:
                raise
            code = INTERRUPTED
            self.tell("interrupted", code, [])
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def _told(self, wrong: Any, line: list[str]) -> int:
        if type(wrong).__name__ == _HELP:
            wrong.show()
        else:
            told = in_our_words(wrong, getattr(wrong, "ctx", None), line)
            self.tell(told.message, USAGE, line)
        return USAGE

    def tell(self, text: str, code: int, line: Sequence[str]) -> None:
        """Say on stderr what is wrong with a `line`, which ends with this code."""
        typer.echo(f"{self.program}: {text}", err=True)


def in_our_words(wrong: Any, ctx: Any, args: Sequence[str]) -> WrongLine:
    """What typer found to be wrong with the arguments of a command, as a sentence."""
    if isinstance(wrong, WrongLine):
        return wrong
    if ctx is None:
        return WrongLine(" ".join(wrong.format_message().split()))
    name = getattr(wrong, "option_name", None)
    if hasattr(wrong, "possibilities"):
        text = _no_option(str(name), ctx, args)
    elif name is not None:
        text = _misused(str(name), ctx)
    elif type(wrong).__name__ == _MISSING:
        text = _missing(wrong.param, ctx)
    else:
        text = _wrong_value(" ".join(wrong.format_message().split()), ctx)
    return WrongLine(text, ctx)


def _no_option(name: str, ctx: Any, args: Sequence[str]) -> str:
    known = dict(_options(ctx.command))
    if (dashed := _with_one_dash(ctx, args)) is not None:
        return dashed
    what = f"{_path(ctx)} has no option {_short(name)}"
    if (behind := _behind(name, ctx, args)) is not None:
        return f"{what}; write it behind `{behind}`"
    root = ctx.find_root()
    if ctx is not root and name in dict(_options(root.command)):
        return f"{what}; write it before the command, behind `{root.info_name}`"
    like = _like(name, known)
    return f"{what}; {f'write {like}, or ' if like else ''}see {_page(ctx)}"


def _with_one_dash(ctx: Any, args: Sequence[str]) -> str | None:
    """What is said of `-folder`, as other programs take it: here it is many short options."""
    known = dict(_options(ctx.command))
    for word in (one.partition("=")[0] for one in args):
        if not word.startswith("--") and len(word) > len("-x") and f"-{word}" in known:
            return f"{_path(ctx)} has no option {word}; write -{word}, with two dashes"
    return None


def _behind(name: str, ctx: Any, args: Sequence[str]) -> str | None:
    """The command on the line that has the option which stands before it."""
    here, path = ctx.command, [*ctx.command_path.split()]
    for word in args:
        found = here.get_command(ctx, word) if _is_group(here) else None
        if found is not None:
            here = found
            path.append(word)
    is_deeper = here is not ctx.command and not _is_group(here)
    return " ".join(path) if is_deeper and name in dict(_options(here)) else None


def _misused(name: str, ctx: Any) -> str:
    option = dict(_options(ctx.command, hidden=True)).get(name)
    if option is not None and option.is_flag:
        return f"{_short(name)} takes no value; write it alone, or see {_page(ctx)}"
    value = getattr(option, "metavar", None) or _choices(option) or name.strip("-").upper()
    return f"{_short(name)} needs a value; write `{_short(name)} {value}`, or see {_page(ctx)}"


def _choices(option: Any) -> str:
    choices = getattr(getattr(option, "type_descriptor", None), "choices", None) or ()
    return "|".join(str(getattr(one, "value", one)) for one in choices)


def _surplus(ctx: Any, rest: Sequence[str], args: Sequence[str]) -> str:
    if (dashed := _with_one_dash(ctx, args)) is not None:
        return dashed
    takes = [_argument(one) for one in ctx.command.params if one.param_type_name == "argument"]
    many = len(rest) > 1
    surplus = "are surplus" if many else "is surplus"
    words = ", ".join(f"'{_short(word)}'" for word in rest[:3]) + (" …" if len(rest) > 3 else "")
    what = f"takes only {' and '.join(takes)}" if takes else "takes no argument"
    text = f"{_path(ctx)} {what}, so {words} {surplus}; leave {'them' if many else 'it'} out, "
    if "--select" in dict(_options(ctx.command)) and all(map(_ID.fullmatch, rest[:3])):
        ids = f"id={rest[0]}" if not many else f"'id in ({','.join(rest)})'"
        return f"{text}say which databases with `-s {escaped(ids)}`, or see {_page(ctx)}"
    return f"{text}or see {_page(ctx)}"


def _missing(parameter: Any, ctx: Any) -> str:
    is_option = parameter.param_type_name == "option"
    name = max(parameter.opts, key=len) if is_option else _argument(parameter)
    help_text = (parameter.help or "").strip().removesuffix(".")
    meaning = f", {help_text[:1].lower()}{help_text[1:]}" if help_text else ""
    example = next(_examples(ctx), None)
    shown = f"write, for example, `{example}`, or see" if example else "see"
    return f"{_path(ctx)} lacks {name}{meaning}; {shown} {_page(ctx)}"


def _examples(ctx: Any) -> Iterator[str]:
    """What the page of a command shows as examples of it."""
    for line in (ctx.command.epilog or "").replace(r"\[", "[").splitlines():
        text = line.strip().partition("  #")[0].rstrip()
        if text.startswith(ctx.command_path + " ") and len(text) <= SHOWN_CHARS:
            yield text


def _no_command(ctx: Any, args: Sequence[str]) -> str:
    word, group = args[0], ctx.command
    names = [one for one in group.list_commands(ctx) if not group.get_command(ctx, one).hidden]
    what = f"{_path(ctx)} has no command '{_short(word)}'"
    root = ctx.find_root()
    meant = ELSEWHERE.get(word) if ctx is root else None
    found = f"{ctx.command_path} {meant}" if meant in names else None
    found = found or next(_of_other_nouns(word, root), None)
    if found is None and (like := nearest(word, names)) is not None:
        found = f"{ctx.command_path} {like}"
    return f"{what}; {f'write `{found}`, or ' if found else ''}see {_page(ctx)}"


def _of_other_nouns(word: str, root: Any) -> Iterator[str]:
    """Commands called so anywhere: `rollback` is one of rollouts."""
    for name in root.command.list_commands(root):
        command = root.command.get_command(root, name)
        if name == word:
            yield f"{root.info_name} {name}"
        if _is_group(command) and word in command.list_commands(root):
            yield f"{root.info_name} {name} {word}"


def _wrong_value(message: str, ctx: Any) -> str:
    message = message.removesuffix(".")
    if found := _CHOICE.search(message):
        choices = [one.strip().strip("'") for one in found["choices"].split(",")]
        like = nearest(found["value"], choices, LIKE)
        return f"{message}; write {like}" if like else f"{message}; write one of these"
    return message if ";" in message else f"{message}; see {_page(ctx)}"


def _options(command: Any, *, hidden: bool = False) -> Iterator[tuple[str, Any]]:
    """The options of a command by each of their names."""
    for one in command.params:
        if one.param_type_name == "option" and (hidden or not one.hidden):
            for name in (*one.opts, *one.secondary_opts):
                yield name, one
    yield "--help", None


def _like(name: str, known: Sequence[str] | dict[str, Any]) -> str | None:
    """The one that a name begins, or is most like."""
    long = [one for one in known if one.startswith("--")]
    begun = [one for one in long if len(name) >= len("--abc") and one.startswith(name)]
    return begun[0] if len(begun) == 1 else nearest(name, long, LIKE)


def _argument(parameter: Any) -> str:
    return str(parameter.display_name_raw).strip("[].")


def _is_group(command: Any) -> bool:
    return isinstance(command, TyperGroup)


def _path(ctx: Any) -> str:
    return f"`{ctx.command_path}`"


def _page(ctx: Any) -> str:
    return f"`{ctx.command_path} --help`"


def _short(text: str) -> str:
    shown = escaped(text)
    return shown if len(shown) <= SHOWN_CHARS else f"{shown[:SHOWN_CHARS]}…"
