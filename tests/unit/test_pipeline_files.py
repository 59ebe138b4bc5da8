"""Workflows, actions and hooks that others run: what is in them is judged as theirs would be."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installed import installed

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / "ops" / "github"
ACTIONS = sorted(GITHUB.glob("*/action.yml"))
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TEMPLATE = ROOT / "ops" / "gitlab" / "ledger.gitlab-ci.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
OURS = re.compile(r"OWNER/migration-ledger/ops/github/(\w+)@0{40}")
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a workflow, or of an action."""
    for job in document.get("jobs", {"": document.get("runs", {})}).values():
        yield from job["steps"]


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not here; .ci/run installs it")


def test_there_is_a_folder_for_every_verb() -> None:
    verbs = [path.parent.name for path in ACTIONS]
    assert verbs == ["check", "lint", "plan", "test", "up", "verify"]
    assert all((GITHUB / verb / "run.sh").stat().st_mode & 0o111 for verb in verbs)


@pytest.mark.parametrize("path", [*ACTIONS, *WORKFLOWS], ids=lambda path: path.parent.name)
def test_values_come_by_variables_and_actions_by_their_hash(path: Path) -> None:
    for step in steps(read(path)):
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or PINNED.fullmatch(step["uses"])


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_a_script_reads_every_input_of_its_action_and_no_other(path: Path) -> None:
    action = read(path)
    handed = {name for step in steps(action) for name in step.get("env", {})}
    script = path.with_name("run.sh").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{(INPUT_[A-Z_]+)", script))
    assert handed - {"GITHUB_TOKEN"} == wanted
    assert len(action["inputs"]) == len(handed)
    assert set(action.get("outputs", {})) == set(re.findall(r"^output ([\w-]+)", script, re.M))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-actions", ACTIONS),
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.gitlab-ci", [TEMPLATE]),
    ],
)
def test_the_files_have_the_form_that_their_services_publish(
    schema: str, files: list[Path]
) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    words = [str(checker), "--builtin-schema", schema, *map(str, files)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    """With our actions in the repository itself, so that their inputs are looked at, too."""
    program = tool("actionlint")
    shutil.copytree(GITHUB, tmp_path / "ops" / "github")
    place = tmp_path / ".github" / "workflows"
    place.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert OURS.search(text)
        (place / path.name).write_text(OURS.sub(r"./ops/github/\1", text))
    ended = subprocess.run(
        [program, "-no-color"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    wrong = place / "wrong.yml"
    wrong.write_text((place / "main.yml").read_text().replace("reason:", "raison:"))
    ended = subprocess.run(
        [program, "-no-color"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 'input "raison" is not defined' in ended.stdout


def test_zizmor_has_nothing_to_say() -> None:
    words = [tool("zizmor"), "--offline", "--no-progress", "--persona", "pedantic"]
    files = [str(path) for path in (*ACTIONS, *WORKFLOWS)]
    ended = subprocess.run([*words, *files], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_hooks_call_commands_that_are_declared() -> None:
    hooks = {one["id"]: one for one in read(HOOKS)}
    assert set(hooks) == {"ledger-lint", "ledger-lint-all", "ledger-test"}
    for hook in hooks.values():
        assert hook["entry"].startswith("ledger ")
        assert hook["language"] == "python"
        assert hook["pass_filenames"] is False


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_script_is_read_by_a_plain_shell(shell: str) -> None:
    program = installed(shell)
    scripts = [*GITHUB.glob("*/run.sh"), *GITHUB.glob("*.sh")]
    for script in scripts:
        subprocess.run([program, "-n", str(script)], check=True)


def test_the_manual_shows_both_workflows_as_they_are() -> None:
    page = (ROOT / "ops" / "manual" / "how-to" / "pipeline.md").read_text(encoding="utf-8")
    for path in WORKFLOWS:
        assert f"```yaml\n{path.read_text(encoding='utf-8')}```" in page, path.name
