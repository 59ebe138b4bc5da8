"""What the ledger and its agents say to each other: events, commands, reports, envelope."""
