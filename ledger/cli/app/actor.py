"""Who runs this program, as the system or a CI service tells it; never more than told."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from ledger.contracts.actor import PART_MAX_CHARS, Actor

PROGRAM = "migration-ledger"


@dataclass(frozen=True, slots=True)
class Service:
    """A CI service: the variable that gives it away, and those that name person and run."""

    name: str
    sign: str
    persons: tuple[str, ...]
    run: tuple[str, ...]
    """Parts of the run's address, joined by slashes."""
    job: tuple[str, ...]
    """What the service calls the job, joined by slashes, as far as it says so."""


SERVICES = (
    Service(
        "github-actions",
        "GITHUB_ACTIONS",
        ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "=actions/runs", "GITHUB_RUN_ID"),
        ("GITHUB_WORKFLOW", "GITHUB_JOB"),
    ),
    Service(
        "gitlab-ci",
        "GITLAB_CI",
        ("GITLAB_USER_LOGIN", "GITLAB_USER_NAME"),
        ("CI_JOB_URL",),
        ("CI_JOB_NAME",),
    ),
    Service(
        "buildkite",
        "BUILDKITE",
        ("BUILDKITE_UNBLOCKER", "BUILDKITE_BUILD_CREATOR", "BUILDKITE_BUILD_AUTHOR"),
        ("BUILDKITE_BUILD_URL",),
        ("BUILDKITE_PIPELINE_SLUG", "BUILDKITE_LABEL"),
    ),
    Service("circleci", "CIRCLECI", ("CIRCLE_USERNAME",), ("CIRCLE_BUILD_URL",), ("CIRCLE_JOB",)),
    Service(
        "jenkins",
        "JENKINS_URL",
        ("BUILD_USER_ID", "BUILD_USER", "CHANGE_AUTHOR"),
        ("BUILD_URL",),
        ("JOB_NAME",),
    ),
    Service(
        "azure-pipelines",
        "TF_BUILD",
        ("BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR"),
        ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "=_build", "BUILD_BUILDID"),
        ("BUILD_DEFINITIONNAME", "SYSTEM_JOBDISPLAYNAME"),
    ),
    Service("ci", "CI", (), (), ()),
)
"""In this order; the last one is any service that says no more of itself."""


def actor(environ: Mapping[str, str] | None = None) -> Actor:
    """Whoever runs this process: the person that a CI service names, or the system's user.

    Who became root by sudo is named by the name before it.
    """
    told = os.environ if environ is None else environ
    service = next((one for one in SERVICES if told.get(one.sign, "").lower() not in _NO), None)
    name = next((told[one] for one in service.persons if told.get(one)), "") if service else ""
    return Actor(
        name=_part(name or told.get("SUDO_USER", "") or _system_user()),
        source=service.name if service else "system",
        host=_part(socket.gethostname()),
        program=f"{PROGRAM} {metadata.version(PROGRAM)}",
        run=_part(_address(service.run, told)) if service else "",
        job=_part("/".join(told[one] for one in service.job if told.get(one))) if service else "",
    )


_NO = frozenset({"", "0", "false"})


def _address(names: Sequence[str], told: Mapping[str, str]) -> str:
    """The address that these variables make, or none where one is missing."""
    parts = [one[1:] if one.startswith("=") else told.get(one, "") for one in names]
    return "/".join(part.strip("/") for part in parts) if all(parts) else ""


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"


def _part(text: str) -> str:
    """The text as a part of a record: printable, of one line, and not longer than one may be."""
    clean = "".join(one if one.isprintable() else "?" for one in text)
    return clean[:PART_MAX_CHARS]
