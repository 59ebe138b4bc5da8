"""Chats, pagers and mail by apprise, which is an extra: `pip install 'migration-ledger[notify]'`.

It says only whether a service took a message, and why not in lines of its log, which quote
addresses. Those lines go nowhere; of them, the number of an HTTP status is kept.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ledger.domain.messages import Notification
from ledger.notifier.references import SecretMissing, read
from ledger.settings.errors import SettingsError

if TYPE_CHECKING:
    import apprise

KEY_SHOWN = 12
"""Characters of a message's key: enough for a person to see that it came twice."""
TITLE_CHARS = 500
"""Of a title: a mail server refuses a subject whose line has more than 998, and not every word can
be put on the next one.
"""
_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_STATUS = re.compile(r"error=(\d{3})\b")
_CHATTY = ("apprise", "requests", "urllib3", "smtplib")
"""Loggers whose lines may hold an address, or what was sent."""


class AppriseService:
    """One service, by its address as apprise writes it; it is a secret."""

    def __init__(self, address: str) -> None:
        load()
        self._address = address

    def send(self, message: Notification) -> str:
        """Send a message: empty when it was taken, else why not, without any secret. Blocks."""
        try:
            address = read(self._address)
        except SecretMissing as missing:
            return str(missing)
        import apprise

        with _Lines() as lines:
            plugin = _plugin(address)
            if plugin is None:
                return f"{self._address} holds no address that apprise knows"
            _mark(plugin, message.key)
            try:
                taken = plugin.notify(
                    body=f"{message.text}\nkey: {message.key[:KEY_SHOWN]}",
                    title=_shortened(message.title),
                    notify_type=apprise.NotifyType(_TYPES[message.severity]),
                    body_format=apprise.NotifyFormat.TEXT,
                )
            except Exception:
                # What 173 services raise is nobody's to list, and may quote what was sent.
                return "apprise could not send it"
        if taken:
            return ""
        return f"it answered HTTP {lines.status}" if lines.status else "it did not take it"


@cache
def load() -> None:
    """Load apprise with all that it knows. Raises `SettingsError` where it is not installed."""
    if find_spec("apprise") is None:
        raise SettingsError(
            "a target is a service by apprise, which is not installed here; install it with "
            "pip install 'migration-ledger[notify]', or use a webhook"
        )
    # What is deprecated in it is nothing that whoever notifies can change.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _plugin("json://localhost")


def silence() -> None:
    """Keep what libraries say while they send out of our log, for as long as this process lives."""
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.propagate = False
        # What is not said at all, no handler can hear; warnings are read for their status.
        logger.setLevel(logging.WARNING if name == "apprise" else logging.CRITICAL)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def _plugin(address: str) -> apprise.NotifyBase | None:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="migration-ledger",
        app_desc="migration-ledger",
        app_url="",
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        secure_logging=True,
    )
    found = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    return found if isinstance(found, apprise.NotifyBase) else None


def _shortened(title: str) -> str:
    return title if len(title) <= TITLE_CHARS else f"{title[:TITLE_CHARS]}..."


def _mark(plugin: object, key: str) -> None:
    """Say the message's key where a service has a place for it: PagerDuty's deduplication key."""
    if hasattr(plugin, "dedup"):
        plugin.dedup = key


class _Lines(logging.Handler):
    """Hears what apprise says in this thread, and remembers a status."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Look for a status in one line."""
        if record.thread == self._thread and (found := _STATUS.search(record.getMessage())):
            self.status = found[1]

    def __enter__(self) -> _Lines:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
