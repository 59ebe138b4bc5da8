"""Commands that read the record: events, history, audit, replay."""
