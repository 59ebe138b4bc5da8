"""Who runs the program: told by a CI service or the system, and never taken for more than that."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

import pytest

from ledger.cli.app.actor import SERVICES, actor
from ledger.contracts.actor import PART_MAX_CHARS, Actor, Knowledge, known_by
from ledger.contracts.envelope import Metadata

RUNS = {
    "github-actions": (
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "bo",
            "GITHUB_SERVER_URL": "https://git.example",
            "GITHUB_REPOSITORY": "shop/db",
            "GITHUB_RUN_ID": "17",
            "GITHUB_WORKFLOW": "release",
            "GITHUB_JOB": "migrate",
        },
        "https://git.example/shop/db/actions/runs/17",
        "release/migrate",
    ),
    "gitlab-ci": (
        {
            "GITLAB_CI": "true",
            "GITLAB_USER_LOGIN": "bo",
            "CI_JOB_URL": "https://git.example/-/9",
            "CI_JOB_NAME": "migrate",
        },
        "https://git.example/-/9",
        "migrate",
    ),
    "buildkite": (
        {
            "BUILDKITE": "true",
            "BUILDKITE_BUILD_CREATOR": "bo",
            "BUILDKITE_BUILD_URL": "https://b/1",
            "BUILDKITE_PIPELINE_SLUG": "db",
            "BUILDKITE_LABEL": "migrate",
        },
        "https://b/1",
        "db/migrate",
    ),
    "circleci": (
        {
            "CIRCLECI": "true",
            "CIRCLE_USERNAME": "bo",
            "CIRCLE_BUILD_URL": "https://c/1",
            "CIRCLE_JOB": "migrate",
        },
        "https://c/1",
        "migrate",
    ),
    "jenkins": (
        {
            "JENKINS_URL": "https://j/",
            "BUILD_USER_ID": "bo",
            "BUILD_URL": "https://j/job/3/",
            "JOB_NAME": "db/migrate",
        },
        "https://j/job/3",
        "db/migrate",
    ),
    "azure-pipelines": (
        {
            "TF_BUILD": "True",
            "BUILD_REQUESTEDFOR": "bo",
            "SYSTEM_COLLECTIONURI": "https://dev.example/org/",
            "SYSTEM_TEAMPROJECT": "shop",
            "BUILD_BUILDID": "5",
            "SYSTEM_JOBDISPLAYNAME": "migrate",
        },
        "https://dev.example/org/shop/_build/5",
        "migrate",
    ),
}


@pytest.mark.parametrize(("service", "told", "run", "job"), [(k, *v) for k, v in RUNS.items()])
def test_in_a_ci_service_its_person_its_run_and_its_job_are_named(
    service: str, told: Mapping[str, str], run: str, job: str
) -> None:
    found = actor({**told, "CI": "true"})
    assert (found.name, found.source, found.run.removesuffix("/")) == ("bo", service, run)
    assert (found.known, found.job) == (Knowledge.TOLD, job)
    assert found.place.startswith(f"{service}, job {job}, {run}")
    assert found.place.endswith(f", on {found.host}, {found.program}")


def test_every_service_that_names_somebody_is_tried_here() -> None:
    assert {one.name for one in SERVICES} - {"ci"} == set(RUNS)


@pytest.mark.parametrize("said", [{}, {"CI": ""}, {"CI": "false"}, {"GITHUB_ACTIONS": "0"}])
def test_outside_of_a_ci_service_it_is_the_systems_user(
    said: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    found = actor(said)
    assert (found.name, found.source, found.run) == ("ada", "system", "")
    assert found.host
    assert found.program == f"migration-ledger {metadata.version('migration-ledger')}"


def test_a_service_that_does_not_say_who_leaves_the_systems_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "runner")
    found = actor({"CI": "1"})
    assert (found.name, found.source) == ("runner", "ci")
    assert actor({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://x"}).run == ""


def test_who_became_root_is_named_by_the_name_before() -> None:
    assert actor({"SUDO_USER": "ada"}).name == "ada"


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert actor({}).name == "uid 4711"


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "\u202efdp", "x" * 5_000, "\0"])
def test_what_the_surroundings_say_is_one_short_printable_line(name: str) -> None:
    found = actor({"GITLAB_CI": "1", "GITLAB_USER_LOGIN": name, "CI_JOB_URL": name})
    for part in (found.name, found.run):
        assert part.isprintable()
        assert len(part) <= PART_MAX_CHARS


def test_a_name_is_proven_where_it_is_the_role_that_logged_in_whatever_the_metadata_say() -> None:
    claims = Actor(name="ada", known=Knowledge.PROVEN)
    assert known_by(claims, "ada") is Knowledge.PROVEN
    assert known_by(claims, "ledger_ci") is Knowledge.TOLD


def test_a_claim_of_another_kind_is_read_as_told() -> None:
    read = Metadata.model_validate_json('{"actor":{"name":"ada","known":"sworn"}}')
    assert read.actor == Actor(name="ada", known=Knowledge.TOLD)
