"""Whose signatures under reports count: the stream `keys`."""

from __future__ import annotations

from ledger.contracts.public_keys import KeyId, PublicKeyText
from ledger.contracts.reports import Event
from ledger.contracts.streams import Author, Stream


class KeyRegistered(Event, streams=(Stream.KEYS,), author=Author.PERSON):
    """A key may sign what agents of this pool report, from here on.

    It is for the agent that holds it. `replaces` is the key whose place it takes, which stays valid
    until it is revoked.
    """

    key: KeyId
    public_key: PublicKeyText
    agent: str
    pool: str
    replaces: KeyId | None = None


class KeyRevoked(Event, streams=(Stream.KEYS,), author=Author.PERSON):
    """A key signs nothing any more: what it signed and was not recorded before is not believed."""

    key: KeyId
