"""What `ops/bench/fleet.py` lets run against each other, and on what."""
