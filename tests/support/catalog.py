"""What a tenant database looks like: its catalog and its rows, to be compared before and after."""

from __future__ import annotations

import asyncpg

from migrations.literals import quote_ident

SCHEMA = """
    SELECT 'column', attrelid::regclass::text, attname || ' ' || format_type(atttypid, atttypmod)
        || ' ' || attnotnull || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid) || ' ' || indisvalid
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid)
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'type', typname, typtype::text FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'comment', objoid::regclass::text, coalesce(attname, '') || ' ' || description
    FROM pg_description
    LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0
    WHERE classoid = 'pg_class'::regclass
        AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    ORDER BY 1, 2, 3
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
ROWS = "SELECT to_jsonb(it)::text FROM {} AS it ORDER BY 1"

Snapshot = tuple[list[tuple[object, ...]], list[tuple[object, ...]]]


async def snapshot(connection: asyncpg.Connection) -> Snapshot:
    """The catalog of the schema `public`, and every row in it."""
    catalog = await connection.fetch(SCHEMA)
    rows: list[tuple[object, ...]] = []
    for (table,) in await connection.fetch(TABLES):
        found = await connection.fetch(ROWS.format(quote_ident(table)))
        rows += [(table, row[0]) for row in found]
    return [tuple(row) for row in catalog], rows
