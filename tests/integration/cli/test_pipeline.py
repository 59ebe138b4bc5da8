"""The pipeline's steps, run in a scratch repository with a recorded event, as a runner does."""

from __future__ import annotations

import asyncio
import base64
import gzip
import importlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from migrations.printable import is_safe
from tests.integration.cli.conftest import Fleet
from tests.support.installed import installed
from tests.support.receiver import TOKEN, Receiver, receiving

ROOT = Path(__file__).parents[3]
STEPS = ROOT / "ops" / "github"
EVENT = ROOT / "tests" / "golden" / "github" / "pull_request.json"
TEMPLATE = ROOT / "ops" / "gitlab" / "ledger.gitlab-ci.yml"
BOT = "github-actions[bot]"


@dataclass(frozen=True, slots=True)
class Step:
    """How a step ended, what it printed, and what it left for the page and for other steps."""

    code: int
    said: str
    page: str
    outputs: dict[str, str]


class Runner:
    """Runs steps as a runner does: with its variables, in a checkout."""

    def __init__(self, checkout: Path, variables: dict[str, str]) -> None:
        self.checkout = checkout
        self.variables = variables

    async def run(self, verb: str, **inputs: str) -> Step:
        """One step, with its inputs as variables."""
        page, outputs = self.checkout.parent / "summary", self.checkout.parent / "outputs"
        page.write_text("")
        outputs.write_text("")
        process = await asyncio.create_subprocess_exec(
            str(STEPS / verb / "run.sh"),
            cwd=self.checkout,
            env=self.variables
            | {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(outputs)}
            | {f"INPUT_{name}": value for name, value in inputs.items()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        assert TOKEN not in said
        lines = (line.partition("=") for line in outputs.read_text().splitlines())
        found = {name: value for name, _, value in lines}
        return Step(process.returncode or 0, said, page.read_text(), found)


def text_of(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")


async def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    process = await asyncio.create_subprocess_exec(
        "git", *identity, *words, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, words
    return said.strip()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
async def runner(
    migrations: Path, environment: dict[str, str], fleet: Fleet, receiver: Receiver, tmp_path: Path
) -> Runner:
    """A checkout of a branch that adds a second migration, and the ledger that it is for."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.move(migrations, checkout / "migrations")
    second = checkout / "migrations" / "2_weight.sql"
    text = second.read_text()
    second.unlink()
    await git(checkout, "init", "-q", "-b", "main")
    await git(checkout, "add", ".")
    await git(checkout, "commit", "-q", "-m", "first")
    base = await git(checkout, "rev-parse", "HEAD")
    second.write_text(text)
    (checkout / "migrations" / "3_index.sql").write_text(
        "-- +migrate Up\nCREATE INDEX parcels_weight ON parcels (weight);\n"
        "-- +migrate Down\nDROP INDEX parcels_weight;\n"
    )
    await git(checkout, "add", ".")
    await git(checkout, "commit", "-q", "-m", "second")
    programs = str(Path(sys.executable).parent)
    return Runner(
        checkout,
        environment
        | {
            "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
            "BASE": base,
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": receiver.address,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_EVENT_PATH": str(EVENT),
            "GITHUB_SHA": "1" * 40,
            "GITHUB_REF": "refs/pull/17/merge",
            "GITHUB_TOKEN": TOKEN,
        },
    )


async def test_lint_annotates_what_the_branch_adds_and_hands_findings_on(
    runner: Runner, receiver: Receiver
) -> None:
    step = await runner.run("lint", SINCE=runner.variables["BASE"], UPLOAD="true")
    assert step.code == 1, step.said
    assert "::error file=migrations/3_index.sql,line=2,title=index-blocks-writes::" in step.said
    found = json.loads(text_of(step.outputs["sarif"]))
    assert "index-blocks-writes" in {one["ruleId"] for one in found["runs"][0]["results"]}
    (handed,) = receiver.findings
    assert json.loads(gzip.decompress(base64.b64decode(handed["sarif"]))) == found
    assert (handed["commit_sha"], handed["ref"]) == ("1" * 40, "refs/pull/17/merge")
    assert "### Lint of `migrations`: failed with 1" in step.page
    milder = await runner.run("lint", SINCE=runner.variables["BASE"], FAIL_ON="never")
    assert milder.code == 0


async def test_a_plan_is_one_comment_that_is_written_over(
    runner: Runner, receiver: Receiver
) -> None:
    receiver.comment("somebody", "<!-- migration-ledger plan shop -->\nI am first")
    for number in range(120):
        receiver.comment("somebody", f"comment {number}")
    first = await runner.run("plan")
    assert first.code == 0, first.said
    assert receiver.writes() == ["POST"]
    ours = [one for one in receiver.comments if one["user"]["login"] == BOT]
    assert len(ours) == 1
    assert ours[0]["body"].startswith(
        "<!-- migration-ledger plan shop -->\n## Migrations of `shop`"
    )
    assert "`3_index`" in ours[0]["body"]
    assert first.page == ours[0]["body"] == text_of(first.outputs["page"])
    await runner.run("plan")
    assert receiver.writes() == ["POST"], "what says so already is left alone"
    (runner.checkout / "migrations" / "3_index.sql").unlink()
    await runner.run("plan")
    assert receiver.writes() == ["POST", "PATCH"]
    assert "`3_index`" not in ours[0]["body"]
    assert receiver.comments[0]["body"].endswith("I am first")
    refused = await runner.run("plan", SELECT="half=nothing")
    assert refused.code == 4
    assert ": no plan" in receiver.comments[-1]["body"]


async def test_what_the_service_refuses_is_said_with_what_to_do(
    runner: Runner, receiver: Receiver
) -> None:
    receiver.answers_with = 403
    step = await runner.run("plan")
    assert step.code == 1
    assert "give the job `pull-requests: write`" in step.said
    assert "Traceback" not in step.said


async def test_the_token_follows_no_answer_to_another_place(
    runner: Runner, receiver: Receiver
) -> None:
    with receiving() as elsewhere:
        receiver.leads_to = elsewhere.address
        step = await runner.run("plan")
        assert step.code == 1
        assert elsewhere.asked == []
    runner.variables["GITHUB_API_URL"] = "http://api.example.org"
    plain = await runner.run("plan")
    assert plain.code == 1
    assert "GITHUB_API_URL is no https address" in plain.said


async def test_without_a_pull_request_nothing_is_written_on_one(
    runner: Runner, receiver: Receiver, tmp_path: Path
) -> None:
    event = tmp_path / "push.json"
    event.write_text('{"ref": "refs/heads/main", "head_commit": {"message": "x"}}')
    runner.variables["GITHUB_EVENT_PATH"] = str(event)
    step = await runner.run("plan")
    assert step.code == 0
    assert receiver.asked == []
    assert step.page.startswith("<!-- migration-ledger plan shop -->\n")


async def test_on_main_a_fleet_is_asked_rolled_out_and_verified(runner: Runner) -> None:
    asked = await runner.run("check", SELECT="half=h0")
    assert (asked.code, "### Preflight: done" in asked.page) == (0, True), asked.said
    # A commit's message as a whole: a title, which a browser may have ended with \r\n, and a body.
    message = '$(touch pwned) "; `id` é\r\n\nA body.\n\nCo-authored-by: x'
    step = await runner.run("up", REASON=message, WAVES="1,rest")
    assert step.code == 0, step.said
    assert f"### Rollout {step.outputs['rollout']}: done" in step.page
    assert step.outputs["exit-code"] == "0"
    assert '$(touch pwned) "; `id` é\n' in step.page
    assert "A body" not in step.page
    assert not (runner.checkout / "pwned").exists()
    muted = [line for line in step.said.splitlines() if line.startswith("::")]
    assert [muted[0].rpartition("::")[0], len(muted)] == ["::stop-commands", 2]
    assert muted[1] == f"::{muted[0].rpartition('::')[2]}::"
    verified = await runner.run("verify")
    assert verified.code == 0, verified.said
    assert [line for line in verified.page.splitlines() if line.startswith("#")] == [
        "### ledger fleet check: done", "### ledger drift: done", "### ledger audit verify: done"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("\u202efix\u202c \u200bthe\ufeff \x1b[1mname\U000e0041\udcff", "fix the [1mname"),
        ("\u2067\u3164\x07", ""),
    ],
)
async def test_no_title_of_a_commit_keeps_a_rollout_from_its_start(
    runner: Runner, title: str, kept: str
) -> None:
    step = await runner.run("up", REASON=f"{title}\n\nA body.")
    assert step.code == 0, step.said
    assert kept in step.page
    assert "A body" not in step.page


def test_what_is_left_of_a_title_is_taken_as_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(STEPS)
    title = importlib.import_module("api").title
    left = title(
        "".join(chr(code) for code in range(1, sys.maxunicode + 1) if code not in (10, 13))
    )
    assert is_safe(left)
    assert len(left) > 140_000
    assert {"é", "日", "ع", "\u200d", "🙂"} <= set(left)
    assert title(" a title \r\n\nand a body") == "a title"


async def test_a_rollout_that_fails_ends_the_step_with_its_own_code(runner: Runner) -> None:
    (runner.checkout / "migrations" / "3_index.sql").write_text(
        "-- +migrate Up\nSELECT 1 / 0;\n-- +migrate Down\nSELECT 1;\n"
    )
    step = await runner.run("up")
    assert step.code == 3, step.said
    assert "halted, failed somewhere or was undone" in step.page
    assert "division by zero" in step.page


async def test_a_rehearsal_leaves_a_report_and_its_own_code(runner: Runner, tmp_path: Path) -> None:
    """With a program in its place, which says what it was called with."""
    programs = tmp_path / "programs"
    programs.mkdir()
    stand_in = programs / "ledger"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "$LEDGER_SCRATCH_URL"\nexit 1\n')
    stand_in.chmod(0o755)
    runner.variables["PATH"] = os.pathsep.join([str(programs), runner.variables["PATH"]])
    step = await runner.run("test", FOLDER="db; id", SCRATCH_URL="postgresql://s/x")
    assert step.code == 1
    words = [line.strip() for line in step.page.splitlines() if line.startswith("    ")]
    assert words == [
        "test",
        "--folder=db; id",
        f"--junit={step.outputs['junit']}",
        "postgresql://s/x",
    ]


async def template_job(runner: Runner, job: str) -> tuple[int, str]:
    """A job of the template for GitLab, as its runner does it: its script, line by line."""
    described = yaml.safe_load(text_of(str(TEMPLATE)))
    script = "\n".join(described[job]["script"])
    process = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", script, cwd=runner.checkout, env=runner.variables,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    assert TOKEN not in said
    return process.returncode or 0, said


async def test_where_notes_are_kept_a_plan_is_one_note_that_is_written_over(
    runner: Runner, receiver: Receiver
) -> None:
    installed("curl")
    runner.variables |= {
        "CI_API_V4_URL": receiver.address,
        "CI_PROJECT_ID": "9",
        "CI_MERGE_REQUEST_IID": "17",
        "MIGRATIONS_NOTES_TOKEN": TOKEN,
        "MIGRATIONS_FOLDER": "migrations",
    }
    receiver.note(8, "<!-- migration-ledger plan shop -->\nnot ours")
    assert (await template_job(runner, "ledger-plan"))[0] == 0
    assert receiver.writes() == ["POST"]
    (runner.checkout / "migrations" / "3_index.sql").unlink()
    code, said = await template_job(runner, "ledger-plan")
    assert (code, receiver.writes()) == (0, ["POST", "PUT"]), said
    assert [one["author"]["id"] for one in receiver.notes] == [7, 8]
    assert "`3_index`" not in receiver.notes[0]["body"]
    assert receiver.notes[1]["body"].endswith("not ours")


async def test_the_template_lints_and_rolls_out(runner: Runner) -> None:
    runner.variables |= {
        "MIGRATIONS_FOLDER": "migrations",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": runner.variables["BASE"],
        "CI_COMMIT_TITLE": "\u202e$(touch pwned)\u200b",
    }
    code, said = await template_job(runner, "ledger-lint")
    assert (code, "index-blocks-writes" in said) == (1, True)
    assert json.loads(text_of(str(runner.checkout / "ledger-lint.sarif")))["version"] == "2.1.0"
    code, said = await template_job(runner, ".ledger-roll-out")
    assert code == 0, said
    assert not (runner.checkout / "pwned").exists()
    for title in ("\u2067\u3164", "", "\udc80"):
        runner.variables["CI_COMMIT_TITLE"] = title
        code, said = await template_job(runner, ".ledger-roll-out")
        assert code == 0, said
