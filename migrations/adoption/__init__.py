"""Taking over what another tool says is applied, and giving it back.

    its table ─▶ history_tables ─▶ ForeignHistory ─▶ match ─▶ Match ─▶ takeover ─▶ our journal
    our journal ─▶ export ─▶ its table

No migration runs in any of this. `history` and `match` are pure; `tools` knows the tables, one
entry per tool. What was adopted is remembered with a digest of the rows, so that
`still_in_use` finds out when somebody goes on with the other tool.
"""
