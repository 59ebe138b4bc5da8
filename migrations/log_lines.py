"""Lines of the logs of both programs: nothing that stands in one can begin another."""

from __future__ import annotations

import logging

from migrations.printable import escaped


class PrintableFormatter(logging.Formatter):
    """Lines of a log: a message is one line, and a traceback keeps its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """The line of a record."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's own name
        """The lines of a traceback."""
        return escaped(super().formatException(ei), lines=True)  # type: ignore[arg-type]
