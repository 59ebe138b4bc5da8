"""Everything that `agents` raises on purpose.

    AgentError
    ├── ReferenceRefused     a secret's reference cannot or may not be read
    └── TextRefused          a migration's text is not the one that was ordered

Every message says what is wrong and what to do next, and no message holds a secret.
"""

from __future__ import annotations


class AgentError(Exception):
    """Root of all errors of this package."""


class ReferenceRefused(AgentError):
    """A secret's reference cannot be read, or may not be."""


class TextRefused(AgentError):
    """A migration's text, as it arrived, is not the one that was ordered."""
