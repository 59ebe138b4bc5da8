"""The history tables of other tools: how each is recognised, read and understood.

Three tools call their table `schema_migrations`; its columns tell golang-migrate's, and Rails keeps
`ar_internal_metadata` beside it. Every statement reads and does nothing else; `{table}` stands for
the table's quoted name, and is the only thing that is put in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from migrations.model.foreign_history import ForeignHistory, ForeignRow, Tool

ToolRows = Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class HistoryKeeper:
    """How one tool keeps its history.

    `columns` are those that tell its table from others of the same name, `companion` a table that
    must stand beside it (or must not, with a leading `!`).
    """

    tool: Tool
    table: str
    columns: frozenset[str]
    sql: str
    understand: Callable[[str, ToolRows], ForeignHistory]
    companion: str = ""


def _versions(tool: Tool) -> Callable[[str, ToolRows], ForeignHistory]:
    """One row per migration, and nothing else."""

    def understand(table: str, found: ToolRows) -> ForeignHistory:
        rows = tuple(ForeignRow(str(row["version"])) for row in found)
        return ForeignHistory(tool, table, rows, len(found))

    return understand


def _golang_migrate(table: str, found: ToolRows) -> ForeignHistory:
    """One row, the newest version; `dirty` while a migration runs, and after one that failed."""
    rows = tuple(ForeignRow(str(row["version"]), below=True) for row in found)
    dirty = [str(row["version"]) for row in found if row["dirty"]]
    problem = (
        f"{table} says that version {dirty[0]} is dirty: it failed half-way; put the schema right "
        f"by hand, then say so with `migrate force VERSION`"
        if dirty
        else ""
    )
    return ForeignHistory(Tool.GOLANG_MIGRATE, table, rows, len(found), problem)


def _goose(table: str, found: ToolRows) -> ForeignHistory:
    """A row per up and per down (older releases); the last one of a version holds."""
    last = {row["version_id"]: bool(row["is_applied"]) for row in found}
    rows = tuple(
        ForeignRow(str(version)) for version, applied in last.items() if applied and version
    )
    return ForeignHistory(Tool.GOOSE, table, rows, len(found))


_FLYWAY_BASELINES = ("BASELINE", "SQL_BASELINE", "BASELINE_SCRIPT")


def _flyway(table: str, found: ToolRows) -> ForeignHistory:
    """By installed_rank; an undone or deleted version does not hold, a repeatable has none."""
    held: dict[str, ForeignRow] = {}
    failed = ""
    for row in found:
        kind, version, script = row["type"], row["version"], row["script"]
        if not row["success"]:
            failed = script
            continue
        failed = "" if failed == script else failed
        if kind == "SCHEMA":
            continue
        if kind.startswith("UNDO") or kind == "DELETE":
            held.pop(version or script, None)
            continue
        held.pop(version or script, None)
        held[version or script] = ForeignRow(
            version or "",
            "" if kind == "BASELINE" else script.rpartition("/")[2],
            below=kind in _FLYWAY_BASELINES,
            repeatable=version is None,
            checksum=row["checksum"],
        )
    problem = (
        f"{table} says that {failed} failed; put the schema right by hand, then clear the entry "
        "with `flyway repair`"
        if failed
        else ""
    )
    return ForeignHistory(Tool.FLYWAY, table, tuple(held.values()), len(found), problem)


def _sql_migrate(table: str, found: ToolRows) -> ForeignHistory:
    rows = tuple(ForeignRow(row["id"], row["id"]) for row in found)
    return ForeignHistory(Tool.SQL_MIGRATE, table, rows, len(found))


def _sqitch(table: str, found: ToolRows) -> ForeignHistory:
    """Changes in the order of their deployment; a reworked one stands there once per deployment."""
    projects = sorted({row["project"] for row in found})
    problem = (
        f"{table} holds the changes of several projects ({', '.join(projects)}), and a folder has "
        "one plan; keep the journals apart in schemas, or use `--through VERSION`"
        if len(projects) > 1
        else ""
    )
    rows = tuple(ForeignRow(row["change"], row["change"]) for row in found)
    return ForeignHistory(Tool.SQITCH, table, rows, len(found), problem)


def _sqlx(table: str, found: ToolRows) -> ForeignHistory:
    """A row per migration, written before it runs where it takes no transaction."""
    failed = [str(row["version"]) for row in found if not row["success"]]
    rows = tuple(
        ForeignRow(str(row["version"]), checksum=bytes(row["checksum"]).hex()) for row in found
    )
    problem = (
        f"{table} says that version {failed[0]} failed half-way; put the schema right by hand, "
        "then delete its row, or set `success` in it"
        if failed
        else ""
    )
    return ForeignHistory(Tool.SQLX, table, rows, len(found), problem)


def _prisma(table: str, found: ToolRows) -> ForeignHistory:
    """A row per attempt; one that was rolled back does not hold."""
    held = [row for row in found if row["rolled_back_at"] is None]
    failed = [row["migration_name"] for row in held if row["finished_at"] is None]
    rows = tuple(
        ForeignRow(row["migration_name"], row["migration_name"], checksum=row["checksum"])
        for row in held
    )
    problem = (
        f"{table} says that {failed[0]} failed; put the schema right by hand, then say so with "
        f"`prisma migrate resolve`"
        if failed
        else ""
    )
    return ForeignHistory(Tool.PRISMA, table, rows, len(found), problem)


def _node_pg_migrate(table: str, found: ToolRows) -> ForeignHistory:
    rows = tuple(ForeignRow(row["name"], row["name"]) for row in found)
    return ForeignHistory(Tool.NODE_PG_MIGRATE, table, rows, len(found))


def _graphile_migrate(table: str, found: ToolRows) -> ForeignHistory:
    """The name of a file there is its number alone, whatever its description is."""
    rows = tuple(
        ForeignRow(row["filename"].removesuffix(".sql"), checksum=row["hash"]) for row in found
    )
    return ForeignHistory(Tool.GRAPHILE_MIGRATE, table, rows, len(found))


def _tern(table: str, found: ToolRows) -> ForeignHistory:
    """One row, the newest version; 0 before the first one."""
    rows = tuple(ForeignRow(str(row["version"]), below=True) for row in found if row["version"])
    return ForeignHistory(Tool.TERN, table, rows, len(found))


def _play(table: str, found: ToolRows) -> ForeignHistory:
    rows = tuple(ForeignRow(str(row["id"])) for row in found)
    failed = [str(row["id"]) for row in found if row["state"] != "applied"]
    problem = (
        f"{table} says that evolution {failed[0]} is not finished; put the schema right by hand, "
        "then mark it as resolved in the application"
        if failed
        else ""
    )
    return ForeignHistory(Tool.PLAY, table, rows, len(found), problem)


def _django(table: str, found: ToolRows) -> ForeignHistory:
    rows = tuple(ForeignRow(f"{row['app']}.{row['name']}", row["name"]) for row in found)
    return ForeignHistory(Tool.DJANGO, table, rows, len(found))


_VERSIONS = "SELECT version FROM {table} ORDER BY version"

TABLES: tuple[HistoryKeeper, ...] = (
    HistoryKeeper(
        Tool.GOLANG_MIGRATE,
        "schema_migrations",
        frozenset({"version", "dirty"}),
        "SELECT version, dirty FROM {table}",
        _golang_migrate,
    ),
    HistoryKeeper(
        Tool.RAILS,
        "schema_migrations",
        frozenset({"version"}),
        _VERSIONS,
        _versions(Tool.RAILS),
        companion="ar_internal_metadata",
    ),
    HistoryKeeper(
        Tool.DBMATE,
        "schema_migrations",
        frozenset({"version"}),
        _VERSIONS,
        _versions(Tool.DBMATE),
        companion="!ar_internal_metadata",
    ),
    HistoryKeeper(
        Tool.GOOSE,
        "goose_db_version",
        frozenset({"id", "version_id", "is_applied"}),
        "SELECT version_id, is_applied FROM {table} ORDER BY id",
        _goose,
    ),
    HistoryKeeper(
        Tool.FLYWAY,
        "flyway_schema_history",
        frozenset({"installed_rank", "version", "type", "script", "checksum", "success"}),
        "SELECT version, type, script, checksum, success FROM {table} ORDER BY installed_rank",
        _flyway,
    ),
    HistoryKeeper(
        Tool.SQL_MIGRATE,
        "gorp_migrations",
        frozenset({"id", "applied_at"}),
        "SELECT id FROM {table} ORDER BY id",
        _sql_migrate,
    ),
    HistoryKeeper(
        Tool.SQITCH,
        "sqitch.changes",
        frozenset({"change_id", "change", "project", "committed_at"}),
        "SELECT change, project FROM {table} ORDER BY committed_at, planned_at",
        _sqitch,
    ),
    HistoryKeeper(
        Tool.SQLX,
        "_sqlx_migrations",
        frozenset({"version", "description", "success", "checksum"}),
        "SELECT version, success, checksum FROM {table} ORDER BY version",
        _sqlx,
    ),
    HistoryKeeper(
        Tool.DIESEL,
        "__diesel_schema_migrations",
        frozenset({"version", "run_on"}),
        _VERSIONS,
        _versions(Tool.DIESEL),
    ),
    HistoryKeeper(
        Tool.PRISMA,
        "_prisma_migrations",
        frozenset({"migration_name", "checksum", "finished_at", "rolled_back_at", "started_at"}),
        "SELECT migration_name, checksum, finished_at, rolled_back_at FROM {table} "
        "ORDER BY started_at, migration_name",
        _prisma,
    ),
    HistoryKeeper(
        Tool.NODE_PG_MIGRATE,
        "pgmigrations",
        frozenset({"id", "name", "run_on"}),
        "SELECT name FROM {table} ORDER BY run_on, id",
        _node_pg_migrate,
    ),
    HistoryKeeper(
        Tool.GRAPHILE_MIGRATE,
        "graphile_migrate.migrations",
        frozenset({"hash", "previous_hash", "filename"}),
        "SELECT filename, hash FROM {table} ORDER BY filename",
        _graphile_migrate,
    ),
    HistoryKeeper(
        Tool.TERN,
        "schema_version",
        frozenset({"version"}),
        "SELECT version FROM {table}",
        _tern,
    ),
    HistoryKeeper(
        Tool.PLAY,
        "play_evolutions",
        frozenset({"id", "hash", "apply_script", "revert_script", "state"}),
        "SELECT id, state FROM {table} ORDER BY id",
        _play,
    ),
    HistoryKeeper(
        Tool.ALEMBIC,
        "alembic_version",
        frozenset({"version_num"}),
        "SELECT version_num AS version FROM {table} ORDER BY version_num",
        _versions(Tool.ALEMBIC),
    ),
    HistoryKeeper(
        Tool.DJANGO,
        "django_migrations",
        frozenset({"app", "name", "applied"}),
        "SELECT app, name FROM {table} ORDER BY id",
        _django,
    ),
)


def kept_by(tool: Tool) -> HistoryKeeper:
    """How this tool keeps its history."""
    return next(kept for kept in TABLES if kept.tool is tool)
