-- What a database's schema is, one row per object: kind, up to three parts of its name, and what it is.
--
-- The statements between `common` and `changed` are branches of one UNION ALL, so that a whole catalog takes
-- one round trip; those whose names begin with `database_` are left out where a schema is the target. `:name`
-- stands for what `migrations.catalog.query` puts there: expressions that depend on the server's release, and
-- grants. What is as PostgreSQL makes it by itself is NULL and so not said: then releases that have different
-- words for it say the same. Names are qualified, operators too (ops/decisions/0017).
--
-- A schema that is the target is called '' in names, so that tenants with a schema each look alike.

-- name: look
-- One snapshot for all of it, in which nothing can be written; `settled` says whether that is the truth.
-- What waits for a lock of somebody's DDL gives up, for then there is no consistent answer to be had.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL ROLE NONE;
SET LOCAL search_path TO :path;
SET LOCAL row_security TO off;
SET LOCAL lock_timeout TO '5s';
SET LOCAL statement_timeout TO '120s';
SET LOCAL extra_float_digits TO 1;
SET LOCAL quote_all_identifiers TO off;
SET LOCAL IntervalStyle TO postgres;
SET LOCAL DateStyle TO 'ISO, MDY';
SET LOCAL bytea_output TO hex;
SET LOCAL jit TO off;
SET LOCAL join_collapse_limit TO 1;
SET LOCAL from_collapse_limit TO 1;
SET LOCAL max_parallel_workers_per_gather TO 0

-- name: probe
-- Who is meant by the names that differ from tenant to tenant, and which branches there is anything for: the
-- server plans no others, which takes it longer than to answer them.
SELECT pg_catalog.jsonb_build_object(
    'database', d.datname, 'schema', (SELECT n.nspname FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname OPERATOR(pg_catalog.=) :target_schema),
    'owner', pg_catalog.pg_get_userbyid(coalesce((SELECT n.nspowner FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname OPERATOR(pg_catalog.=) :target_schema), d.datdba)),
    'superuser', pg_catalog.pg_get_userbyid(10::pg_catalog.oid),
    'branches', pg_catalog.jsonb_build_object(
        'sequences', EXISTS (SELECT FROM pg_catalog.pg_sequence AS o WHERE true),
        'functions', EXISTS (SELECT FROM pg_catalog.pg_proc AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
        'triggers', EXISTS (SELECT FROM pg_catalog.pg_trigger AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND NOT o.tgisinternal),
        'rules', EXISTS (SELECT FROM pg_catalog.pg_rewrite AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND (o.rulename OPERATOR(pg_catalog.<>) '_RETURN'::pg_catalog.name OR o.ev_enabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char")),
        'policies', EXISTS (SELECT FROM pg_catalog.pg_policy AS o WHERE true),
        'types', EXISTS (SELECT FROM pg_catalog.pg_type AS o LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) o.typrelid
            WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND o.typcategory OPERATOR(pg_catalog.<>) 'A'::pg_catalog."char"
                AND (c.oid IS NULL OR c.relkind OPERATOR(pg_catalog.=) 'c'::pg_catalog."char")),
        'statistics', EXISTS (SELECT FROM pg_catalog.pg_statistic_ext AS o WHERE true),
        'operators', EXISTS (SELECT FROM pg_catalog.pg_operator AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
        'collations', EXISTS (SELECT FROM pg_catalog.pg_collation AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
        'default_privileges', EXISTS (SELECT FROM pg_catalog.pg_default_acl AS o WHERE true),
        'database_event_triggers', EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS o WHERE true),
        'database_publications', EXISTS (SELECT FROM pg_catalog.pg_publication AS o WHERE true),
        'database_casts', EXISTS (SELECT FROM pg_catalog.pg_cast AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
        'database_others', EXISTS (SELECT FROM pg_catalog.pg_opclass AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_opfamily AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_ts_config AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_ts_dict AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_ts_parser AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_ts_template AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_conversion AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_foreign_server AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_language AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_am AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_transform AS o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)))::pg_catalog.text
FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()

-- name: common
-- Objects of users have numbers from 16384 on. What an extension made is the extension's.
WITH place AS MATERIALIZED (
    SELECT d.datname, d.datdba, d.datacl, n.oid AS schema, n.nspname,
        n.nspowner
    FROM pg_catalog.pg_database AS d
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) :target_schema
    WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
), extended AS MATERIALIZED (
    SELECT e.classid, e.objid FROM pg_catalog.pg_depend AS e
    WHERE e.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
        AND e.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char" AND e.objid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
), said AS MATERIALIZED (
    SELECT d.classoid, d.objoid, d.objsubid, d.description FROM pg_catalog.pg_description AS d
    WHERE d.objoid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
), space AS MATERIALIZED (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
        CASE WHEN p.schema IS NULL THEN n.nspname::pg_catalog.text ELSE '' END AS called
    FROM pg_catalog.pg_namespace AS n, place AS p
    WHERE CASE WHEN p.schema IS NULL THEN
        n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema,pg_toast,migration_ledger}'::pg_catalog.name[])
        AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
        AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast_temp_')
        ELSE n.oid OPERATOR(pg_catalog.=) p.schema END
), rel AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.relpersistence, c.reloptions, c.relam,
        c.reltoastrelid, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relpartbound, c.relispartition,
        c.reloftype, c.relnamespace, s.called, s.nspname,
        pg_catalog.concat(pg_catalog.to_json(s.called), ', ', pg_catalog.to_json(c.relname::pg_catalog.text)) AS place
    FROM pg_catalog.pg_class AS c JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S}'::pg_catalog."char"[])
        AND NOT EXISTS (SELECT FROM extended AS e
            WHERE e.objid OPERATOR(pg_catalog.=) c.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass)
), owned AS MATERIALIZED (
    SELECT q.*, o.refobjid, o.refobjsubid, o.deptype FROM pg_catalog.pg_sequence AS q
    LEFT JOIN pg_catalog.pg_depend AS o ON o.objid OPERATOR(pg_catalog.=) q.seqrelid
        AND o.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND o.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
        AND o.refobjsubid OPERATOR(pg_catalog.>) 0 AND o.deptype OPERATOR(pg_catalog.=) ANY ('{a,i}'::pg_catalog."char"[])
):odd

-- name: odd
-- Since 18: NOT NULL that is not proven yet, or that children do not have.
, odd AS MATERIALIZED (
    SELECT k.conrelid, k.conkey[1] AS attnum, k.convalidated FROM pg_catalog.pg_constraint AS k
    WHERE k.contype OPERATOR(pg_catalog.=) 'n'::pg_catalog."char" AND k.conrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
        AND (k.connoinherit OR NOT k.convalidated)
)

-- name: sorted
-- Storage options, in an order of their own.
(SELECT pg_catalog.jsonb_agg(o.it ORDER BY o.it) FROM pg_catalog.unnest(:options) AS o (it))

-- name: told
-- Options of what lies elsewhere: some hold passwords. So values are told of those alone that are known to
-- hold none, of others that they are there: a hash of a short secret could be guessed.
(SELECT pg_catalog.jsonb_agg(o.it ORDER BY o.it COLLATE pg_catalog."C") FROM (
    SELECT CASE WHEN pg_catalog.split_part(o.it, '=', 1) OPERATOR(pg_catalog.=) ANY (:harmless::pg_catalog.text[]) THEN o.it
        ELSE pg_catalog.concat(pg_catalog.split_part(o.it, '=', 1), ', whose value is not told') END AS it
    FROM pg_catalog.unnest(:options) AS o (it)) AS o)

-- name: grants
-- Who may do what; '' is everybody. Who granted it is not said.
(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
    CASE WHEN g.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN ''
        ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
    g.privilege_type, g.is_grantable)) FROM pg_catalog.aclexplode(:acl) AS g)

-- name: database_itself
SELECT 'database'::pg_catalog.text, ''::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'acl', :acl_database))::pg_catalog.text
FROM place AS p

-- name: schemas
-- Who owns `public`, and may create there, when nobody has changed it, is another since 15: `initial` marks it.
SELECT 'schema', s.called, NULL, NULL, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'owner', CASE WHEN s.oid OPERATOR(pg_catalog.=) 2200::pg_catalog.oid AND s.nspowner OPERATOR(pg_catalog.=) ANY ('{10,6171}'::pg_catalog.oid[]) THEN NULL
        ELSE pg_catalog.pg_get_userbyid(s.nspowner) END,
    'acl', :acl_schema,
    'initial', CASE WHEN s.oid OPERATOR(pg_catalog.=) 2200::pg_catalog.oid THEN true END,
    'comment', (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid OPERATOR(pg_catalog.=) s.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
            AND NOT (s.oid OPERATOR(pg_catalog.=) 2200::pg_catalog.oid AND d.description OPERATOR(pg_catalog.=) 'standard public schema'))))::pg_catalog.text
FROM space AS s
WHERE NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) s.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass)

-- name: relations
SELECT CASE WHEN r.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" THEN 'view'
        WHEN r.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog."char" THEN 'materialized view'
        WHEN r.relkind OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" THEN 'foreign table' ELSE 'table' END,
    r.called, r.relname::pg_catalog.text, NULL,
    CASE WHEN r.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" AND r.relacl IS NULL AND r.reloptions IS NULL
        AND r.relpersistence OPERATOR(pg_catalog.=) 'p'::pg_catalog."char" AND t.oid IS NULL
        AND r.relam OPERATOR(pg_catalog.=) 2::pg_catalog.oid AND NOT r.relrowsecurity AND NOT r.relforcerowsecurity
        AND r.relreplident OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" AND r.relpartbound IS NULL AND h.parents IS NULL
        AND r.reloftype OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND d.description IS NULL
    THEN pg_catalog.concat('{"owner": ', pg_catalog.to_json(pg_catalog.pg_get_userbyid(r.relowner)), '}')
    ELSE pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(r.relowner),
        'acl', :acl_relation,
        'unlogged', CASE WHEN r.relpersistence OPERATOR(pg_catalog.=) 'u'::pg_catalog."char" THEN true END,
        'options', CASE WHEN r.reloptions IS NOT NULL THEN :options_relation END,
        'toast_options', CASE WHEN t.reloptions IS NOT NULL THEN :options_toast END,
        'access_method', CASE WHEN r.relam OPERATOR(pg_catalog.<>) ALL ('{0,2}'::pg_catalog.oid[]) THEN (
            SELECT m.amname FROM pg_catalog.pg_am AS m WHERE m.oid OPERATOR(pg_catalog.=) r.relam) END,
        'row_security', CASE WHEN r.relrowsecurity THEN CASE WHEN r.relforcerowsecurity THEN 'forced' ELSE 'enabled' END
            WHEN r.relforcerowsecurity THEN 'forced, not enabled' END,
        'replica_identity', CASE WHEN r.relkind OPERATOR(pg_catalog.<>) ALL ('{r,p}'::pg_catalog."char"[]) THEN NULL
            WHEN r.relreplident OPERATOR(pg_catalog.=) 'n'::pg_catalog."char" THEN 'nothing'
            WHEN r.relreplident OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" THEN 'full'
            WHEN r.relreplident OPERATOR(pg_catalog.=) 'i'::pg_catalog."char" THEN coalesce((
                SELECT pg_catalog.concat('index ', x.relname) FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
                WHERE i.indrelid OPERATOR(pg_catalog.=) r.oid AND i.indisreplident), 'nothing') END,
        'partition_by', CASE WHEN r.relkind OPERATOR(pg_catalog.=) 'p'::pg_catalog."char" THEN pg_catalog.pg_get_partkeydef(r.oid) END,
        'partition', pg_catalog.pg_get_expr(r.relpartbound, r.oid),
        'inherits', h.parents,
        'of_type', CASE WHEN r.reloftype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN pg_catalog.format_type(r.reloftype, NULL) END,
        'definition', CASE WHEN r.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog."char"[]) THEN pg_catalog.pg_get_viewdef(r.oid) END,
        'server', v.srvname, 'server_options', CASE WHEN f.ftoptions IS NOT NULL THEN :options_foreign_table END,
        'comment', d.description))::pg_catalog.text END
FROM rel AS r
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) r.oid AND d.objsubid OPERATOR(pg_catalog.=) 0
    AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) r.reltoastrelid AND t.reloptions IS NOT NULL
LEFT JOIN (
    SELECT i.inhrelid, pg_catalog.jsonb_agg(i.inhparent::pg_catalog.regclass::pg_catalog.text ORDER BY i.inhseqno) AS parents
    FROM pg_catalog.pg_inherits AS i
    WHERE NOT coalesce(i.inhdetachpending, false)
    GROUP BY i.inhrelid
) AS h ON h.inhrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN pg_catalog.pg_foreign_table AS f ON f.ftrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN pg_catalog.pg_foreign_server AS v ON v.oid OPERATOR(pg_catalog.=) f.ftserver
WHERE r.relkind OPERATOR(pg_catalog.<>) 'S'::pg_catalog."char"

-- name: columns
-- Those of views follow from the view's text. In which order a table has its columns is not said: one that
-- was added later stands last. What few columns have is put together for them alone. All lines of a relation
-- are one row: what is done per row, here, on the line and behind it, costs more than most of what they say.
SELECT 'column', r.called, r.relname::pg_catalog.text, NULL, c.lines
FROM (SELECT l.attrelid, pg_catalog.string_agg(l.line, E'\n' ORDER BY l.attname) AS lines FROM (
SELECT a.attrelid, a.attname, pg_catalog.concat('{"is": ', CASE WHEN a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char"
        OR a.attcollation OPERATOR(pg_catalog.<>) t.typcollation OR a.attstorage OPERATOR(pg_catalog.<>) t.typstorage
        OR a.attcompression OPERATOR(pg_catalog.<>) ''::pg_catalog."char" OR a.attstattarget OPERATOR(pg_catalog.>=) 0 OR a.attoptions IS NOT NULL
        OR a.attfdwoptions IS NOT NULL OR a.attacl IS NOT NULL OR d.description IS NOT NULL
    THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
        'not_null', CASE WHEN a.attnotnull THEN :not_null END,
        'default', CASE WHEN a.attgenerated OPERATOR(pg_catalog.=) ''::pg_catalog."char" THEN
            pg_catalog.pg_get_expr(g.adbin, 0::pg_catalog.oid) END,
        'generated', CASE WHEN a.attgenerated OPERATOR(pg_catalog.=) 's'::pg_catalog."char" THEN pg_catalog.concat(
                pg_catalog.pg_get_expr(g.adbin, g.adrelid), ' STORED')
            WHEN a.attgenerated OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" THEN pg_catalog.concat(
                pg_catalog.pg_get_expr(g.adbin, g.adrelid), ' VIRTUAL') END,
        'identity', CASE WHEN a.attidentity OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN 'always'
            WHEN a.attidentity OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN 'by default' END,
        'identity_sequence', CASE WHEN o.seqrelid IS NOT NULL THEN pg_catalog.jsonb_build_object(
            'start', o.seqstart, 'increment', o.seqincrement, 'min', o.seqmin, 'max', o.seqmax,
            'cache', o.seqcache, 'cycle', o.seqcycle) END,
        'collation', CASE WHEN a.attcollation OPERATOR(pg_catalog.<>) t.typcollation THEN
            a.attcollation::pg_catalog.regcollation::pg_catalog.text END,
        'storage', CASE WHEN a.attstorage OPERATOR(pg_catalog.<>) t.typstorage THEN a.attstorage END,
        'compression', CASE WHEN a.attcompression OPERATOR(pg_catalog.<>) ''::pg_catalog."char" THEN a.attcompression END,
        'statistics', CASE WHEN a.attstattarget OPERATOR(pg_catalog.>=) 0 THEN a.attstattarget END,
        'options', :options_column,
        'server_options', CASE WHEN a.attfdwoptions IS NOT NULL THEN :options_foreign_column END,
        'acl', :acl_column,
        'comment', d.description))::pg_catalog.text
    ELSE pg_catalog.concat('{"type": ', pg_catalog.to_json(pg_catalog.format_type(a.atttypid, a.atttypmod)),
        CASE WHEN g.adbin IS NOT NULL THEN pg_catalog.concat(', "default": ',
            pg_catalog.to_json(pg_catalog.pg_get_expr(g.adbin, 0::pg_catalog.oid))) END,
        CASE WHEN a.attidentity OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN ', "identity": "always"'
            WHEN a.attidentity OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN ', "identity": "by default"' END,
        CASE WHEN a.attnotnull THEN pg_catalog.concat(', "not_null": ', :not_null) END,
        CASE WHEN o.seqrelid IS NOT NULL THEN pg_catalog.format(', "identity_sequence": {"max": %s, "min": %s, '
            '"cache": %s, "cycle": %s, "start": %s, "increment": %s}', o.seqmax, o.seqmin, o.seqcache,
            CASE WHEN o.seqcycle THEN 'true' ELSE 'false' END, o.seqstart, o.seqincrement) END, '}') END,
        ', "kind": "column", "name": [', r.place, ', ', pg_catalog.to_json(a.attname::pg_catalog.text), ']}') AS line
FROM rel AS r
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) r.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
LEFT JOIN pg_catalog.pg_attrdef AS g ON g.adrelid OPERATOR(pg_catalog.=) a.attrelid AND g.adnum OPERATOR(pg_catalog.=) a.attnum
LEFT JOIN owned AS o ON o.refobjid OPERATOR(pg_catalog.=) r.oid AND o.refobjsubid OPERATOR(pg_catalog.=) a.attnum
    AND o.deptype OPERATOR(pg_catalog.=) 'i'::pg_catalog."char"
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) r.oid AND d.objsubid OPERATOR(pg_catalog.=) a.attnum
    AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE r.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,f}'::pg_catalog."char"[])
    OR r.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog."char"[])
        AND (a.atthasdef OR a.attacl IS NOT NULL OR d.description IS NOT NULL OR a.attoptions IS NOT NULL)
OFFSET 0) AS l GROUP BY l.attrelid) AS c JOIN rel AS r ON r.oid OPERATOR(pg_catalog.=) c.attrelid

-- name: constraints
-- NOT NULL is said of the column; it is an object with a name since 18 only. What a partition has from its
-- table, and what the server derives for partitions, is theirs. Those of the plainest kinds, on one column, are
-- written here as `pg_get_constraintdef` would.
SELECT 'constraint', r.called, r.relname::pg_catalog.text, k.conname::pg_catalog.text,
    CASE WHEN x.reloptions IS NULL AND g.constrained IS NULL AND d.description IS NULL
        AND (i.indexrelid IS NULL OR i.indisvalid AND NOT i.indisclustered)
    THEN pg_catalog.concat('{"definition": ', pg_catalog.to_json(coalesce(CASE
        WHEN pg_catalog.cardinality(k.conkey) OPERATOR(pg_catalog.<>) 1 OR k.condeferrable OR NOT k.convalidated THEN NULL
        WHEN k.contype OPERATOR(pg_catalog.=) ANY ('{p,u}'::pg_catalog."char"[]) AND i.indnatts OPERATOR(pg_catalog.=) 1 :plain_nulls
        THEN (SELECT pg_catalog.format('%s (%I)', CASE WHEN i.indisprimary THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, a.attname)
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) k.conrelid AND a.attnum OPERATOR(pg_catalog.=) k.conkey[1])
        WHEN k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" AND k.confupdtype OPERATOR(pg_catalog.=) 'a'::pg_catalog."char"
            AND k.confdeltype OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" AND k.confmatchtype OPERATOR(pg_catalog.=) 's'::pg_catalog."char"
        THEN (SELECT pg_catalog.format('FOREIGN KEY (%I) REFERENCES %s(%I)', a.attname,
                k.confrelid::pg_catalog.regclass, o.attname)
            FROM pg_catalog.pg_attribute AS a, pg_catalog.pg_attribute AS o
            WHERE a.attrelid OPERATOR(pg_catalog.=) k.conrelid AND a.attnum OPERATOR(pg_catalog.=) k.conkey[1]
                AND o.attrelid OPERATOR(pg_catalog.=) k.confrelid AND o.attnum OPERATOR(pg_catalog.=) k.confkey[1])
        END, pg_catalog.pg_get_constraintdef(k.oid))), '}')
    ELSE pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'definition', pg_catalog.pg_get_constraintdef(k.oid),
        'index_options', CASE WHEN x.reloptions IS NOT NULL THEN :options_index END,
        'index_state', :index_state,
        'enforced_by_triggers', CASE WHEN g.constrained IS NOT NULL THEN g.enabled END,
        'comment', d.description))::pg_catalog.text END
FROM rel AS r
JOIN pg_catalog.pg_constraint AS k ON k.conrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) k.conindid
    AND k.contype OPERATOR(pg_catalog.=) ANY ('{p,u,x}'::pg_catalog."char"[])
LEFT JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
LEFT JOIN (
    SELECT g.tgconstraint AS constrained, pg_catalog.jsonb_agg(DISTINCT g.tgenabled) AS enabled
    FROM pg_catalog.pg_trigger AS g
    WHERE g.tgisinternal AND g.tgenabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char" GROUP BY g.tgconstraint
) AS g ON g.constrained OPERATOR(pg_catalog.=) k.oid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) k.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
WHERE k.contype OPERATOR(pg_catalog.=) ANY ('{c,f,p,u,x}'::pg_catalog."char"[]) AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid

-- name: indexes
-- Those of constraints are the constraints', those of partitions their table's. Of the plainest kind, the text
-- is put together here as `pg_get_indexdef` would: that one opens the table, which takes a new session long.
SELECT 'index', n.called, n.relname, NULL,
    CASE WHEN n.is_plain THEN pg_catalog.concat('{"definition": ', pg_catalog.to_json(n.definition), '}')
    ELSE pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'definition', n.definition,
        'state', n.state,
        'statistics', CASE WHEN n.has_expressions THEN (
            SELECT pg_catalog.jsonb_agg(pg_catalog.concat(a.attnum, ':', a.attstattarget) ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) n.oid AND a.attstattarget OPERATOR(pg_catalog.>=) 0) END,
        'comment', n.description))::pg_catalog.text END
FROM (SELECT r.called, x.relname::pg_catalog.text AS relname, x.oid, d.description, i.indexprs IS NOT NULL AS has_expressions,
        i.indisvalid AND NOT i.indisclustered AND i.indexprs IS NULL AND d.description IS NULL AS is_plain,
        :index_state AS state,
        coalesce(CASE WHEN r.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" AND i.indnatts OPERATOR(pg_catalog.=) 1
                AND i.indpred IS NULL AND x.reloptions IS NULL AND i.indoption[0] OPERATOR(pg_catalog.=) 0 AND o.opcdefault :plain_nulls
            THEN (SELECT pg_catalog.format('CREATE %sINDEX %I ON %I.%I USING %I (%I)',
                    CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname, r.nspname, r.relname, m.amname, a.attname)
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
                    AND a.atttypid OPERATOR(pg_catalog.=) o.opcintype AND a.attcollation OPERATOR(pg_catalog.=) i.indcollation[0])
            END, pg_catalog.pg_get_indexdef(i.indexrelid)) AS definition
    FROM rel AS r
    JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) r.oid
    JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) x.relam
    LEFT JOIN pg_catalog.pg_opclass AS o ON o.oid OPERATOR(pg_catalog.=) i.indclass[0]
    LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid OPERATOR(pg_catalog.=) i.indexrelid AND k.conrelid OPERATOR(pg_catalog.=) i.indrelid
        AND k.contype OPERATOR(pg_catalog.=) ANY ('{p,u,x}'::pg_catalog."char"[])
    LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) x.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid OPERATOR(pg_catalog.=) 0
    WHERE NOT x.relispartition AND k.oid IS NULL
    OFFSET 0) AS n

-- name: sequences
-- That of an identity column is the column's.
SELECT 'sequence', r.called, r.relname::pg_catalog.text, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(r.relowner),
        'acl', :acl_sequence,
        'unlogged', CASE WHEN r.relpersistence OPERATOR(pg_catalog.=) 'u'::pg_catalog."char" THEN true END,
        'type', pg_catalog.format_type(q.seqtypid, NULL), 'start', q.seqstart, 'increment', q.seqincrement,
        'min', q.seqmin, 'max', q.seqmax, 'cache', q.seqcache, 'cycle', q.seqcycle,
        'owned_by', CASE WHEN q.refobjid IS NOT NULL THEN pg_catalog.concat(
            q.refobjid::pg_catalog.regclass, '.', pg_catalog.quote_ident((
            SELECT a.attname FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) q.refobjid AND a.attnum OPERATOR(pg_catalog.=) q.refobjsubid))) END,
        'comment', d.description))::pg_catalog.text
FROM rel AS r
JOIN owned AS q ON q.seqrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) r.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid OPERATOR(pg_catalog.=) 0
WHERE r.relkind OPERATOR(pg_catalog.=) 'S'::pg_catalog."char" AND coalesce(q.deptype, 'a'::pg_catalog."char") OPERATOR(pg_catalog.=) 'a'::pg_catalog."char"

-- name: functions
SELECT CASE WHEN f.prokind OPERATOR(pg_catalog.=) 'p'::pg_catalog."char" THEN 'procedure'
        WHEN f.prokind OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN 'aggregate' ELSE 'function' END,
    s.called, f.proname::pg_catalog.text, pg_catalog.pg_get_function_identity_arguments(f.oid),
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(f.proowner),
        'acl', :acl_function,
        'definition', CASE WHEN f.prokind OPERATOR(pg_catalog.<>) 'a'::pg_catalog."char" THEN pg_catalog.pg_get_functiondef(f.oid) END,
        'returns', CASE WHEN f.prokind OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN pg_catalog.pg_get_function_result(f.oid) END,
        'parallel', CASE WHEN f.prokind OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN f.proparallel END,
        'aggregate', (SELECT pg_catalog.jsonb_build_object(
                'kind', g.aggkind, 'direct_arguments', g.aggnumdirectargs,
                'transition', g.aggtransfn::pg_catalog.regproc, 'final', g.aggfinalfn::pg_catalog.regproc,
                'combine', g.aggcombinefn::pg_catalog.regproc, 'serial', g.aggserialfn::pg_catalog.regproc,
                'deserial', g.aggdeserialfn::pg_catalog.regproc, 'moving', g.aggmtransfn::pg_catalog.regproc,
                'moving_inverse', g.aggminvtransfn::pg_catalog.regproc, 'moving_final', g.aggmfinalfn::pg_catalog.regproc,
                'final_extra', g.aggfinalextra, 'final_modify', g.aggfinalmodify,
                'sort', g.aggsortop::pg_catalog.regoperator, 'state', pg_catalog.format_type(g.aggtranstype, NULL),
                'initial', g.agginitval, 'moving_initial', g.aggminitval)
            FROM pg_catalog.pg_aggregate AS g WHERE g.aggfnoid::pg_catalog.oid OPERATOR(pg_catalog.=) f.oid),
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_proc AS f
JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) f.pronamespace
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) f.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
WHERE f.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND NOT EXISTS (SELECT FROM extended AS e
        WHERE e.objid OPERATOR(pg_catalog.=) f.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass)
    -- What a range brings along is made and dropped with it.
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS o
        WHERE o.objid OPERATOR(pg_catalog.=) f.oid AND o.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
            AND o.deptype OPERATOR(pg_catalog.=) 'i'::pg_catalog."char")

-- name: triggers
-- Partitions have copies of their table's triggers, which are said where somebody has switched one.
SELECT 'trigger', r.called, r.relname::pg_catalog.text, g.tgname::pg_catalog.text,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'definition', pg_catalog.pg_get_triggerdef(g.oid),
        'enabled', CASE WHEN g.tgenabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char" THEN g.tgenabled END,
        'comment', d.description))::pg_catalog.text
FROM rel AS r
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN pg_catalog.pg_trigger AS o ON o.oid OPERATOR(pg_catalog.=) g.tgparentid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) g.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_trigger'::pg_catalog.regclass
WHERE CASE WHEN o.oid IS NULL THEN NOT g.tgisinternal
    ELSE NOT o.tgisinternal AND o.tgenabled OPERATOR(pg_catalog.<>) g.tgenabled END

-- name: rules
SELECT 'rule', r.called, r.relname::pg_catalog.text, w.rulename::pg_catalog.text,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'definition', pg_catalog.pg_get_ruledef(w.oid),
        'enabled', CASE WHEN w.ev_enabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char" THEN w.ev_enabled END,
        'comment', d.description))::pg_catalog.text
FROM rel AS r
JOIN pg_catalog.pg_rewrite AS w ON w.ev_class OPERATOR(pg_catalog.=) r.oid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) w.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
WHERE w.rulename OPERATOR(pg_catalog.<>) '_RETURN'::pg_catalog.name OR w.ev_enabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char"

-- name: policies
SELECT 'policy', r.called, r.relname::pg_catalog.text, y.polname::pg_catalog.text,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'command', y.polcmd,
        'restrictive', CASE WHEN NOT y.polpermissive THEN true END,
        'roles', (SELECT pg_catalog.jsonb_agg(CASE WHEN o.it OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN ''
            ELSE pg_catalog.pg_get_userbyid(o.it)::pg_catalog.text END) FROM pg_catalog.unnest(y.polroles) AS o (it)),
        'using', pg_catalog.pg_get_expr(y.polqual, y.polrelid),
        'check', pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid),
        'comment', d.description))::pg_catalog.text
FROM rel AS r
JOIN pg_catalog.pg_policy AS y ON y.polrelid OPERATOR(pg_catalog.=) r.oid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) y.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass

-- name: types
-- Row types of tables, arrays and multiranges come with what they belong to.
SELECT CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char" THEN 'enum' WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN 'domain'
        WHEN t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" THEN 'composite type'
        WHEN t.typtype OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" THEN 'range type' ELSE 'base type' END,
    s.called, t.typname::pg_catalog.text, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(t.typowner),
        'acl', :acl_type,
        'labels', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_agg(l.enumlabel ORDER BY l.enumsortorder)
            FROM pg_catalog.pg_enum AS l WHERE l.enumtypid OPERATOR(pg_catalog.=) t.oid) END,
        'attributes', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_agg(pg_catalog.concat(pg_catalog.quote_ident(a.attname), ' ',
                pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation OPERATOR(pg_catalog.<>) m.typcollation
                THEN pg_catalog.concat(' COLLATE ', a.attcollation::pg_catalog.regcollation) END) ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS m ON m.oid OPERATOR(pg_catalog.=) a.atttypid
            WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) END,
        'attribute_comments', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_object_agg(a.attname, h.description)
            FROM pg_catalog.pg_attribute AS a JOIN said AS h ON h.objoid OPERATOR(pg_catalog.=) a.attrelid AND h.objsubid OPERATOR(pg_catalog.=) a.attnum
                AND h.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
            WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) END,
        'type', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
        'not_null', CASE WHEN t.typnotnull THEN true END,
        'default', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN
            coalesce(pg_catalog.pg_get_expr(t.typdefaultbin, 0::pg_catalog.oid), t.typdefault) END,
        'collation', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" AND t.typcollation OPERATOR(pg_catalog.<>) (
            SELECT b.typcollation FROM pg_catalog.pg_type AS b WHERE b.oid OPERATOR(pg_catalog.=) t.typbasetype)
            THEN t.typcollation::pg_catalog.regcollation::pg_catalog.text END,
        'constraints', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_object_agg(k.conname, pg_catalog.pg_get_constraintdef(k.oid))
            FROM pg_catalog.pg_constraint AS k
            WHERE k.contypid OPERATOR(pg_catalog.=) t.oid AND k.contype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char") END,
        'constraint_comments', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_object_agg(k.conname, h.description)
            FROM pg_catalog.pg_constraint AS k JOIN said AS h ON h.objoid OPERATOR(pg_catalog.=) k.oid
                AND h.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
            WHERE k.contypid OPERATOR(pg_catalog.=) t.oid) END,
        'range', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" THEN (
            SELECT pg_catalog.jsonb_build_object('subtype', pg_catalog.format_type(g.rngsubtype, NULL),
                'multirange', g.rngmultitypid::pg_catalog.regtype,
                'collation', CASE WHEN g.rngcollation OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN
                    g.rngcollation::pg_catalog.regcollation::pg_catalog.text END,
                'operators', (SELECT o.opcname FROM pg_catalog.pg_opclass AS o WHERE o.oid OPERATOR(pg_catalog.=) g.rngsubopc),
                'canonical', g.rngcanonical::pg_catalog.regproc, 'difference', g.rngsubdiff::pg_catalog.regproc)
            FROM pg_catalog.pg_range AS g WHERE g.rngtypid OPERATOR(pg_catalog.=) t.oid) END,
        'functions', CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'b'::pg_catalog."char" THEN pg_catalog.concat_ws(' ', t.typinput::pg_catalog.regproc,
            t.typoutput::pg_catalog.regproc, t.typlen, t.typalign, t.typstorage) END,
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_type AS t
JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) t.typnamespace
LEFT JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) t.typrelid
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) t.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND t.typtype OPERATOR(pg_catalog.=) ANY ('{b,c,d,e,r}'::pg_catalog."char"[])
    AND (r.oid IS NULL OR r.relkind OPERATOR(pg_catalog.=) 'c'::pg_catalog."char")
    AND NOT (t.typcategory OPERATOR(pg_catalog.=) 'A'::pg_catalog."char" AND t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid)
    AND NOT EXISTS (SELECT FROM extended AS e
        WHERE e.objid OPERATOR(pg_catalog.=) t.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass)

-- name: statistics
SELECT 'statistics', s.called, x.stxname::pg_catalog.text, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(x.stxowner),
        'definition', pg_catalog.pg_get_statisticsobjdef(x.oid),
        'target', CASE WHEN x.stxstattarget OPERATOR(pg_catalog.>=) 0 THEN x.stxstattarget END,
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_statistic_ext AS x
JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) x.stxnamespace
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) x.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
WHERE NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) x.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)

-- name: operators
SELECT 'operator', s.called, o.oprname::pg_catalog.text, pg_catalog.concat(
        CASE WHEN o.oprleft OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN pg_catalog.format_type(o.oprleft, NULL) ELSE 'NONE' END,
        ', ', pg_catalog.format_type(o.oprright, NULL)),
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(o.oprowner),
        'function', o.oprcode::pg_catalog.regproc, 'returns', pg_catalog.format_type(o.oprresult, NULL),
        'commutator', o.oprcom::pg_catalog.regoperator, 'negator', o.oprnegate::pg_catalog.regoperator,
        'restrict', o.oprrest::pg_catalog.regproc, 'join', o.oprjoin::pg_catalog.regproc,
        'merges', o.oprcanmerge, 'hashes', o.oprcanhash,
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_operator AS o
JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) o.oprnamespace
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) o.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) o.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass)

-- name: collations
SELECT 'collation', s.called, o.collname::pg_catalog.text, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(o.collowner),
        'provider', o.collprovider, 'deterministic', o.collisdeterministic,
        'locale', coalesce(
            pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(o.*), 'colllocale'),
            pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(o.*), 'colliculocale'),
            pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(o.*), 'collcollate')),
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_collation AS o
JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) o.collnamespace
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) o.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_collation'::pg_catalog.regclass
WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) o.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_collation'::pg_catalog.regclass)

-- name: default_privileges
SELECT 'default privileges', CASE WHEN s.oid IS NULL THEN NULL WHEN s.called OPERATOR(pg_catalog.=) '' THEN '' ELSE s.called END,
    CASE WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" THEN 'tables' WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'S'::pg_catalog."char" THEN 'sequences'
        WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" THEN 'functions' WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'T'::pg_catalog."char" THEN 'types'
        WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'n'::pg_catalog."char" THEN 'schemas' ELSE 'large objects' END,
    pg_catalog.pg_get_userbyid(g.defaclrole)::pg_catalog.text,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('acl', :acl_default))::pg_catalog.text
FROM pg_catalog.pg_default_acl AS g
LEFT JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) g.defaclnamespace
CROSS JOIN place AS p
WHERE s.oid IS NOT NULL OR (p.schema IS NULL AND g.defaclnamespace OPERATOR(pg_catalog.=) 0::pg_catalog.oid)

-- name: database_extensions
-- That of PL/pgSQL has a number below those of users, unless somebody has made it again.
SELECT 'extension', x.extname::pg_catalog.text, NULL, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'version', x.extversion, 'schema', n.nspname, 'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_extension AS x
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) x.extnamespace
LEFT JOIN pg_catalog.pg_description AS d ON d.objoid OPERATOR(pg_catalog.=) x.oid
    AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.objsubid OPERATOR(pg_catalog.=) 0

-- name: database_event_triggers
SELECT 'event trigger', g.evtname::pg_catalog.text, NULL, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(g.evtowner), 'event', g.evtevent,
        'function', g.evtfoid::pg_catalog.regprocedure, 'tags', g.evttags,
        'enabled', CASE WHEN g.evtenabled OPERATOR(pg_catalog.<>) 'O'::pg_catalog."char" THEN g.evtenabled END,
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_event_trigger AS g
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) g.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
WHERE NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) g.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_event_trigger'::pg_catalog.regclass)

-- name: database_publications
SELECT 'publication', b.pubname::pg_catalog.text, NULL, NULL,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'owner', pg_catalog.pg_get_userbyid(b.pubowner),
        'all_tables', CASE WHEN b.puballtables THEN true END,
        'insert', b.pubinsert, 'update', b.pubupdate, 'delete', b.pubdelete, 'truncate', b.pubtruncate,
        'via_root', CASE WHEN b.pubviaroot THEN true END,
        'generated_columns', :generated_published,
        'tables', (SELECT pg_catalog.jsonb_object_agg(m.prrelid::pg_catalog.regclass, :published)
            FROM pg_catalog.pg_publication_rel AS m JOIN rel AS r ON r.oid OPERATOR(pg_catalog.=) m.prrelid WHERE m.prpubid OPERATOR(pg_catalog.=) b.oid),
        'schemas', :published_schemas,
        'comment', d.description))::pg_catalog.text
FROM pg_catalog.pg_publication AS b
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) b.oid AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_publication'::pg_catalog.regclass
WHERE NOT EXISTS (SELECT FROM extended AS e
    WHERE e.objid OPERATOR(pg_catalog.=) b.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_publication'::pg_catalog.regclass)

-- name: database_casts
SELECT 'cast', pg_catalog.concat(pg_catalog.format_type(k.castsource, NULL), ' AS ',
        pg_catalog.format_type(k.casttarget, NULL)), NULL, NULL,
    pg_catalog.jsonb_build_object('function', k.castfunc::pg_catalog.regprocedure, 'context', k.castcontext,
        'method', k.castmethod)::pg_catalog.text
FROM pg_catalog.pg_cast AS k
WHERE k.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND NOT EXISTS (SELECT FROM extended AS e
        WHERE e.objid OPERATOR(pg_catalog.=) k.oid AND e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_cast'::pg_catalog.regclass)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS o
        WHERE o.objid OPERATOR(pg_catalog.=) k.oid AND o.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_cast'::pg_catalog.regclass
            AND o.deptype OPERATOR(pg_catalog.=) 'i'::pg_catalog."char")

-- name: database_others
-- Rare kinds: that they are there, whose, who may use them, and what they rest on.
SELECT i.type, i.identity, NULL, NULL, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'owner', pg_catalog.pg_get_userbyid(o.owner),
    'acl', :acl_other,
    'rests_on', o.said,
    'options', o.options,
    'roles', o.roles,
    'comment', d.description))::pg_catalog.text
FROM (
    SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass AS classid, o.oid, o.opcnamespace AS space, o.opcowner AS owner,
        NULL::pg_catalog.aclitem[] AS acl, NULL::pg_catalog."char" AS acl_kind,
        pg_catalog.concat_ws(', ', pg_catalog.format_type(o.opcintype, NULL), CASE WHEN o.opcdefault THEN 'default' END,
            CASE WHEN o.opckeytype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN pg_catalog.concat('stored as ', pg_catalog.format_type(o.opckeytype, NULL)) END,
            (SELECT pg_catalog.concat('family ', f.opfname) FROM pg_catalog.pg_opfamily AS f
                WHERE f.oid OPERATOR(pg_catalog.=) o.opcfamily)) AS said,
        NULL::pg_catalog.jsonb AS options, NULL::pg_catalog.jsonb AS roles
    FROM pg_catalog.pg_opclass AS o
    UNION ALL SELECT 'pg_catalog.pg_opfamily'::pg_catalog.regclass, o.oid, o.opfnamespace, o.opfowner, NULL, NULL,
        (SELECT pg_catalog.string_agg(m.it, ', ' ORDER BY m.it COLLATE pg_catalog."C") FROM (
            SELECT pg_catalog.concat('operator ', a.amopstrategy, ' ', a.amopopr::pg_catalog.regoperator, CASE WHEN
                a.amoppurpose OPERATOR(pg_catalog.=) 'o'::pg_catalog."char" THEN ' to order by' END)
            FROM pg_catalog.pg_amop AS a WHERE a.amopfamily OPERATOR(pg_catalog.=) o.oid
            UNION ALL SELECT pg_catalog.concat('function ', a.amprocnum, ' (', pg_catalog.format_type(a.amproclefttype, NULL), ', ',
                pg_catalog.format_type(a.amprocrighttype, NULL), ') ', a.amproc::pg_catalog.oid::pg_catalog.regprocedure)
            FROM pg_catalog.pg_amproc AS a WHERE a.amprocfamily OPERATOR(pg_catalog.=) o.oid
        ) AS m (it)), NULL, NULL FROM pg_catalog.pg_opfamily AS o
    UNION ALL SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, o.oid, o.cfgnamespace, o.cfgowner, NULL, NULL,
        (
        SELECT pg_catalog.string_agg(pg_catalog.concat(m.maptokentype, '.', m.mapseqno, ' ', m.mapdict::pg_catalog.regdictionary), ', '
            ORDER BY m.maptokentype, m.mapseqno)
        FROM pg_catalog.pg_ts_config_map AS m WHERE m.mapcfg OPERATOR(pg_catalog.=) o.oid), NULL, NULL FROM pg_catalog.pg_ts_config AS o
    UNION ALL SELECT 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, o.oid, o.dictnamespace, o.dictowner, NULL, NULL,
        o.dictinitoption, NULL, NULL FROM pg_catalog.pg_ts_dict AS o
    UNION ALL SELECT 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, o.oid, o.prsnamespace, NULL, NULL, NULL,
        NULL, NULL, NULL FROM pg_catalog.pg_ts_parser AS o
    UNION ALL SELECT 'pg_catalog.pg_ts_template'::pg_catalog.regclass, o.oid, o.tmplnamespace, NULL, NULL, NULL,
        NULL, NULL, NULL FROM pg_catalog.pg_ts_template AS o
    UNION ALL SELECT 'pg_catalog.pg_conversion'::pg_catalog.regclass, o.oid, o.connamespace, o.conowner, NULL, NULL,
        o.conproc::pg_catalog.regproc::pg_catalog.text, NULL, NULL FROM pg_catalog.pg_conversion AS o
    UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, o.oid, NULL, o.fdwowner, o.fdwacl, 'F'::pg_catalog."char",
        NULL, CASE WHEN o.fdwoptions IS NOT NULL THEN :options_wrapper END, NULL FROM pg_catalog.pg_foreign_data_wrapper AS o
    UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, o.oid, NULL, o.srvowner, o.srvacl, 'S'::pg_catalog."char",
        NULL, CASE WHEN o.srvoptions IS NOT NULL THEN :options_server END, (
            SELECT pg_catalog.jsonb_agg(CASE WHEN u.umuser OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN '' ELSE u.usename::pg_catalog.text END)
            FROM pg_catalog.pg_user_mappings AS u WHERE u.srvid OPERATOR(pg_catalog.=) o.oid) FROM pg_catalog.pg_foreign_server AS o
    UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, o.oid, NULL, o.lanowner, o.lanacl, 'l'::pg_catalog."char",
        NULL, NULL, NULL FROM pg_catalog.pg_language AS o
    UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, o.oid, NULL, NULL, NULL, NULL,
        o.amhandler::pg_catalog.regproc::pg_catalog.text, NULL, NULL FROM pg_catalog.pg_am AS o
    UNION ALL SELECT 'pg_catalog.pg_transform'::pg_catalog.regclass, o.oid, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL FROM pg_catalog.pg_transform AS o
) AS o
LEFT JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) o.space
LEFT JOIN said AS d ON d.objoid OPERATOR(pg_catalog.=) o.oid AND d.classoid OPERATOR(pg_catalog.=) o.classid AND d.objsubid OPERATOR(pg_catalog.=) 0
CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.classid, o.oid, 0) AS i
WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND (o.space IS NULL OR s.oid IS NOT NULL)
    AND NOT EXISTS (SELECT FROM extended AS e WHERE e.objid OPERATOR(pg_catalog.=) o.oid AND e.classid OPERATOR(pg_catalog.=) o.classid)

-- name: settled
-- Definitions are put together from the newest state, all else is of the snapshot. They fit if of the rows
-- that the snapshot has none was changed by a transaction that has committed since; one still under way is
-- seen by nobody. What was rolled back leaves its number in a row, so the commit is asked for.
SELECT pg_catalog.to_json(EXISTS (
    SELECT FROM (
        SELECT c.xmax AS by FROM pg_catalog.pg_class AS c
        WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog."char" AND c.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT a.xmax FROM pg_catalog.pg_attribute AS a WHERE a.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                WHERE c.oid OPERATOR(pg_catalog.=) a.attrelid AND c.relpersistence OPERATOR(pg_catalog.=) 't'::pg_catalog."char")
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_attrdef AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_constraint AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_index AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_proc AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_trigger AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_rewrite AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_namespace AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
            AND NOT pg_catalog.starts_with(o.nspname::pg_catalog.text, 'pg_')
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_operator AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_statistic_ext AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
        UNION ALL SELECT o.xmax FROM pg_catalog.pg_type AS o WHERE o.xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                WHERE c.oid OPERATOR(pg_catalog.=) o.typrelid AND c.relpersistence OPERATOR(pg_catalog.=) 't'::pg_catalog."char")
    ) AS changed
    CROSS JOIN pg_catalog.pg_current_snapshot() AS s
    WHERE :committed
))
