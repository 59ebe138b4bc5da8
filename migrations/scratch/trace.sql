-- What a trace asks of the scratch database. Names are qualified, operators too (ops/decisions/0017): the
-- statements that are traced are their authors', and so may the search_path be.

-- name: relations
-- Every relation that is not PostgreSQL's own, with the number of the file that it is kept in.
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relkind::pg_catalog.text AS relkind,
    pg_catalog.pg_relation_filenode(c.oid) AS node
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast'::pg_catalog.name

-- name: locked
-- What our session holds locked, whether it is still there or not.
SELECT l.relation AS oid, CASE WHEN c.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END AS name,
    c.relkind::pg_catalog.text AS relkind,
    pg_catalog.pg_relation_filenode(l.relation) AS node, l.modes
FROM (SELECT relation, pg_catalog.array_agg(mode) AS modes FROM pg_catalog.pg_locks
    WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND locktype OPERATOR(pg_catalog.=) 'relation'
        AND relation OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    GROUP BY relation) AS l
LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) l.relation
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace

-- name: read_through
-- How often this transaction has read a relation from one end to the other; older releases count what their
-- session did before it, too, so that it is asked twice.
SELECT c.oid AS relid, pg_catalog.pg_stat_get_xact_numscans(c.oid) AS times
FROM pg_catalog.pg_class AS c
WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::"char"[])
    AND pg_catalog.pg_stat_get_xact_numscans(c.oid) OPERATOR(pg_catalog.>) 0

-- name: beyond
-- Whether this transaction has written to what all databases of the server share: roles and their members and
-- settings, databases, tablespaces.
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
    WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND locktype OPERATOR(pg_catalog.=) 'relation'
        AND database OPERATOR(pg_catalog.=) 0::pg_catalog.oid
        AND mode OPERATOR(pg_catalog.<>) 'AccessShareLock' AND mode OPERATOR(pg_catalog.<>) 'RowShareLock'
        AND relation OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_authid'::pg_catalog.regclass,
            'pg_catalog.pg_auth_members'::pg_catalog.regclass, 'pg_catalog.pg_db_role_setting'::pg_catalog.regclass,
            'pg_catalog.pg_database'::pg_catalog.regclass, 'pg_catalog.pg_tablespace'::pg_catalog.regclass
        ]::pg_catalog.oid[]))
