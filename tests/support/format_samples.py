"""One folder for each format, each with the same: a table, a function with a body, an index."""

from __future__ import annotations

from pathlib import Path

TABLE = "CREATE TABLE colours (id int PRIMARY KEY, name text NOT NULL);\n"
FUNCTION = """\
CREATE FUNCTION shade(colour text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'dark ' || colour; -- a semicolon; in a body
END;
$$"""
INDEX = "CREATE INDEX CONCURRENTLY colours_name ON colours (name);\n"
WRAPPED = f"BEGIN;\n{TABLE}COMMIT;\n"

FOLDERS = {
    "goose": {
        "00001_table.sql": f"-- +goose Up\n{WRAPPED}\n-- +goose Down\nDROP TABLE colours;\n",
        "00002_shade.sql": (
            f"-- +goose Up\n-- +goose StatementBegin\n{FUNCTION}\n-- +goose StatementEnd\n"
            "-- +goose Down\nDROP FUNCTION shade;\n"
        ),
        "00010_index.sql": (
            f"-- +goose NO TRANSACTION\n-- +goose Up\n{INDEX}"
            "-- +goose Down\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "dbmate": {
        "20230101000000_table.sql": f"--migrate:up\n{TABLE}\n--migrate:down\nDROP TABLE colours;\n",
        "20230102000000_shade.sql": (
            f"-- migrate:up\n{FUNCTION}\n\n-- migrate:down\nDROP FUNCTION shade\n"
        ),
        "20230103000000_index.sql": (
            f"-- migrate:up transaction:false\n{INDEX}"
            "-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "golang-migrate": {
        "1_table.up.sql": WRAPPED,
        "1_table.down.sql": "DROP TABLE colours",
        "2_shade.up.sql": FUNCTION,
        "2_shade.down.sql": "DROP FUNCTION shade;",
        "10_index.up.sql": f"SELECT 1;\n{INDEX}",
        "10_index.down.sql": "DROP INDEX colours_name;",
    },
    "flyway": {
        "V1__table.sql": TABLE,
        "U1__table.sql": "DROP TABLE colours;",
        "V1.2__shade.sql": FUNCTION,
        "U1.2__shade.sql": "DROP FUNCTION shade;",
        "V1_10__index.sql": INDEX,
        "U1_10__index.sql": "DROP INDEX CONCURRENTLY colours_name;",
    },
    "sqitch": {
        "sqitch.plan": (
            "%syntax-version=1.0.0\n%project=paint\n\n"
            "table 2023-01-01T00:00:00Z A <a@b.c>\n"
            "shade [table] 2023-01-02T00:00:00Z A <a@b.c>\n"
            "index [table] 2023-01-03T00:00:00Z A <a@b.c>\n"
        ),
        "deploy/table.sql": WRAPPED,
        "revert/table.sql": "BEGIN;\nDROP TABLE colours;\nCOMMIT;\n",
        "verify/table.sql": "BEGIN;\nINSERT INTO colours VALUES (1, 'red');\nROLLBACK;\n",
        "deploy/shade.sql": FUNCTION,
        "revert/shade.sql": "DROP FUNCTION shade;",
        "deploy/index.sql": INDEX,
        "revert/index.sql": "DROP INDEX CONCURRENTLY colours_name;",
        "verify/index.sql": "SELECT 1 / count(*) FROM pg_indexes WHERE indexname = 'colours_name';",
    },
    "sql-migrate": {
        "1_table.sql": (
            f"-- +migrate Up\n{TABLE}-- +migrate Down\nDROP TABLE colours;\n"
            "-- +migrate Verify\nSELECT to_regclass('colours') IS NOT NULL;\n"
        ),
        "2_shade.sql": (
            f"-- +migrate Up\n-- +migrate StatementBegin\n{FUNCTION};\n-- +migrate StatementEnd\n"
            "-- +migrate Down\nDROP FUNCTION shade;\n"
        ),
        "10_index.sql": (
            f"-- +migrate Up notransaction\n{INDEX}"
            "-- +migrate Down notransaction\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "plain": {
        "20230101000000_table/up.sql": WRAPPED,
        "20230101000000_table/down.sql": "DROP TABLE colours;",
        "20230102000000_shade.up.sql": FUNCTION,
        "20230102000000_shade.down.sql": "DROP FUNCTION shade;",
        "20230103000000_index.up.sql": f"-- no-transaction\n{INDEX}",
        "20230103000000_index.down.sql": "DROP INDEX colours_name;",
    },
}


def written(path: Path, files: dict[str, str]) -> Path:
    """Write these files below `path`, which is returned."""
    for name, text in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    return path
