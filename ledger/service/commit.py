"""Which commit a folder is of, as git says it."""

from __future__ import annotations

import asyncio
from pathlib import Path

GIT_TIMEOUT_S = 5.0
"""How long git may take to say which commit this is; a bundle registers without it."""


async def ask_git(folder: Path, *arguments: str) -> str | None:
    """What git says about the folder, or `None` where there is no git or no repository."""
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "-C", str(folder), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(GIT_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return output.decode(errors="replace") if process.returncode == 0 else None
