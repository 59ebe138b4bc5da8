"""Rehearsal: every migration up, down and up again, on a database that nobody needs.

    for each migration, in order:
      rows ─▶ snapshot, contents ─▶ up ─▶ verify ─▶ down ─▶ snapshot, contents ─▶ up ─▶ checks
    VERSION.before.sql    │                                    │            VERSION.after.sql
                          └──────── must be the same ──────────┘

A way back that leaves something behind, takes away too much, or does not bring rows back is found
here, and nowhere where it would matter. What a migration has no down for is said, and is no fault.
"""
