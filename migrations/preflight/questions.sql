-- What is asked before anything is applied and a glance (`glance.sql`) could not settle, all in one READ
-- ONLY transaction and one round trip. The operators need no schema: `begin_asking` gives the transaction
-- a search_path of pg_catalog alone. Nothing here takes a lock that can be waited for, but for the sizes
-- of tables on which nobody wants to be alone.
--
-- A new session plans all of it once, and that is nearly all that it costs: so functions are asked, and no
-- views above them, names are looked up by to_reg*, and what can be sorted and compared in Python is.

-- name: begin_asking
-- Names are found as a script finds them, and then asked about as ourselves. Limits are short: whoever
-- asks has not begun. A name that is not there is not touched.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL statement_timeout TO '10s';
SET LOCAL lock_timeout TO '500ms';
SET LOCAL row_security TO off;
SET LOCAL ROLE NONE;
SET LOCAL search_path TO DEFAULT;
SELECT pg_catalog.set_config('migration_ledger.touched', coalesce((
    SELECT pg_catalog.string_agg(pg_catalog.concat(
        pg_catalog.to_regclass(named.name)::pg_catalog.oid::pg_catalog.text, '/', named.wanted), ',')
    FROM ROWS FROM (pg_catalog.unnest((:names)::pg_catalog.text[]),
        pg_catalog.unnest((:wanted)::pg_catalog.text[])) AS named (name, wanted)
    WHERE pg_catalog.to_regclass(named.name) IS NOT NULL), ''), true);
SELECT pg_catalog.set_config('migration_ledger.makes_in',
    coalesce(pg_catalog.current_schema(), ''), true);
SET LOCAL search_path TO pg_catalog, pg_temp

-- name: here
-- The database, and the role.
here AS MATERIALIZED (
    SELECT pg_catalog.split_part(pg_catalog.pg_relation_filepath(1259), '/', -2)::oid AS oid,
        coalesce(pg_catalog.to_regrole(pg_catalog.quote_ident(
            coalesce(:role, session_user::text)))::oid, 0) AS role
)

-- name: touched
-- The tables with their partitions, and the locks on them.
, named (oid, wanted, owned) AS (
    SELECT pg_catalog.split_part(one, '/', 1)::oid, pg_catalog.split_part(one, '/', 2)::integer,
        pg_catalog.split_part(one, '/', 3) = 'own'
    FROM pg_catalog.string_to_table(
        nullif(pg_catalog.current_setting('migration_ledger.touched', true), ''), ',') AS one
), below (oid, wanted, owned, root) AS (
    SELECT coalesce(i.indrelid, n.oid), n.wanted, n.owned, coalesce(i.indrelid, n.oid)
    FROM named AS n LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = n.oid
    UNION
    SELECT h.inhrelid, b.wanted, false, b.root
    FROM below AS b JOIN pg_catalog.pg_inherits AS h ON h.inhparent = b.oid
), touched AS MATERIALIZED (
    SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relpages,
        c.reltuples, c.relfrozenxid, c.relminmxid, c.reloptions, c.relkind, b.wanted, b.owned
    FROM (SELECT oid, pg_catalog.max(wanted) AS wanted, pg_catalog.bool_or(owned) AS owned
            FROM below GROUP BY oid ORDER BY oid LIMIT 5000) AS b
        JOIN pg_catalog.pg_class AS c ON c.oid = b.oid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'migration_ledger'
), held AS MATERIALIZED (
    SELECT l.pid, l.virtualtransaction, l.mode, l.granted, l.relation AS oid
    FROM pg_catalog.pg_lock_status() AS l
    WHERE l.locktype = 'relation' AND l.database = (SELECT h.oid FROM here AS h)
        AND l.relation = ANY (ARRAY(SELECT t.oid FROM touched AS t))
        AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
)

-- name: server
SELECT pg_catalog.jsonb_build_object(
    'may_see', pg_catalog.has_table_privilege('pg_catalog.pg_roles', 'SELECT'),
    'standby', pg_catalog.pg_is_in_recovery(),
    'version', pg_catalog.current_setting('server_version_num'),
    'role', coalesce(:role, session_user::text),
    'role_missing', h.role = 0,
    'role_closed', CASE WHEN h.role <> 0
        THEN NOT pg_catalog.pg_has_role(session_user, h.role, 'MEMBER') END,
    'makes_in', pg_catalog.current_setting('migration_ledger.makes_in', true),
    'may_make', CASE WHEN h.role <> 0 THEN pg_catalog.has_schema_privilege(h.role, pg_catalog.to_regnamespace(
        pg_catalog.quote_ident(nullif(pg_catalog.current_setting('migration_ledger.makes_in', true), '')))::oid, 'CREATE') END,
    'may_keep_journal', pg_catalog.to_regnamespace('migration_ledger') IS NOT NULL
        OR pg_catalog.has_database_privilege(session_user, h.oid, 'CREATE'),
    'others', CASE WHEN h.role <> 0 THEN (
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(t.name, pg_catalog.pg_get_userbyid(t.relowner)))
        FROM touched AS t WHERE t.owned
            AND NOT pg_catalog.pg_has_role(h.role, t.relowner, 'USAGE')) END)
FROM here AS h

-- name: tables
-- The size of a table on which somebody wants to be alone is taken from its statistics: asking for it
-- would wait. A partitioned table is as large as all its partitions.
SELECT pg_catalog.jsonb_build_object(
    'largest', (pg_catalog.array_agg(pg_catalog.jsonb_build_array(s.name, s.bytes)
        ORDER BY s.bytes DESC NULLS LAST))[1:20],
    'longest', (pg_catalog.array_agg(pg_catalog.jsonb_build_array(s.name, s.rows)
        ORDER BY s.rows DESC NULLS LAST))[1:20],
    'touched', pg_catalog.count(*),
    'invalid', (SELECT pg_catalog.jsonb_agg(i.indexrelid::pg_catalog.regclass)
        FROM touched AS t JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
        WHERE t.relkind <> 'p' AND NOT i.indisvalid))
FROM (SELECT w.name, pg_catalog.sum(p.bytes) AS bytes, pg_catalog.sum(p.rows) AS rows
    FROM (SELECT t.oid, greatest(t.reltuples, pg_catalog.pg_stat_get_live_tuples(t.oid), 0) AS rows,
            coalesce(CASE WHEN t.oid <> ALL (ARRAY(
                    SELECT h.oid FROM held AS h WHERE h.mode = 'AccessExclusiveLock'))
                THEN pg_catalog.pg_total_relation_size(t.oid) END,
                pg_catalog.int84mul(pg_catalog.current_setting('block_size')::bigint, t.relpages)) AS bytes
        FROM touched AS t WHERE t.relkind = ANY ('{r,m,t}'::"char"[])) AS p
    JOIN (SELECT b.oid, b.root FROM below AS b UNION SELECT t.oid, t.oid FROM touched AS t) AS b ON b.oid = p.oid
    JOIN touched AS w ON w.oid = b.root
    GROUP BY w.oid, w.name) AS s

-- name: locks
-- A row of `lockers` for each lock in the way, the oldest first; what is hidden from us has no state. A
-- process of the server has no user. Whoever may not read the view (`may_see`) is not told by the function either.
SELECT pg_catalog.jsonb_build_object(
    'may_see', pg_catalog.has_table_privilege('pg_catalog.pg_stat_activity', 'SELECT'),
    'now', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()),
    'freezes_at', pg_catalog.current_setting('autovacuum_freeze_max_age'),
    'multixacts_at', pg_catalog.current_setting('autovacuum_multixact_freeze_max_age'),
    'lockers', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM (
        SELECT h.pid, h.mode, t.wanted, t.name AS "table", a.pid IS NOT NULL AS seen,
            CASE WHEN a.usesysid <> 0 THEN pg_catalog.pg_get_userbyid(a.usesysid) END AS "user",
            a.application_name AS app, a.state, a.backend_type AS kind, p.gid,
            pg_catalog.date_part('epoch', coalesce(p.prepared, a.xact_start)) AS since,
            pg_catalog.date_part('epoch', a.state_change) AS still_since,
            t.relkind, pg_catalog.age(t.relfrozenxid) AS frozen,
            pg_catalog.mxid_age(t.relminmxid) AS multixacts, t.reloptions AS options,
            pg_catalog.strpos(a.query, '(to prevent wraparound)') AS prevents
        FROM held AS h
            JOIN touched AS t ON t.oid = h.oid
            LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a ON a.pid = h.pid
            LEFT JOIN (pg_catalog.pg_lock_status() AS x
                    JOIN pg_catalog.pg_prepared_xact() AS p ON p.transaction = x.transactionid)
                ON h.pid IS NULL AND x.pid IS NULL
                AND x.locktype = 'transactionid' AND x.virtualtransaction = h.virtualtransaction
        WHERE h.granted ORDER BY since NULLS FIRST LIMIT 200) AS s))

-- name: snapshots
-- The oldest ones, which CONCURRENTLY waits for.
SELECT pg_catalog.jsonb_build_object(
    'may_see', pg_catalog.has_table_privilege('pg_catalog.pg_stat_activity', 'SELECT'),
    'now', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()),
    'snapshots', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM (
        SELECT a.pid, pg_catalog.pg_get_userbyid(a.usesysid) AS "user", a.application_name AS app, a.state,
            pg_catalog.date_part('epoch', a.xact_start) AS since
        FROM pg_catalog.pg_stat_get_activity(NULL) AS a
        WHERE a.datid = (SELECT h.oid FROM here AS h) AND a.pid <> pg_catalog.pg_backend_pid()
            AND a.usesysid <> 0 AND (a.backend_xmin IS NOT NULL OR a.state IS NULL)
        ORDER BY since NULLS FIRST LIMIT 50) AS s))

-- name: connections
-- How many each application has, on the server and in this database apart from ours.
SELECT pg_catalog.jsonb_build_object(
    'at_most', pg_catalog.current_setting('max_connections'),
    'of', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(g)) FROM (
        SELECT a.application_name AS app, pg_catalog.count(*) AS number,
            pg_catalog.count(CASE WHEN a.datid = (SELECT h.oid FROM here AS h)
                AND a.pid <> pg_catalog.pg_backend_pid() THEN 1 END) AS here
        FROM pg_catalog.pg_stat_get_activity(NULL) AS a
        WHERE a.usesysid IS NOT NULL AND a.datid IS NOT NULL
        GROUP BY a.application_name LIMIT 1000) AS g))

-- name: replication
-- Slots hold WAL back since a place, standbys have replayed it up to one; both are told in bytes.
SELECT pg_catalog.jsonb_build_object(
    'slots', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.slot_name,
        CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn) END))
        FROM pg_catalog.pg_get_replication_slots() AS r WHERE r.restart_lsn IS NOT NULL),
    'standbys', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.application_name,
        CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn) END))
        FROM pg_catalog.pg_stat_get_wal_senders() AS r
            LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a ON a.pid = r.pid
        WHERE r.state IS NULL OR r.state = ANY ('{streaming,catchup}'::text[])))

-- name: backup
SELECT pg_catalog.jsonb_build_object('age', pg_catalog.date_part('epoch',
    pg_catalog.clock_timestamp() - ((:query))::pg_catalog.timestamptz))

-- name: space
SELECT pg_catalog.jsonb_build_object('free', ((:query))::pg_catalog.numeric)
