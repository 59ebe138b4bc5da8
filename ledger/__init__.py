"""The ledger: decides what a rollout does next, records what happened, orders agents to act."""
