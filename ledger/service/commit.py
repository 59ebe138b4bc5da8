"""Which commit a folder is of, as git says it.

A repository's own settings may name programs, which git runs to answer: a monitor of files, hooks,
filters for contents, commands that fetch what is missing. Whoever packed the folder wrote them, and
a folder of a clone may pretend to be a repository, too. So none of them counts for what we ask.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from migrations.child_process import wait_unheard

GIT_TIMEOUT_S = 5.0
"""How long git may take to say which commit this is; a bundle registers without it."""
_SAFELY = (
    "-c", "core.fsmonitor=false",
    "-c", f"core.hooksPath={os.devnull}",
    # A repository without a work tree is only one where somebody says so.
    "-c", "safe.bareRepository=explicit",
)  # fmt: skip
_ALONE = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_ITS_OWN = ("local", "worktree")
"""The scopes of settings that come with a repository; all others are the user's own."""


async def ask_git(folder: Path, command: str, *arguments: str) -> str | None:
    """What git says about the folder, or `None` where there is no git or no repository.

    Nothing runs but git, whatever the repository's settings say.
    """
    if command in ("status", "diff"):
        # These run it for submodules, too, which have settings of their own.
        arguments = ("--ignore-submodules=all", *arguments)
    if command == "diff":
        arguments = ("--no-ext-diff", "--no-textconv", *arguments)
    set_by_it = await _asked(
        folder, {}, "config", "--show-scope", "-z", "--name-only", "--get-regexp", r"^filter\."
    )
    parts = (set_by_it or "").split("\0")
    said = zip(parts[::2], parts[1::2], strict=False)
    filters = {name for scope, name in said if scope in _ITS_OWN}
    return await _asked(folder, _emptied(sorted(filters)), command, *arguments)


def _emptied(names: list[str]) -> dict[str, str]:
    """What takes the value of these settings away; names may hold any character."""
    variables = {"GIT_CONFIG_COUNT": str(len(names))} if names else {}
    for number, name in enumerate(names):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": ""}
    return variables


async def _asked(folder: Path, settings: Mapping[str, str], *arguments: str) -> str | None:
    try:
        process = await asyncio.create_subprocess_exec(
            "git", *_SAFELY, "-C", str(folder), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **_ALONE, **settings},
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(GIT_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await wait_unheard(process)
        return None
    return output.decode(errors="replace") if process.returncode == 0 else None
