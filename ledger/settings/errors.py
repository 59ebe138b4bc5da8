"""What both programs say of settings that cannot be."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting is unknown, unreadable or wrong; nothing was started. Never shows a secret."""
