"""What nobody can foresee: new ids, and waits that keep many apart. The port, and the host's.

What must be given again by a replay is derived (`uuid5`) and needs no chance; what guards a secret
(a nonce, a password) is no matter of ids and never comes from here.
"""

from __future__ import annotations

import random
import secrets
from typing import Protocol
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7


class Chance(Protocol):
    """The source of ids, and of what is left to chance."""

    def uuid(self) -> UUID:
        """An id that nobody had before."""

    def ordered_uuid(self) -> UUID:
        """The same; later ones are greater, so that an index takes them in at its end."""

    def text(self, alphabet: str, length: int) -> str:
        """As many characters of this alphabet."""

    def between(self, least: float, most: float) -> float:
        """A number from `least` to `most`. It guards nothing."""


class SystemChance:
    """The chance of this host."""

    def uuid(self) -> UUID:
        """Of random bits."""
        return uuid4()

    def ordered_uuid(self) -> UUID:
        """Of the time and random bits."""
        return uuid7()

    def text(self, alphabet: str, length: int) -> str:
        """Each character by itself."""
        return "".join(secrets.choice(alphabet) for _ in range(length))

    def between(self, least: float, most: float) -> float:
        """Uniform."""
        return random.uniform(least, most)  # noqa: S311  It guards nothing.


SYSTEM_CHANCE = SystemChance()
