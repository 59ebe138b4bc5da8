"""Keys that sign reports: whose they are, for which pools, and until when. Pure.

```
(none) ─register─▶ valid ─revoke─▶ revoked     for good: the key cannot come back
                     │ rotate
                     └──▶ valid, beside a new key for the same agent and pools, until it is revoked
```

A pool that ever had a key is believed by keys alone from then on, also when all of them are
revoked. What a key signed counts if it is recorded while the key is valid: the log's order decides,
and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import KeyRegistered, KeyRevoked
from ledger.contracts.public_keys import SHORT, key_bytes, key_id
from ledger.contracts.reports import Event
from ledger.contracts.topics import valid_pool
from ledger.domain.refusals import InvalidArgument, ReasonRequired, RequestRefusal
from migrations.printable import is_safe

KEYS = "keys"
"""The stream of these events."""
NAME_MAX_CHARS = 200


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


@dataclass(frozen=True, slots=True)
class AgentKey:
    """One key; the positions are those of the log at which it came, and was revoked."""

    key: str
    public_key: str
    agent: str
    pools: tuple[str, ...]
    registered_position: int
    replaces: str | None = None
    revoked_position: int | None = None

    @property
    def valid(self) -> bool:
        """Whether it still signs."""
        return self.revoked_position is None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys by id. `version` is the stream's; `pools` are those that are believed by keys."""

    keys: Mapping[str, AgentKey] = field(default_factory=dict)
    version: int = 0
    pools: frozenset[str] = frozenset()


def fold(ring: KeyRing, events: Iterable[Recorded]) -> KeyRing:
    """The keys after these events; events of other streams change nothing."""
    keys, version, pools = dict(ring.keys), ring.version, ring.pools
    for recorded in events:
        if recorded.stream != KEYS:
            continue
        version = recorded.stream_version
        match recorded.event:
            case KeyRegistered() as registered:
                key = _registered(keys.get(registered.key), registered, recorded.position)
                if key is not None:
                    keys[key.key] = key
                    pools |= {registered.pool}
            case KeyRevoked(key=key_) if key_ in keys and keys[key_].valid:
                keys[key_] = replace(keys[key_], revoked_position=recorded.position)
            case _:
                pass
    return KeyRing(keys, version, pools)


def register(ring: KeyRing, public_key: str, agent: str, pool: str) -> tuple[Event, ...]:
    """Let a key sign what agents of `pool` report; again for the same pool changes nothing.

    Raises `InvalidKey`, `KeyTaken` or `RevokedKey`.
    """
    if not 1 <= len(agent) <= NAME_MAX_CHARS or not is_safe(agent) or agent != agent.strip():
        raise InvalidKey(
            f"an agent's name has 1 to {NAME_MAX_CHARS} characters that can be seen; "
            "write the one of its LEDGER_AGENT_NAME"
        )
    if not valid_pool(pool):
        raise InvalidKey(f"the pool {pool!r} is none; see `ledger fleet list`")
    key = _id_of(public_key)
    known = ring.keys.get(key)
    if known is not None:
        _check_valid(known)
        if known.agent != agent:
            raise KeyTaken(key, known.agent)
        if pool in known.pools:
            return ()
    return (KeyRegistered(key=key, public_key=public_key, agent=agent, pool=pool),)


def rotate(ring: KeyRing, key: str, public_key: str) -> tuple[Event, ...]:
    """Put a new key beside an old one, for the same agent and pools; both are valid then.

    Raises `UnknownKey`, `RevokedKey`, `InvalidKey` or `KeyTaken`.
    """
    old = find(ring, key)
    _check_valid(old)
    new = _id_of(public_key)
    known = ring.keys.get(new)
    if known is not None and (known.replaces != old.key or not known.valid):
        _check_valid(known)
        raise KeyTaken(new, known.agent)
    return tuple(
        KeyRegistered(key=new, public_key=public_key, agent=old.agent, pool=pool, replaces=old.key)
        for pool in old.pools
        if known is None or pool not in known.pools
    )


def revoke(ring: KeyRing, key: str, reason: str | None) -> tuple[Event, ...]:
    """Let a key sign nothing any more. Raises `UnknownKey` or `ReasonRequired`."""
    known = find(ring, key)
    if not known.valid:
        return ()
    if not (reason or "").strip():
        raise ReasonRequired("`ledger keys revoke`", "ends for good what an agent is believed by")
    return (KeyRevoked(key=known.key),)


def find(ring: KeyRing, key: str) -> AgentKey:
    """The key that is called so, or whose id alone begins so. Raises `UnknownKey`."""
    found = [one for id_, one in ring.keys.items() if id_.startswith(key)]
    if len(key) < SHORT or len(found) != 1:
        raise UnknownKey(key, len(found) if len(key) >= SHORT else 0)
    return found[0]


def why_not(ring: KeyRing, key: str, pool: str) -> str:
    """Why this key may not speak for agents of `pool`; empty if it may."""
    known = ring.keys.get(key)
    if known is None:
        return f"the key {key} is not registered"
    if not known.valid:
        return f"the key {key} is revoked"
    if pool not in known.pools:
        return f"the key {key} may not speak for the pool {pool}"
    return ""


def _registered(known: AgentKey | None, event: KeyRegistered, position: int) -> AgentKey | None:
    """The key after this event; `None` for what no request of ours would say."""
    if known is None:
        try:
            fits = _id_of(event.public_key) == event.key
        except InvalidKey:
            fits = False
        if not fits:
            return None
        pools = (event.pool,)
        return AgentKey(event.key, event.public_key, event.agent, pools, position, event.replaces)
    if not known.valid or known.public_key != event.public_key:
        return None
    return replace(known, pools=tuple(dict.fromkeys((*known.pools, event.pool))))


def _id_of(public_key: str) -> str:
    try:
        return key_id(key_bytes(public_key))
    except ValueError as wrong:
        raise InvalidKey(f"the key {wrong}") from None


def _check_valid(known: AgentKey) -> None:
    if not known.valid:
        raise RevokedKey(known.key)
