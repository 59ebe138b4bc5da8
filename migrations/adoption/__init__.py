"""Taking over what another tool says is applied, and giving it back.

    the other tool's table ─▶ reading ─▶ History ─▶ matching ─▶ Match ─▶ adopting ─▶ our journal
    our journal ─▶ exporting ─▶ the other tool's table          removing ─▶ no journal

No migration runs in any of this. `history` and `matching` are pure; `tools` knows the tables, one
entry per tool. What was adopted is remembered with a digest of the rows, so that `watching` finds
out when somebody goes on with the other tool.
"""
