"""Secrets are read by reference, below the allowed folders only, and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import secrets
from agents.errors import ReferenceRefused
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from ledger.contracts.registry import Connection

SECRET = "canary-s3cret"


def resolve(
    reference: str | None,
    database: str,
    roots: Sequence[Path],
    environ: Mapping[str, str] = os.environ,
) -> str | None:
    """What an agent without rules of its own reads for a database on this machine."""
    place = Connection.at(host="localhost", database="d", user="u", password=reference)
    settings = AgentSettings(pool="p", secret_roots=tuple(roots))
    return secrets.resolve(place, database, settings, environ)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that secrets may be read from, beside one that they may not."""
    folder = tmp_path / "allowed"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "acme").write_text(SECRET + "\n")
    (tmp_path / "forbidden").mkdir()
    (tmp_path / "forbidden" / "acme").write_text(SECRET)
    return folder


def test_no_reference_is_no_password() -> None:
    assert resolve(None, "acme", []) is None


def test_a_variable_is_read() -> None:
    assert resolve("env:TENANT_ACME", "acme", [], {"TENANT_ACME": SECRET}) == SECRET


def test_a_variable_may_be_named_after_the_database() -> None:
    environ = {"TENANT_acme_eu": SECRET}
    assert resolve("env:TENANT_{database}", "acme-eu", [], environ) == SECRET


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ReferenceRefused, match="variable TENANT_NO_SUCH"):
        resolve("env:TENANT_NO_SUCH", "acme", [], {})


@pytest.mark.parametrize("reference", ["file:secrets/acme", "file:secrets/{database}"])
def test_a_file_below_a_root_is_read_without_its_line_end(root: Path, reference: str) -> None:
    assert resolve(reference, "acme", [root]) == SECRET


def test_an_absolute_path_below_a_root_is_read(root: Path) -> None:
    assert resolve(f"file:{root}/secrets/acme", "acme", [Path("/nowhere"), root]) == SECRET


@pytest.mark.parametrize(
    "path", ["../forbidden/acme", "secrets/../../forbidden/acme", "/etc/passwd", "secrets", "none"]
)
def test_a_file_elsewhere_is_refused(root: Path, path: str) -> None:
    with pytest.raises(ReferenceRefused, match="not a file below the folders"):
        resolve(f"file:{path}", "acme", [root])


def test_a_link_that_leads_out_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "forbidden" / "acme")
    with pytest.raises(ReferenceRefused, match="not a file below the folders"):
        resolve("file:link", "acme", [root])


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to(root / "secrets")
    assert resolve("file:link/acme", "acme", [root]) == SECRET


@pytest.mark.parametrize("database", ["..", "../../forbidden/acme", "a/b"])
def test_a_databases_id_cannot_lead_out(root: Path, database: str) -> None:
    with pytest.raises(ReferenceRefused):
        resolve("file:secrets/{database}", database, [root])


def test_without_roots_no_file_is_read(root: Path) -> None:
    with pytest.raises(ReferenceRefused, match="LEDGER_AGENT_SECRET_ROOTS"):
        resolve(f"file:{root}/secrets/acme", "acme", [])


@pytest.mark.parametrize("reference", [SECRET, "", "env:", "file:", f"exec:{SECRET}"])
def test_a_literal_password_is_refused_and_not_shown(reference: str) -> None:
    with pytest.raises(ReferenceRefused, match="passwords are never registered") as refused:
        resolve(reference, "acme", [], {})
    assert SECRET not in str(refused.value)


@given(st.text(), st.text())
def test_any_reference_is_read_or_refused(reference: str, database: str) -> None:
    with suppress(ReferenceRefused):
        resolve(reference, database, [Path("/nowhere")], {})


def test_databases_need_verified_tls_unless_that_is_allowed() -> None:
    connection = Connection.at(host="db", database="acme", user="u")
    strict = connection_settings(connection, "acme", AgentSettings(pool="p"))
    assert (strict.sslmode, strict.allow_plaintext) == ("verify-full", False)
    loose = connection_settings(connection, "acme", AgentSettings(pool="p", insecure_postgres=True))
    assert (loose.sslmode, loose.allow_plaintext) == ("prefer", True)


def test_a_secret_is_not_part_of_the_settings_text() -> None:
    connection = Connection.at(host="::1", database="acme", user="u", password="env:TENANT_PW")
    settings = connection_settings(
        connection, "acme", AgentSettings(pool="p"), {"TENANT_PW": SECRET}
    )
    assert SECRET not in repr(settings)
    assert settings.password is not None
    assert settings.password.reveal() == SECRET
