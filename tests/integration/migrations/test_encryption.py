"""A server that does not prove who it is: refused, in words that name the cause."""

from __future__ import annotations

import pytest

from migrations.errors import Unreachable
from migrations.target.session import ConnectionSettings, open_session


async def test_a_server_without_tls_is_refused_and_the_message_says_so(
    tenant_database: str,
) -> None:
    settings = ConnectionSettings.from_url(tenant_database)
    with pytest.raises(Unreachable, match="does not offer TLS") as refused:
        await open_session(settings, application_name="test")
    assert not refused.value.transient


async def test_a_mode_that_proves_nothing_is_refused_before_anything_is_sent(
    tenant_database: str,
) -> None:
    settings = ConnectionSettings.from_url(f"{tenant_database}?sslmode=require")
    with pytest.raises(Unreachable, match="sslmode require does not prove who answers"):
        await open_session(settings, application_name="test")
