"""A bundle says which commit it was registered from, and whether that is the whole truth."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ledger.contracts.events import BundleRegistered, ChangeAccepted, FileGone
from ledger.service.request_context import RequestContext
from tests.support.house import House
from tests.support.installed import installed

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git finds only repositories that a test makes, and no settings of people."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


async def test_a_bundle_of_a_clean_tree_names_its_commit(house: House) -> None:
    commit = committed(house.folder)
    assert await registered(house) == (commit, False)


async def test_a_bundle_of_uncommitted_files_says_that_the_tree_was_dirty(house: House) -> None:
    commit = committed(house.folder)
    house.migration("3")
    assert await registered(house) == (commit, True)


async def test_what_is_dirty_outside_of_the_folder_does_not_count(house: House) -> None:
    commit = committed(house.folder.parent)
    (house.folder.parent / "notes.txt").write_text("not a migration")
    assert await registered(house) == (commit, False)


async def test_a_bundle_from_outside_of_any_repository_names_none(house: House) -> None:
    assert await registered(house) == (None, None)


async def test_a_repository_without_a_commit_counts_as_none(house: House) -> None:
    git(house.folder, "init", "--quiet")
    assert await registered(house) == (None, None)


async def test_what_is_accepted_of_a_file_counts_in_its_own_history_only(
    house: House, tmp_path: Path
) -> None:
    bundles, asked = house.ledger.bundles, RequestContext(reason="it never ran")
    for name in ("shop", "mail"):
        for version in ("1", "2"):
            write(tmp_path / name / f"{version}_a.sql", f"CREATE TABLE {name}_{version} (id int);")
        await bundles.register(tmp_path / name, RequestContext())
        (tmp_path / name / "2_a.sql").unlink()
        write(tmp_path / name / "1_a.sql", "CREATE TABLE one (id int);")
    await bundles.accept_gone(tmp_path / "shop", "2", asked, dry=True)
    assert await house.events(FileGone) == []
    await bundles.accept_gone(tmp_path / "shop", "2", asked)
    await bundles.accept_changed(tmp_path / "shop", "1", asked, dry=True)
    assert await house.events(ChangeAccepted) == []
    await bundles.accept_changed(tmp_path / "shop", "1", asked)
    said = [one.event for one in await house.events(FileGone, ChangeAccepted)]
    histories = [one.history for one in said if isinstance(one, FileGone | ChangeAccepted)]
    assert histories == ["shop", "shop"]
    ours, theirs = [await bundles.read(tmp_path / name) for name in ("shop", "mail")]
    assert [one.version for one in ours.vanished] == []
    assert [one.version for one in theirs.vanished] == ["2"]
    assert [bool(one.accepts) for one in ours.registration.migrations] == [True]
    assert [bool(one.accepts) for one in theirs.registration.migrations] == [False]


def write(file: Path, up: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"-- +migrate Up\n{up}\n")


async def registered(house: House) -> tuple[str | None, bool | None]:
    """What the log says of the commit and the tree, once the folder is registered."""
    await house.ledger.bundles.register(house.folder, RequestContext())
    (recorded,) = await house.events(BundleRegistered)
    assert isinstance(recorded.event, BundleRegistered)
    return recorded.event.git_commit, recorded.event.git_dirty


def committed(folder: Path) -> str:
    """Make the folder a repository with everything committed; the commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, *AUTHOR, "commit", "--quiet", "--message", "all of it")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    """What git says to this in the folder."""
    answer = subprocess.run(
        [installed("git"), *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()
