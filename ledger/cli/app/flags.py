"""The options that stand before the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.settings import LoadedSettings


@dataclass(frozen=True, slots=True)
class Flags:
    """What stood before the command: settings by dotted name, another settings file, and how much
    is said: --debug, --quiet, --verbose, which may stand behind the command, too.
    """

    values: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None
    debug: bool = False
    quiet: bool = False
    verbose: bool = False

    def load(self) -> LoadedSettings:
        """All settings with these flags on top. Raises `SettingsError`."""
        from ledger.settings import load

        return load(self.values, self.file)
