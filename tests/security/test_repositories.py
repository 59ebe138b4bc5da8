"""A repository that came from somebody: what its own settings make git run, when we ask git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ledger.service.commit import ask_git

QUESTIONS = (
    ("rev-parse", "HEAD"),
    ("status", "--porcelain", "--", "."),
    ("diff", "--name-only", "-z", "--no-renames", "--relative", "HEAD", "--", "."),
    ("ls-files", "--others", "--exclude-standard", "-z", "--", "."),
)
"""As they are asked where a folder is registered, and where the changed files are judged."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of migrations in a repository, with a file that was changed since."""
    folder = tmp_path / "repository" / "migrations"
    folder.mkdir(parents=True)
    git(folder.parent, "init", "-q")
    (folder / "1_a.sql").write_text("SELECT 1;\n")
    commit(folder.parent)
    (folder / "1_a.sql").write_text("SELECT 2;\n")
    return folder


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a trace, and passes on what it is given."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    program.chmod(0o755)
    return program


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody who prepares something."""
    named = (
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "-c",
        "protocol.file.allow=always",
    )
    return subprocess.run(
        ["git", *named, "-C", str(folder), *arguments],  # noqa: S607
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def commit(repository: Path) -> None:
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "x")


async def asked(folder: Path) -> list[str | None]:
    return [await ask_git(folder, *question) for question in QUESTIONS]


def hook(hooks: Path, trap: Path, name: str) -> None:
    hooks.mkdir(exist_ok=True)
    (hooks / name).write_text(trap.read_text())
    (hooks / name).chmod(0o755)


async def test_git_says_which_commit_a_folder_is_of_and_what_changed(folder: Path) -> None:
    (folder / "2_b.sql").write_text("SELECT 2;\n")
    head, status, changed, further = await asked(folder)
    assert (head or "").strip() == git(folder, "rev-parse", "HEAD")
    assert (status or "").split() == ["M", "migrations/1_a.sql", "??", "migrations/2_b.sql"]
    assert (changed, further) == ("1_a.sql\0", "2_b.sql\0")


SETTINGS = {
    "a monitor of files": ("core.fsmonitor", "{trap}"),
    "a filter": ("filter.x.clean", "{trap}"),
    "a filter that stays": ("filter.x.process", "{trap}"),
    "a filter of a strange name": ("filter.x=y.clean", "{trap}"),
    "a diff of its own": ("diff.external", "{trap}"),
    "a form of its own for texts": ("diff.x.textconv", "{trap}"),
    "a diff for some files": ("diff.x.command", "{trap}"),
    "a pager": ("core.pager", "{trap}"),
    "an editor": ("core.editor", "{trap}"),
    "ways to what is shared": ("core.alternateRefsCommand", "{trap}"),
    "hooks elsewhere": ("core.hooksPath", "{folder}/hooks"),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("where", ["local", "worktree", "included"])
async def test_no_program_runs_that_the_repositorys_own_settings_name(
    folder: Path, trap: Path, tmp_path: Path, setting: tuple[str, str], where: str
) -> None:
    repository = folder.parent
    name, value = setting
    attribute = name.split(".")[1] if name.count(".") == 2 else "x"
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text(
        f"*.sql filter={attribute} diff={attribute}\n"
    )
    for one in ("post-index-change", "pre-commit", "post-checkout"):
        hook(repository / ".git" / "hooks", trap, one)
        hook(tmp_path / "hooks", trap, one)
    value = value.format(trap=trap, folder=tmp_path)
    if where == "worktree":
        git(repository, "config", "extensions.worktreeConfig", "true")
        git(repository, "config", "--worktree", name, value)
    elif where == "included":
        git(repository, "config", "--file", ".git/more", name, value)
        git(repository, "config", "include.path", "more")
    else:
        git(repository, "config", name, value)
    await asked(folder)
    assert not (tmp_path / "sprung").exists()


async def test_the_trap_would_be_sprung_by_somebody_who_only_asks_git(
    folder: Path, trap: Path, tmp_path: Path
) -> None:
    git(folder.parent, "config", "core.fsmonitor", str(trap))
    git(folder, "status", "--porcelain")
    assert (tmp_path / "sprung").exists()


async def test_a_folder_in_a_clone_that_looks_like_a_repository_is_none(
    folder: Path, trap: Path, tmp_path: Path
) -> None:
    """It has a HEAD, objects, refs, and settings, which are files like others to whoever clones."""
    inner = folder / "inner"
    inner.mkdir()
    git(inner, "init", "-q", "--bare")
    (inner / "config").write_text(
        f"[core]\nrepositoryformatversion = 0\nbare = false\nworktree = {folder}\n"
        f"fsmonitor = {trap}\n"
    )
    (inner / "1_a.sql").write_text("SELECT 1;\n")
    assert await ask_git(inner, "status", "--porcelain") is None
    assert not (tmp_path / "sprung").exists()


async def test_a_submodule_is_not_asked(folder: Path, trap: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "a").write_text("a")
    commit(other)
    git(folder.parent, "submodule", "add", "-q", str(other), "migrations/more")
    commit(folder.parent)
    git(folder / "more", "config", "core.fsmonitor", str(trap))
    await asked(folder)
    assert not (tmp_path / "sprung").exists()


async def test_nothing_is_fetched_by_a_program_of_the_repositorys(
    folder: Path, trap: Path, tmp_path: Path
) -> None:
    repository = folder.parent
    blob = git(repository, "rev-parse", "HEAD:migrations/1_a.sql")
    for name, value in (
        ("remote.origin.url", str(tmp_path / "nowhere")),
        ("remote.origin.uploadpack", str(trap)),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
        ("protocol.ext.allow", "always"),
        ("core.sshCommand", str(trap)),
    ):
        git(repository, "config", name, value)
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for url in (str(tmp_path / "nowhere"), f"ext::{trap}", "git@example.org:x.git"):
        git(repository, "config", "remote.origin.url", url)
        await asked(folder)
        await ask_git(folder, "diff", "--stat", "HEAD")
    assert not (tmp_path / "sprung").exists()


async def test_filters_of_the_users_own_stay(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "gitconfig"
    own.write_text('[filter "x"]\nclean = sed s/2/1/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    (folder.parent / ".git" / "info").mkdir(exist_ok=True)
    (folder.parent / ".git" / "info" / "attributes").write_text("*.sql filter=x\n")
    os.utime(folder / "1_a.sql", (0, 0))
    assert await ask_git(folder, "status", "--porcelain") == ""
