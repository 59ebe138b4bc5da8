"""A broker that comes back without what it had."""

from __future__ import annotations

import shutil

from ledger.embedded.kafka import EmbeddedKafka


def lose_data(broker: EmbeddedKafka) -> None:
    """Let it come back on the same port, empty: no topics, no offsets, another cluster."""
    broker.kill()
    shutil.rmtree(broker.folder / "data")
    broker.start()
