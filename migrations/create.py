"""Writes the file of a new migration, ready to be filled in.

The file does not load until a statement stands below Up: an empty migration is a mistake.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from migrations.bundle import migration_files
from migrations.errors import CreateError
from migrations.version import version_and_name, version_key

_TEMPLATE = """\
-- Name:        {name}
-- Version:     {version}
-- Author:      {author}
-- Date:        {date}
-- Description: {description}

-- +migrate Up lock_timeout=2s
-- One transaction, unless a statement such as CREATE INDEX CONCURRENTLY cannot run in one.


-- +migrate Down lock_timeout=2s
-- Restores the schema exactly as it was. Delete this section if there is no way back.


-- +migrate Verify
-- Every SELECT must return rows, and true in the first column of each.
"""
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
_NAME_MAX_CHARS = 100
"""Far below the 255 bytes that file systems allow for a name."""


def create(
    folder: Path, title: str, *, at: datetime, author: str = "", description: str = ""
) -> Path:
    """Write a template called `YYYYMMDDhhmmss_title.sql` into `folder` and return its path.

    `at` is the moment of creation, with a time zone; the version is its UTC time. The folder is
    made if it is missing. Raises CreateError when the title gives no name, or when a file has this
    version or this name already; an existing file is never written to.
    """
    moment = at.astimezone(UTC)
    name, version = _name_of(title), f"{moment:%Y%m%d%H%M%S}"
    _make(folder)
    _refuse_clash(folder, version, name)
    path = folder / f"{version}_{name}.sql"
    text = _TEMPLATE.format(
        name=name,
        version=version,
        author=_one_line(author),
        date=f"{moment:%Y-%m-%d}",
        description=_one_line(description or title),
    )
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise CreateError(
            f"{path.name} cannot be written ({error.strerror}). Check the folder's permissions"
        ) from None
    return path


def _name_of(title: str) -> str:
    name = _NOT_IN_A_NAME.sub("_", title.lower()).strip("_")[:_NAME_MAX_CHARS].rstrip("_")
    if not name:
        raise CreateError(
            f"{title!r} gives no file name. Use letters a to z and digits, like add_email_index"
        )
    return name


def _one_line(text: str) -> str:
    """A comment must not end early: whatever breaks a line becomes a space."""
    return " ".join(text.split())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CreateError(
            f"the folder {folder} cannot be made ({error.strerror}). Name another folder"
        ) from None


def _refuse_clash(folder: Path, version: str, name: str) -> None:
    for file in migration_files(folder):
        taken = version_and_name(file[: -len(".sql")])
        if taken is None:
            continue
        if version_key(taken[0]) == version_key(version):
            raise CreateError(f"{file} has version {version} already. Try again in a second")
        if taken[1].lower() == name:
            raise CreateError(
                f"{file} has this name already. Choose another name, or edit that file"
            )
