"""`ledger notify`: run as a process, tried, and looked at; no address or key is ever shown."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import RolloutHalted
from ledger.store.stores import open_stores
from tests.support.house import found
from tests.support.program import LedgerProgram, StartLedger
from tests.support.receivers import HttpReceiver, http_receiver

SECRET = "a-secret-that-nobody-sees"


def settings(folder: Path, receiver: HttpReceiver, *more: str) -> str:
    """A settings file that names this receiver."""
    file = folder / "notify.toml"
    lines = [
        "[notify]",
        'link = "https://board.example/{rollout}"',
        "[notify.targets.hook]",
        f'webhook = "{receiver.url}"',
        'key = "env:HOOK_KEY"',
        *more,
    ]
    file.write_text("\n".join(lines))
    return str(file)


async def halt(url: str, rollout: str) -> None:
    async with open_stores(url) as stores:
        event = RolloutHalted(rollout=rollout, why="too many")
        await stores.log.append(f"rollout-{rollout}", [encode(event, uuid4(), Metadata())])


async def test_a_process_notifies_until_it_is_stopped_and_a_list_says_so(
    start_ledger: StartLedger, ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    async with http_receiver() as receiver:
        file = settings(tmp_path, receiver, "[[notify.routes]]", 'to = "hook"')
        words = ("--config", file, "notify")
        running = await start_ledger(*words, "run", HOOK_KEY=SECRET)

        async def holds() -> bool | None:
            told = (await ledger(*words, "list", "-o", "json")).json
            return told["notifier"] is not None or None

        await found(holds, "it notifies")
        await halt(installed, "r1")

        async def came() -> bool | None:
            return bool(receiver.taken) or None

        await found(came, "the receiver is told")
        assert receiver.taken[0].json["ledger"] == "shop"

        async def counted() -> bool | None:
            (row,) = (await ledger(*words, "list", "-o", "json")).items
            return row["delivered"] == 1 or None

        await found(counted, "it is counted")
        running.signal(signal.SIGTERM)
        answer = await running.end()
        assert answer.code == 0
        assert answer.err.endswith("stopped\n")
        assert SECRET not in answer.out + answer.err
        shown = await ledger(*words, "list", HOOK_KEY=SECRET)
        assert "nobody notifies" in shown.out
        assert "takes what it is sent" in shown.out
        assert SECRET not in shown.out


async def test_a_test_message_says_which_target_takes_it(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    async with http_receiver() as receiver:
        more = ("[notify.targets.dead]", 'webhook = "http://127.0.0.1:1/x"', 'key = "env:HOOK_KEY"')
        words = ("--config", settings(tmp_path, receiver, *more), "notify", "test")
        answer = await ledger(*words, "-o", "json", HOOK_KEY=SECRET)
        assert answer.code == ExitCode.FAILED
        taken = {one["target"]: (one["taken"], one["why"]) for one in answer.items}
        assert taken == {"hook": (True, ""), "dead": (False, "the connection was refused")}
        (request,) = receiver.taken
        assert request.json["event"] == "Test"
        assert (await ledger(*words, "hook", HOOK_KEY=SECRET)).code == 0
        unset = await ledger(*words, "hook", HOOK_KEY="")
        assert unset.code == ExitCode.FAILED
        assert "variable HOOK_KEY is not set" in unset.out
        unknown = await ledger(*words, "hok", HOOK_KEY=SECRET)
        assert unknown.code == ExitCode.USAGE
        assert "hok is no target of the settings; there are dead, hook" in unknown.err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "no target is named"),
        ('[notify.targets.a]\nwebhook="https://x.example"\nkey="env:K"', "no route leads"),
    ],
)
async def test_a_notifier_that_would_tell_nobody_says_what_to_write(
    ledger: LedgerProgram, installed: str, tmp_path: Path, lines: str, said: str
) -> None:
    file = tmp_path / "notify.toml"
    file.write_text(lines)
    answer = await ledger("--config", str(file), "notify", "run")
    assert answer.code == ExitCode.USAGE
    assert said in answer.err
    assert answer.err.count("\n") == 1


async def test_a_projects_file_decides_nothing_about_notifications(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    for lines in ('[notify]\nlink="https://evil.example"', "[[notify.routes]]\nto='a'"):
        (tmp_path / "ledger.toml").write_text(lines)
        answer = await ledger("notify", "list")
        assert answer.code == ExitCode.USAGE
        assert "which no folder may decide" in answer.err
