"""Who runs this program, as the system or a CI service tells it; never more than told."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
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


SERVICES = (
    Service(
        "github-actions",
        "GITHUB_ACTIONS",
        ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "=actions/runs", "GITHUB_RUN_ID"),
    ),
    Service("gitlab-ci", "GITLAB_CI", ("GITLAB_USER_LOGIN",), ("CI_JOB_URL",)),
    Service("buildkite", "BUILDKITE", ("BUILDKITE_BUILD_CREATOR",), ("BUILDKITE_BUILD_URL",)),
    Service("circleci", "CIRCLECI", ("CIRCLE_USERNAME",), ("CIRCLE_BUILD_URL",)),
    Service("jenkins", "JENKINS_URL", ("BUILD_USER_ID", "BUILD_USER"), ("BUILD_URL",)),
    Service(
        "azure-pipelines",
        "TF_BUILD",
        ("BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR"),
        ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "=_build", "BUILD_BUILDID"),
    ),
    Service("ci", "CI", (), ()),
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
        run=_part(_run(service, told)) if service else "",
    )


_NO = frozenset({"", "0", "false"})


def _run(service: Service, told: Mapping[str, str]) -> str:
    parts = [one[1:] if one.startswith("=") else told.get(one, "") for one in service.run]
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
