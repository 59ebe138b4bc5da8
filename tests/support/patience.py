"""How long tests wait for what should happen."""

PATIENCE_S = 75.0
"""Several times what two busy cores need. Where all is well nobody waits for it, so it is an end
for what hangs, and never a bar for a busy machine."""
