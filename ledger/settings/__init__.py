"""What this program was told: flags over `LEDGER_*` over `./ledger.toml` over the user's file."""

from ledger.settings.model import AgentSection, KafkaSection, RolloutSection, Settings, Transport
from ledger.settings.sources import (
    LoadedSettings,
    Origin,
    load,
    masked,
    setting_names,
    user_file,
    variable,
)

__all__ = [
    "AgentSection",
    "KafkaSection",
    "LoadedSettings",
    "Origin",
    "RolloutSection",
    "Settings",
    "Transport",
    "load",
    "masked",
    "setting_names",
    "user_file",
    "variable",
]
