"""What failed runs once more, alone, and is named if it passes then."""

from pathlib import Path

import pytest

from tests.support import second_run

UNSTEADY = """
from pathlib import Path

def test_now_and_then():
    seen = Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first

def test_always_well():
    with Path("runs").open("a") as runs:
        runs.write("x")
"""
BROKEN = "def test_broken():\n    assert False\n"
MANY = "".join(
    f"def test_{n}():\n    with open('runs', 'a') as f: f.write('x')\n    assert 0\n"
    for n in range(4)
)
DISTRIBUTED = ("--numprocesses", "2", "--dist", "worksteal")
QUIET = ("-q", "--confcutdir=.", "--rootdir=.")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_what_passes_alone_passes_and_is_listed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "tests" / "test_it.py").write_text(UNSTEADY)
    assert second_run.main([*DISTRIBUTED, *QUIET, "tests"]) == pytest.ExitCode.OK
    assert (folder / "runs").read_text() == "x"
    listed = [line for line in capfd.readouterr().out.splitlines() if line.startswith("UNSTEADY")]
    assert listed == [
        "UNSTEADY: tests/test_it.py::test_now_and_then failed among the others and passed alone"
    ]


def test_what_fails_alone_too_fails(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "tests" / "test_it.py").write_text(UNSTEADY + BROKEN)
    assert second_run.main([*DISTRIBUTED, *QUIET, "tests"]) == pytest.ExitCode.TESTS_FAILED
    assert "UNSTEADY" not in capfd.readouterr().out


def test_more_than_a_few_are_no_chance_and_run_once(folder: Path) -> None:
    (folder / "tests" / "test_it.py").write_text(MANY)
    assert second_run.main([*DISTRIBUTED, *QUIET, "tests"]) == pytest.ExitCode.TESTS_FAILED
    assert (folder / "runs").read_text() == "xxxx"


def test_what_cannot_be_collected_is_no_chance_either(folder: Path) -> None:
    (folder / "tests" / "test_it.py").write_text("import nowhere_to_be_found\n")
    assert second_run.main([*QUIET, "tests"]) == pytest.ExitCode.INTERRUPTED


def test_what_an_earlier_run_left_is_forgotten(folder: Path) -> None:
    (folder / "tests" / "test_it.py").write_text(BROKEN)
    assert second_run.main([*QUIET, "tests"]) == pytest.ExitCode.TESTS_FAILED
    (folder / "tests" / "test_it.py").write_text("def test_well():\n    assert True\n")
    assert second_run.main([*QUIET, "tests"]) == pytest.ExitCode.OK
