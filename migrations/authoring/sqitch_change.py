"""A new change in a Sqitch project: its line in the plan and its three scripts.

The scripts come first: a plan without the scripts it names cannot be read, and a script that no
plan names is left alone.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from migrations.authoring.templates import write_new
from migrations.errors import WrongCreation
from migrations.formats.sqitch_conf import CONF, Layout, layout_of
from migrations.formats.sqitch_plan import parse_plan

_AUTHOR = re.compile(r"[^<>]*[^<>\s]\s*<[^<>\s]+>")
_TEXTS = (
    "-- Deploy {name}\n\nBEGIN;\n\n-- Write the change here.\n\nCOMMIT;\n",
    "-- Revert {name}\n\nBEGIN;\n\n-- Restores the schema exactly as it was.\n\nCOMMIT;\n",
    "-- Verify {name}\n\nBEGIN;\n\n-- Must raise an error unless the change holds.\n\nROLLBACK;\n",
)


def create(folder: Path, name: str, moment: datetime, author: str, note: str) -> tuple[Path, ...]:
    """Add the change `name` at the end of the plan, planned at `moment` (UTC), and its scripts.

    The paths of the scripts and the plan. Raises CreateError without a plan, for an author that a
    plan cannot hold, and when the plan or a file has the name already; LoadError for a plan that
    cannot be read.
    """
    if not _AUTHOR.fullmatch(author):
        raise WrongCreation(
            "Sqitch's plan names its author; write --author 'Ada <ada@example.com>'"
        )
    layout = _layout(folder)
    plan = folder / layout.plan
    text = plan.read_text(encoding="utf-8")
    known = {change.name.casefold() for change in parse_plan(text, layout.plan).changes}
    scripts = [folder / layout.script(kind, name) for kind in range(len(_TEXTS))]
    if name in known or any(script.exists() for script in scripts):
        raise WrongCreation(f"{layout.plan} has the change {name} already. Choose another name")
    for script, template in zip(scripts, _TEXTS, strict=True):
        script.parent.mkdir(parents=True, exist_ok=True)
        write_new(script, template.format(name=name))
    break_before = "" if text.endswith("\n") else "\n"
    line = f"{name} {moment:%Y-%m-%dT%H:%M:%SZ} {author} # {note}\n"
    _replace(plan, f"{text}{break_before}{line}")
    return (*scripts, plan)


def _layout(folder: Path) -> Layout:
    names = [
        str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()
    ]
    if not any(name.endswith(".plan") for name in names):
        raise WrongCreation(f"{folder} holds no plan; begin the project with `sqitch init`")
    conf = (folder / CONF).read_text(encoding="utf-8") if CONF in names else None
    return layout_of(names, conf)


def _replace(plan: Path, text: str) -> None:
    """The plan as a whole, or not at all."""
    new = plan.with_suffix(".plan.new")
    write_new(new, text)
    os.replace(new, plan)
