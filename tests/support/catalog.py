"""What a tenant database looks like: its catalog and its rows, to be compared before and after.

The order of columns does not count: one that is dropped and made again stands last.
"""

from __future__ import annotations

import asyncpg

from migrations.sql.literals import quote_ident

# A list of grants that is empty is what its owner has by default, so that granting and revoking
# again leaves no trace.
SCHEMA = """
    SELECT 'column', attrelid::regclass::text, attname || ' ' || format_type(atttypid, atttypmod)
        || ' ' || attnotnull || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', CASE WHEN contypid = 0 THEN conrelid::regclass::text
        ELSE contypid::regtype::text END, conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid) || ' ' || indisvalid
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'trigger', tgrelid::regclass::text, concat_ws(' ', pg_get_triggerdef(oid), tgenabled)
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'function', oid::regprocedure::text, CASE WHEN prokind = 'a'
        THEN (SELECT to_jsonb(a) - 'aggfnoid' FROM pg_aggregate AS a WHERE aggfnoid = p.oid)::text
        ELSE pg_get_functiondef(oid) END
    FROM pg_proc AS p WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'relation', oid::regclass::text, concat_ws(' ', relkind, relpersistence, reloptions,
        relrowsecurity, relforcerowsecurity, relreplident, pg_get_partkeydef(oid),
        pg_get_expr(relpartbound, oid))
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'view', oid::regclass::text, pg_get_viewdef(oid)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
    UNION ALL
    SELECT 'rule', ev_class::regclass::text, pg_get_ruledef(pg_rewrite.oid)
    FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
    WHERE relnamespace = 'public'::regnamespace AND rulename <> '_RETURN'
    UNION ALL
    SELECT 'sequence', seqrelid::regclass::text, concat_ws(' ', seqtypid::regtype, seqstart,
        seqincrement, seqmin, seqmax, seqcache, seqcycle)
    FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'label', enumtypid::regtype::text, string_agg(enumlabel, ', ' ORDER BY enumsortorder)
    FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid
    WHERE typnamespace = 'public'::regnamespace
    GROUP BY enumtypid
    UNION ALL
    SELECT 'policy', polrelid::regclass::text, concat_ws(' ', polname, polcmd, polpermissive,
        polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'grant', what, concat_ws(' ', grantee::regrole, privilege_type, is_grantable)
    FROM (
        SELECT oid::regclass::text AS what, coalesce(relacl,
            acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT attrelid::regclass::text || '.' || attname, attacl
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT nspname, nspacl FROM pg_namespace WHERE nspname = 'public'
    ) AS g, aclexplode(acl)
    UNION ALL
    SELECT 'type', typname, typtype::text FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'comment', pg_describe_object(classoid, objoid, objsubid), description
    FROM pg_description, pg_identify_object(classoid, objoid, objsubid)
    WHERE "schema" = 'public'
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
