"""Make on a machine where something is missing: it says what and how to get it, and ends there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOOLS = ("sh", "basename", "rm", "touch", "sed", "date", "mkdir", "cat", "cp")
"""What a bare machine has beside make."""

NO_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexit 0\n'
"""A Python that is new enough, from a distribution that packages its venv module apart."""

TOO_OLD = "#!/bin/sh\nexit 1\n"
"""A Python that fails the question for its version."""


INSTALLER = """#!/bin/sh
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
    *"-m pip install"*) echo "Collecting noise"; exit ${PIP_ENDS_WITH:-0};;
    --version) echo "Python 3.12.1";;
esac
exit 0
"""
"""A Python whose installer says a lot, and fails when it is told to."""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a checkout; beside it, `bin` holds the only programs on the PATH."""
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    checkout.mkdir()
    programs.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    for name in TOOLS:
        (programs / name).symlink_to(str(shutil.which(name)))
    return checkout


def install(machine: Path, name: str, program: str) -> None:
    file = machine.parent / "bin" / name
    file.write_text(program)
    file.chmod(0o755)


def make(machine: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(shutil.which("make")), *words],
        cwd=machine,
        env={"PATH": str(machine.parent / "bin"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", ["demo", "test", "venv"])
def test_without_python_it_says_how_to_get_it(machine: Path, target: str) -> None:
    answer = make(machine, target)
    assert answer.returncode != 0
    assert answer.stdout == ""
    assert answer.stderr.startswith("Python 3.11 or later is missing.")
    assert "sudo apt install python3" in answer.stderr


def test_a_python_that_is_too_old_does_not_count(machine: Path) -> None:
    install(machine, "python3", TOO_OLD)
    assert make(machine, "test").stderr.startswith("Python 3.11 or later is missing.")


def test_without_the_venv_module_it_names_the_package(machine: Path) -> None:
    install(machine, "python3.11", NO_VENV)
    answer = make(machine, "demo")
    assert answer.returncode != 0
    assert "sudo apt install python3.11-venv" in answer.stderr
    assert not (machine / ".venv").exists()


def test_an_installation_is_one_line_with_its_time(machine: Path) -> None:
    install(machine, "python3", INSTALLER)
    answer = make(machine, "venv")
    assert answer.returncode == 0, answer.stderr
    made, packages, itself = answer.stdout.splitlines()
    assert re.fullmatch(r"virtual environment, Python 3\.12\.1 +\d+ s", made)
    assert re.fullmatch(r"installing packages and development tools +\d+ s", packages)
    assert re.fullmatch(r"installing this checkout +\d+ s", itself)
    assert make(machine, "venv").stdout.startswith("make: Nothing to be done")


def test_what_the_installer_says_is_shown_when_it_fails_or_is_asked_for(machine: Path) -> None:
    install(machine, "python3", INSTALLER)
    failed = make(machine, "venv", PIP_ENDS_WITH="1")
    assert failed.returncode != 0
    assert re.search(
        r"installing packages and development tools +failed\nCollecting noise", failed.stdout
    )
    assert "Collecting noise" in make(machine, "venv", VERBOSE="1").stdout


def test_make_alone_says_what_there_is(machine: Path) -> None:
    answer = make(machine, "help")
    assert "make demo" in answer.stdout
    assert "make test" in answer.stdout


def test_migrations_are_tested_on_the_oldest_release_too(machine: Path) -> None:
    commands = make(machine, "--dry-run", "test").stdout
    assert re.search("LEDGER_TEST_PG_RELEASE=newest,14 .*tests/integration", commands)


def test_on_a_given_server_the_oldest_release_is_left_out_in_sight(machine: Path) -> None:
    commands = make(machine, "--dry-run", "test", LEDGER_TEST_PG="postgresql://a@db/x").stdout
    assert "LEDGER_TEST_PG_RELEASE" not in commands
    assert "migrations on PostgreSQL 14: left out, LEDGER_TEST_PG names the server" in commands


def test_every_folder_of_tests_is_run_by_as_many_workers_as_are_asked_for(machine: Path) -> None:
    commands = make(machine, "--dry-run", "test", WORKERS="3").stdout
    run = dict(re.findall(r"--numprocesses (auto|3) --dist worksteal ([\w/. ]+)", commands))
    assert {"tests/unit", "tests/simulation"} == set(run["auto"].split())
    everything = {
        f"tests/{folder.name}"
        for folder in (ROOT / "tests").iterdir()
        if any(folder.rglob("test_*.py"))
    }
    assert everything == set(run["auto"].split()) | set(run["3"].split())
