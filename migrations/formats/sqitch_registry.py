"""Sqitch's own schema, `sqitch`, which some scripts name: look-alikes of what is in it.

    GRANT USAGE ON SCHEMA sqitch TO reporting;
    GRANT SELECT ON sqitch.changes TO reporting;

The columns are those of Sqitch 1.x for PostgreSQL, without the references between its tables. What
a script names is made empty, so that a verify script which looks for its own row does not hold.
Where the configuration gives the schema another name, nothing of this is recognised.
"""

from __future__ import annotations

from migrations.formats.history_table import HistoryTable

SCHEMA = "sqitch"
_COMMITTED = (
    "committed_at timestamptz NOT NULL DEFAULT clock_timestamp(), committer_name text NOT NULL, "
    "committer_email text NOT NULL, planned_at timestamptz NOT NULL, planner_name text NOT NULL, "
    "planner_email text NOT NULL"
)
_COLUMNS = {
    "releases": "version real PRIMARY KEY, installed_at timestamptz NOT NULL "
    "DEFAULT clock_timestamp(), installer_name text NOT NULL, installer_email text NOT NULL",
    "projects": "project text PRIMARY KEY, uri text UNIQUE, created_at timestamptz NOT NULL "
    "DEFAULT clock_timestamp(), creator_name text NOT NULL, creator_email text NOT NULL",
    "changes": "change_id text PRIMARY KEY, script_hash text, change text NOT NULL, "
    f"project text NOT NULL, note text NOT NULL DEFAULT '', {_COMMITTED}",
    "tags": "tag_id text PRIMARY KEY, tag text NOT NULL, project text NOT NULL, "
    f"change_id text NOT NULL, note text NOT NULL DEFAULT '', {_COMMITTED}",
    "dependencies": "change_id text NOT NULL, type text NOT NULL, dependency text NOT NULL, "
    "dependency_id text, PRIMARY KEY (change_id, dependency)",
    "events": "event text NOT NULL, change_id text NOT NULL, change text NOT NULL, "
    "project text NOT NULL, note text NOT NULL DEFAULT '', "
    "requires text[] NOT NULL DEFAULT '{}', conflicts text[] NOT NULL DEFAULT '{}', "
    f"tags text[] NOT NULL DEFAULT '{{}}', {_COMMITTED}, PRIMARY KEY (change_id, committed_at)",
}
REGISTRY = (
    HistoryTable("", "", SCHEMA),
    *(HistoryTable(name, columns, SCHEMA) for name, columns in _COLUMNS.items()),
)
"""The schema, and each of its tables."""
