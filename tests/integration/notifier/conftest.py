"""The ledger of the leading tests, and a notifier that logs in with its own role."""

from __future__ import annotations

from tests.integration.leader.conftest import house, house_template
from tests.integration.service.conftest import log_in

__all__ = ["house", "house_template", "log_in"]
