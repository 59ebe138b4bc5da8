"""What holds for every command of the program."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ledger.cli.app.exits import MEANINGS, ExitCode
from ledger.cli.app.lazy import ROOMS, room_commands
from ledger.cli.app.main import app

HEAVY = (
    "asyncpg",
    "pydantic",
    "aiokafka",
    "opentelemetry",
    "postgast",
    "yaml",
)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield " ".join((*path, name)), one


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_the_ones_that_the_documentation_lists() -> None:
    assert sorted(COMMANDS) == sorted(
        [
            "init", "upgrade", "serve", "dev", "version", "config show", "check", "db check",
            "keys generate", "keys register", "keys rotate", "keys revoke", "keys list",
            "fleet add", "fleet import", "fleet diff", "fleet apply", "fleet show",
            "fleet list", "fleet label", "fleet repoint",
            "fleet suspend", "fleet reinstate", "fleet reset-fence", "fleet retire", "fleet check",
            "drift", "fact record", "agents",
            "bundle register", "bundle list", "bundle show", "create", "lint", "test",
            "plan", "up", "down", "status", "resolve",
            "rollout start", "rollout pause", "rollout resume", "rollout abort",
            "rollout rollback", "rollout retry", "rollout status", "rollout list", "rollout watch",
            "notify run", "notify test", "notify list", "report migrations", "report durations",
            "history", "events", "replay", "traces show", "traces emit", "audit verify",
            "audit watch", "audit unreadable", "audit set-aside",
            "db up", "db down", "db status", "db verify",
            "adopt", "baseline", "repair",
            "db adopt", "db baseline", "db repair", "db export-history", "db remove-journal",
            "db drop-backups", "db resolve", "db snapshot", "db diff", "db shapes",
        ]
    )  # fmt: skip


def test_every_room_registers_exactly_the_commands_that_are_looked_for_there() -> None:
    assert {room: tuple(sorted(room_commands(room))) for room in ROOMS} == {
        room: tuple(sorted(names)) for room, names in ROOMS.items()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_is_a_coroutine_function_which_would_never_run(name: str) -> None:
    assert not inspect.iscoroutinefunction(COMMANDS[name].callback)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params)


LOOKING = frozenset({
    "version", "config show", "plan", "status", "history", "events", "replay",
    "traces show", "traces emit", "audit verify",
    "audit watch", "audit unreadable", "check", "db check",
    "fleet list", "fleet check", "fleet diff", "fleet show", "agents",
    "bundle list", "bundle show", "keys list",
    "notify test", "notify list", "report migrations", "report durations",
    "rollout status", "rollout list", "db status", "db verify", "db snapshot", "db diff", "lint",
    "test", "db shapes",
})  # fmt: skip
CARRYING_ON = frozenset({"serve", "notify run", "rollout watch"})
"""They work on what somebody else has asked for."""


def test_what_is_said_to_change_nothing_exists() -> None:
    assert set(COMMANDS) >= LOOKING | CARRYING_ON


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - LOOKING - CARRYING_ON))
def test_every_changing_command_takes_yes(name: str) -> None:
    assert any("--yes" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_of_itself(name: str) -> None:
    assert f"ledger {name}" in COMMANDS[name].epilog


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_writes_tables_and_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--output", "-o"} <= options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_every_exit_code_has_a_meaning_in_the_help_text() -> None:
    assert set(MEANINGS) == set(ExitCode)
    page = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in page


def test_asking_for_the_version_imports_no_driver_and_no_settings() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['ledger', '--version']\n"
        "from ledger.cli.app.main import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("migration-ledger ")
    assert answer.stderr == ""


def test_a_usage_error_ends_with_code_2() -> None:
    assert CliRunner().invoke(app, ["rollout", "strat"]).exit_code == ExitCode.USAGE


SELECTING = [
    name for name in COMMANDS if any("--select" in one.opts for one in COMMANDS[name].params)
]


@pytest.mark.parametrize("given", [["--select", ""], ["-s", "  "], ["--select="]])
@pytest.mark.parametrize("name", SELECTING)
def test_an_empty_selection_is_refused_and_never_means_the_whole_fleet(
    name: str, given: list[str]
) -> None:
    ended = CliRunner().invoke(app, [*name.split(), *given], env={"COLUMNS": "300"})
    assert ended.exit_code == ExitCode.USAGE
    assert "the selection is empty" in ended.output
    assert "leave the option out for the whole fleet" in ended.output


def test_labelling_without_a_label_is_a_usage_error_that_says_what_to_write() -> None:
    ended = CliRunner().invoke(app, ["fleet", "label", "acme"])
    assert ended.exit_code == ExitCode.USAGE
    assert "NAME=VALUE" in ended.output


@pytest.mark.parametrize("former", [["--dialect", "nosuch"], ["--dialect=nosuch"]])
def test_the_former_name_of_an_option_still_works(former: list[str]) -> None:
    options = ["create", "a name", "--kind", "sql", "--yes"]
    today = CliRunner().invoke(app, [*options, "--format", "nosuch"])
    before = CliRunner().invoke(app, [*options, *former])
    assert (before.exit_code, before.stderr) == (today.exit_code, today.stderr)
    assert "nosuch" in before.stderr
    assert "No such option" not in before.stderr


def test_the_former_name_of_a_command_still_works_and_no_help_shows_it() -> None:
    shown = CliRunner().invoke(app, ["migration", "--help"])
    assert (shown.exit_code, "register" in shown.stdout) == (0, True)
    assert "bundle" in CliRunner().invoke(app, ["--help"]).stdout
    assert "--dialect" not in CliRunner().invoke(app, ["up", "--help"]).stdout
