"""What a program was told: flags over `LEDGER_*` over `./ledger.toml` over the user's file.

A room of the floor: `ledger` and `ledger-agent` read the same sections.
"""

from ledger.bus.security import KafkaSection, KafkaSettings
from ledger.settings.address import masked
from ledger.settings.errors import SettingsError
from ledger.settings.model import RolloutSection, Settings, Transport
from ledger.settings.sections import (
    AgentSection,
    LogForm,
    MonitoringSection,
    SharedSettings,
    SigningSection,
)
from ledger.settings.sources import (
    LoadedSettings,
    Origin,
    load,
    load_shared,
    setting_names,
    user_file,
    variable,
    variables,
)
from ledger.settings.trust import TrustedKey

__all__ = [
    "AgentSection",
    "KafkaSection",
    "KafkaSettings",
    "LoadedSettings",
    "LogForm",
    "MonitoringSection",
    "Origin",
    "RolloutSection",
    "Settings",
    "SettingsError",
    "SharedSettings",
    "SigningSection",
    "Transport",
    "TrustedKey",
    "load",
    "load_shared",
    "masked",
    "setting_names",
    "user_file",
    "variable",
    "variables",
]
