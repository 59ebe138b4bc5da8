"""Why a request about keys, fences and single events of the record may be refused.

They are refusals as `ledger.domain.refusals` has them, each with what to do instead.
"""

from __future__ import annotations

from ledger.domain.refusals import InvalidArgument, RequestRefusal


class InvalidKey(InvalidArgument):
    """What was given is no public key, or cannot be registered like this."""


class UnknownKey(RequestRefusal):
    """No key is called so, or more than one is."""

    def __init__(self, key: str, found: int) -> None:
        super().__init__(
            f"{found} keys begin with {key!r}; write more of the id that `ledger keys list` shows"
            if found
            else f"no key is called {key!r}; write what `ledger keys list` shows, or its first "
            "eight digits at least"
        )
        self.key = key


class KeyTaken(RequestRefusal):
    """The key is registered for another agent."""

    def __init__(self, key: str, agent: str) -> None:
        super().__init__(
            f"the key {key} is registered for the agent {agent!r}, and no two agents share one; "
            "make another with `ledger keys generate`"
        )
        self.key = key
        self.agent = agent


class RevokedKey(RequestRefusal):
    """The key was revoked, and cannot come back."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the key {key} is revoked, which is for good; make another with `ledger keys generate`"
        )
        self.key = key


class FenceHolds(RequestRefusal):
    """A journal ends in an order that this ledger may have given: it keeps no later one out."""

    def __init__(self, database: str, order: str) -> None:
        super().__init__(
            f"nothing is wrong with the order that the journal of {database} names ({order}): this "
            "ledger has come further, so no order is kept out by it; nothing was recorded; "
            f"`ledger fleet check --select id={database}` shows what else may be wrong"
        )


class FenceUnread(RequestRefusal):
    """What a journal says could not be read, so nobody knows whether something is wrong with it."""

    def __init__(self, database: str, why: str) -> None:
        super().__init__(f"the journal of {database} could not be read: {why}")


class ReadableEvent(RequestRefusal):
    """An event that can be read is to be set aside: what was recorded stays in force."""

    def __init__(self, position: int, kind: str) -> None:
        super().__init__(
            f"the event at position {position} ({kind}) can be read, so it stays in force; only "
            "what nobody can read is set aside, and `ledger audit unreadable` lists that"
        )


class OtherEvent(RequestRefusal):
    """Another event stands at a position than the one that was looked at."""

    def __init__(self, position: int, leaf: str) -> None:
        super().__init__(
            f"the hash of the event at position {position} is {leaf}: it is not the one that was "
            "meant; look at `ledger audit unreadable` again"
        )


class ReasonRequired(RequestRefusal):
    """The request changes what the ledger believes of a database, so it must say why."""

    def __init__(
        self,
        request: str,
        what: str = "makes the ledger forget what it believed of the database",
    ) -> None:
        super().__init__(f"{request} {what}; say why with --reason")
