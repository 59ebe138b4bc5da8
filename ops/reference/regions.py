"""The texts that come from the program, by name, and the places in documents that hold them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ops.reference import commands, events, files, kinds, rules, settings, telemetry

ROOT = Path(__file__).resolve().parents[2]

TEXTS: Mapping[str, Callable[[], str]] = {
    "commands-at-a-glance": commands.at_a_glance,
    "commands": commands.every_command,
    "exit-codes": commands.exit_codes,
    "settings": settings.tables,
    "topics": settings.topics,
    "events-at-a-glance": events.at_a_glance,
    "events": events.every_event,
    "values": events.values,
    "spans": telemetry.spans,
    "metrics": telemetry.metrics,
    "attributes": telemetry.attributes,
    "recipes": files.recipes,
    "lint-rules": rules.lint_rules,
    "statement-kinds": kinds.statement_kinds,
}
"""What each name between the marks stands for."""

_REGION = re.compile(
    r"^<!-- from the program: (?P<name>[\w-]+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL
)


def documents_with_regions() -> list[Path]:
    """Every Markdown file that holds such a text."""
    documents = sorted((*ROOT.glob("*.md"), *(ROOT / "ops").rglob("*.md")))
    return [path for path in documents if _REGION.search(path.read_text(encoding="utf-8"))]


def names_in(text: str) -> list[str]:
    """The names of the texts that a document holds."""
    return [found["name"] for found in _REGION.finditer(text)]


def renewed(text: str) -> str:
    """A document with all of its texts as the program says them now. Raises `KeyError`."""

    def region(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- from the program: {name} -->\n\n{TEXTS[name]().strip()}\n\n<!-- end -->"

    return _REGION.sub(region, text)
