"""What is raised of keys and signatures; each message says what to do."""

from __future__ import annotations


class KeyUnusable(Exception):
    """A key's file cannot be used, or not written."""


class NotSigned(Exception):
    """Nobody who counts signed this message; the text says what is wrong with it, to people."""
