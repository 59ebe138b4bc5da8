"""Where an event stands in the log and who may say it: what each class of events states itself."""

from __future__ import annotations

import re
from enum import StrEnum

OPERATOR_ROLE = "ledger_operator"
SERVICE_ROLE = "ledger_service"
NOTIFIER_ROLE = "ledger_notifier"
AUDITOR_ROLE = "ledger_auditor"

_ID = "[A-Za-z0-9._-]+"
LONGEST_NAME = 116
"""Characters of a stream's name: an id has a hundred, and the longest form needs sixteen more."""


class Stream(StrEnum):
    """A kind of stream, by the form of its name; `<id>` is a rollout's or a check's."""

    FLEET = "fleet"
    BUNDLES = "bundles"
    KEYS = "keys"
    ROLLOUT = "rollout-<id>"
    ROLLOUT_REPORTS = "rollout-<id>/reports"
    CHECK = "check-<id>"
    CHECK_REPORTS = "check-<id>/reports"
    LEDGER = "ledger"

    @property
    def pattern(self) -> str:
        """A regular expression, of PostgreSQL as of Python, for the name of such a stream."""
        return f"^{self.value.replace('<id>', _ID)}$"

    def is_kind_of(self, name: str) -> bool:
        """Whether a stream of this name is of this kind, as the database sees it."""
        fits = re.fullmatch(self.pattern.removesuffix("$"), name)
        return fits is not None and len(name) <= LONGEST_NAME


REPORT_STREAMS = (Stream.ROLLOUT_REPORTS, Stream.CHECK_REPORTS)
"""What agents report, beside the decisions that it answers."""


class Author(StrEnum):
    """Who may say that something happened."""

    PERSON = "person"
    """Whoever asks something of the ledger, under an operator's role."""
    LEDGER = "ledger"
    """The leading process, which draws the consequences."""
    AGENT = "agent"
    """Whoever works on databases; the leading process takes it into the log, word for word."""
    NOTIFIER = "notifier"
    """Whoever tells people what is in the log; it may say that it could not."""
    AUDITOR = "auditor"
    """Whoever compares the record with itself; it may say what differs."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The database roles that may append it."""
        match self:
            case Author.PERSON:
                return (OPERATOR_ROLE, SERVICE_ROLE)
            case Author.NOTIFIER:
                return (NOTIFIER_ROLE, SERVICE_ROLE)
            case Author.AUDITOR:
                return (AUDITOR_ROLE, SERVICE_ROLE)
            case Author.LEDGER | Author.AGENT:
                return (SERVICE_ROLE,)
