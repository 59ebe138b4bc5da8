"""Slack, PagerDuty and mail take what they are told, as they take it from anybody."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from pathlib import Path
from uuid import UUID

import pytest

from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.reports import AttemptFinished
from ledger.domain.messages import Notification, message_of
from ledger.domain.notices import Notice, NoticeSeverity, harmless, notice_of
from ledger.domain.routes import Route, draft_of
from ledger.notifier import services
from ledger.notifier.process import told
from ledger.notifier.services import AppriseService
from ledger.notifier.thread import BlockingCall
from ledger.notifier.webhook import Webhook
from ledger.settings import Settings, SettingsError
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.support.manual_clock import ManualClock
from tests.support.receivers import http_receiver, mail_receiver, service_receiver

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SLACK_TOKENS = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
PAGER_KEY = "a" * 32


HOSTILE = (
    "<http://evil.example|click> <!channel> <@U1>",
    "<img src=x onerror=alert(1)><a href='https://evil.example'>x</a>",
    "x\r\nBcc: all@example.com\r\n\r\nsecond",
    "_lean_ *fat* ~gone~ `code` [a](https://evil.example) www.evil.example",
    "zero\u200bwidth \u202eesrever" + "\U0001f525" * 100_000,
)
"""Names that somebody chose for a database and a file of a migration."""
MARKUP = re.compile(r"[<>@*~`]|://|www\.|(?<![A-Za-z0-9_])_|_(?![A-Za-z0-9_])|[^\x20-\x7e\n]")

HTML_LINE = re.compile(r"</?(?:html|head|body|br)[ /]*>")
"""What apprise itself makes of a mail as HTML."""


def hostile_message(name: str) -> Notification:
    """What is told of a database of this name that failed in a file of this name."""
    failure = Failure(kind=FailureClass.SQL, message=name, file=name, line=3)
    event = AttemptFinished(
        database="acme", command=UUID(int=2), attempt=1, mode=Mode.UP, verdict=Verdict.FAILED,
        changed=0, journal_head=None,
    )  # fmt: skip
    # Without the limits of an event, which nobody outside is to count on.
    event = event.model_copy(update={"database": name, "failure": failure})
    recorded = Recorded(7, "rollout-r1", 1, UUID(int=3), event, Metadata(reason=name), "ada", AT)
    draft = draft_of(notice_of(recorded), UUID(int=1), "it", Route(("it",)), AT)
    return message_of(draft, harmless(name), "")


def check_harmless(text: str) -> None:
    """Nothing of a hostile name means anything in what arrived; its length is bounded."""
    # Slack and mail have lines that end with both.
    assert MARKUP.findall(text.replace("\r\n", "\n")) == []
    assert len(text) < 8000


def a_message(severity: NoticeSeverity = NoticeSeverity.CRITICAL) -> Notification:
    notice = Notice(
        event="RolloutHalted",
        severity=severity,
        routine=False,
        position=7,
        at=AT,
        headline="a rollout stopped itself",
        rollout="r1",
        command="ledger rollout status r1",
    )
    draft = draft_of(notice, UUID(int=1), "it", Route(("it",)), AT)
    return message_of(draft, "prod", "https://board.example/{rollout}")


async def sent(service: AppriseService | Webhook, message: Notification) -> str:
    return await BlockingCall("it", SYSTEM_CLOCK)(lambda: service.send(message))


@pytest.fixture(autouse=True)
def silent() -> None:
    """As in the notifier's own process."""
    services.silence()


async def test_slack_takes_a_message_with_rollout_command_and_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK", f"slack://{SLACK_TOKENS}/#oncall")
    async with service_receiver(tmp_path) as (receiver, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert await sent(AppriseService("env:SLACK"), a_message()) == ""
    (request,) = receiver.taken
    assert request.host == "hooks.slack.com"
    assert request.path == f"/services/{SLACK_TOKENS}"
    text = str(request.json)
    for word in ("[critical] prod: a rollout stopped itself", "ledger rollout status r1"):
        assert word in text
    assert "https://board.example/r1" in text


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names_are_text_for_slack_and_pagerduty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SLACK", f"slack://{SLACK_TOKENS}/#oncall?footer=no&image=no")
    monkeypatch.setenv("BLOCKS", f"slack://{SLACK_TOKENS}/#oncall?blocks=yes&footer=no&image=no")
    monkeypatch.setenv("PAGER", f"pagerduty://{PAGER_KEY}@{'b' * 20}/ledger/rollouts?image=no")
    message = hostile_message(name)
    async with service_receiver(tmp_path) as (receiver, environ):
        for variable, value in environ.items():
            monkeypatch.setenv(variable, value)
        for address in ("SLACK", "BLOCKS", "PAGER"):
            assert await sent(AppriseService(f"env:{address}"), message) == ""
    plain, blocks, pager = (one.json for one in receiver.taken)
    assert plain["mrkdwn"] is False
    for part in plain["attachments"]:
        check_harmless(part["title"])
        check_harmless(part["text"])
    for part in blocks["attachments"][0]["blocks"]:
        assert part["text"]["type"] == "plain_text"
        check_harmless(part["text"]["text"])
    check_harmless(pager["payload"]["summary"])


@pytest.mark.parametrize("form", ["text", "html"])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names_are_text_in_a_mail_and_no_header(
    monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    async with mail_receiver() as (mailbox, port):
        monkeypatch.setenv(
            "MAIL",
            f"mailto://127.0.0.1:{port}/?mode=insecure&from=ledger@example.com&to=sre@example.com"
            f"&format={form}",
        )
        assert await sent(AppriseService("env:MAIL"), hostile_message(name)) == ""
    (mail,) = mailbox.mails
    assert mail["To"] == "sre@example.com"
    assert mail["Bcc"] is None
    check_harmless(str(make_header(decode_header(mail["Subject"]))))
    for part in mail.walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            check_harmless(HTML_LINE.sub("\n", payload.decode()))


async def test_a_title_that_is_too_long_for_a_mail_is_cut_and_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with mail_receiver() as (mailbox, port):
        monkeypatch.setenv(
            "MAIL",
            f"mailto://127.0.0.1:{port}/?mode=insecure&from=ledger@example.com&to=sre@example.com",
        )
        long = replace(a_message(), title="x" * 2000)
        assert await sent(AppriseService("env:MAIL"), long) == ""
    assert mailbox.mails[0]["Subject"] == "x" * 500 + "..."


async def test_pagerduty_takes_a_message_once_however_often_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", f"pagerduty://{PAGER_KEY}@{'b' * 20}/ledger/rollouts")
    message = a_message()
    async with service_receiver(tmp_path) as (receiver, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            assert await sent(AppriseService("env:PAGER"), message) == ""
    first, second = (one.json for one in receiver.taken)
    assert receiver.taken[0].host == "events.pagerduty.com"
    assert receiver.taken[0].path == "/v2/enqueue"
    assert first["dedup_key"] == second["dedup_key"] == message.key
    assert first["payload"]["severity"] == "critical"
    assert "a rollout stopped itself" in first["payload"]["summary"]


async def test_a_mail_arrives_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    async with mail_receiver() as (mailbox, port):
        monkeypatch.setenv(
            "MAIL",
            f"mailto://127.0.0.1:{port}/?mode=insecure&from=ledger@example.com&to=sre@example.com"
            "&format=text",
        )
        assert await sent(AppriseService("env:MAIL"), a_message()) == ""
    (mail,) = mailbox.mails
    assert mail["To"] == "sre@example.com"
    assert "a rollout stopped itself" in str(mail["Subject"])
    assert "ledger rollout status r1" in mail.as_bytes().decode()


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_a_service_that_refuses_is_told_by_its_status_and_no_secret_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    monkeypatch.setenv("SLACK", f"slack://{SLACK_TOKENS}")
    async with service_receiver(tmp_path, lambda _: (status, "no")) as (_, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        with caplog.at_level(logging.DEBUG):
            why = await sent(AppriseService("env:SLACK"), a_message())
    assert why == f"it answered HTTP {status}"
    assert SLACK_TOKENS not in caplog.text


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (None, "variable SLACK is not set; set it and start again"),
        ("nonsense", "env:SLACK holds no address that apprise knows"),
        ("slack://", "env:SLACK holds no address that apprise knows"),
    ],
)
async def test_an_address_that_is_none_is_named_by_its_reference(
    monkeypatch: pytest.MonkeyPatch, address: str | None, why: str
) -> None:
    if address is None:
        monkeypatch.delenv("SLACK", raising=False)
    else:
        monkeypatch.setenv("SLACK", address)
    assert await sent(AppriseService("env:SLACK"), a_message()) == why


@pytest.mark.parametrize(
    ("answer", "why"),
    [(302, "it answered HTTP 302"), (401, "it answered HTTP 401"), (500, "it answered HTTP 500")],
)
async def test_a_webhook_follows_nobody_elsewhere_and_says_the_status(
    monkeypatch: pytest.MonkeyPatch, answer: int, why: str
) -> None:
    monkeypatch.setenv("KEY", "k")
    async with http_receiver(lambda _: (answer, "")) as receiver:
        hook = Webhook(receiver.url, "env:KEY", SYSTEM_CLOCK)
        assert await sent(hook, a_message()) == why
        assert len(receiver.refused) == 1


async def test_a_webhooks_address_from_a_file_may_hold_a_secret_and_needs_tls_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k")
    file = tmp_path / "hook"
    async with http_receiver() as receiver:
        file.write_text(f"{receiver.url}?token=secret\n")
        hook = Webhook(f"file:{file}", "env:KEY", SYSTEM_CLOCK)
        assert await sent(hook, a_message()) == ""
        assert receiver.taken[0].path == "/hook?token=secret"
        file.write_text("http://hooks.example.com/?token=secret")
        assert await sent(hook, a_message()) == "a webhook elsewhere needs TLS; write https://"
    file.unlink()
    why = await sent(hook, a_message())
    assert why.startswith(f"file:{file} cannot be read")


async def test_a_target_that_never_answers_is_one_failure_and_holds_nothing_up() -> None:

    clock, released = ManualClock(), threading.Event()
    call = BlockingCall("it", clock)
    waiting = asyncio.create_task(call(lambda: str(released.wait())))
    await asyncio.sleep(0)
    clock.advance(31)
    assert await waiting == "no answer within 30 s"
    assert await call(lambda: "") == "the try before has not ended"
    # A receiver that says one byte now and then would keep the target from everything for ever.
    clock.advance(600)
    assert await call(lambda: "") == ""
    assert await call(lambda: "it said no") == "it said no"
    released.set()


def test_without_apprise_a_service_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "find_spec", lambda _: None)
    services.load.cache_clear()
    with pytest.raises(SettingsError, match="pip install 'migration-ledger"):
        AppriseService("env:SLACK")
    services.load.cache_clear()


def test_what_a_ledger_is_called_is_no_markup_either() -> None:
    targets = {"hook": {"webhook": "http://127.0.0.1:1/", "key": "env:KEY"}}
    notify = {"targets": targets, "routes": [{"to": "hook"}]}
    settings = Settings.model_validate({"name": "<!channel> *x*", "notify": notify})
    assert told(settings).ledger == "\\u003c\\u0021channel\\u003e \\u002ax\\u002a"
