-- What is asked before anything is applied, all in one READ ONLY transaction and one round trip. The
-- operators need no schema: `begin_asking` gives the transaction a search_path of pg_catalog alone.
-- Nothing here takes a lock that can be waited for, but for the sizes of tables on which nobody wants to
-- be alone.

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

-- name: common
-- What several questions are about: the role, and the tables with their partitions.
WITH RECURSIVE acting (role, missing) AS (
    SELECT coalesce(r.oid, 0), r.oid IS NULL
    FROM (SELECT) AS nobody
        LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = coalesce(:role, session_user::text)
), named (oid, wanted, owned) AS (
    SELECT pg_catalog.split_part(one, '/', 1)::oid, pg_catalog.split_part(one, '/', 2)::integer,
        pg_catalog.split_part(one, '/', 3) = 'own'
    FROM pg_catalog.string_to_table(
        nullif(pg_catalog.current_setting('migration_ledger.touched', true), ''), ',') AS one
), below (oid, wanted, owned, depth) AS (
    SELECT coalesce(i.indrelid, n.oid), n.wanted, n.owned, 0
    FROM named AS n LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = n.oid
    UNION
    SELECT h.inhrelid, b.wanted, false, b.depth + 1
    FROM below AS b JOIN pg_catalog.pg_inherits AS h ON h.inhparent = b.oid
    WHERE b.depth < 8
), touched AS MATERIALIZED (
    SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relpages,
        c.reltuples, c.relfrozenxid, c.relminmxid, c.reloptions, c.relkind, b.wanted, b.owned
    FROM (SELECT oid, pg_catalog.max(wanted) AS wanted, pg_catalog.bool_or(owned) AS owned
            FROM below GROUP BY oid ORDER BY oid LIMIT 5000) AS b
        JOIN pg_catalog.pg_class AS c ON c.oid = b.oid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'migration_ledger'
), held AS MATERIALIZED (
    SELECT l.pid, l.virtualtransaction, l.mode, l.granted, t.name, t.oid, t.wanted
    FROM touched AS t JOIN pg_catalog.pg_locks AS l ON l.relation = t.oid AND l.locktype = 'relation'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
            WHERE d.datname = pg_catalog.current_database())
    WHERE l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
)

-- name: server
SELECT pg_catalog.jsonb_build_object(
    'standby', pg_catalog.pg_is_in_recovery(),
    'version', pg_catalog.current_setting('server_version_num')::integer,
    'role', coalesce(:role, session_user::text),
    'role_missing', a.missing,
    'role_closed', CASE WHEN a.missing THEN false
        ELSE NOT pg_catalog.pg_has_role(session_user, a.role, 'MEMBER') END,
    'makes_in', pg_catalog.current_setting('migration_ledger.makes_in', true),
    'may_make', CASE WHEN a.missing THEN false ELSE coalesce((
        SELECT pg_catalog.has_schema_privilege(a.role, n.oid, 'CREATE') FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname = pg_catalog.current_setting('migration_ledger.makes_in', true)), false) END,
    'may_keep_journal', EXISTS (
            SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'migration_ledger')
        OR pg_catalog.has_database_privilege(session_user, pg_catalog.current_database(), 'CREATE'),
    'others', CASE WHEN a.missing THEN NULL ELSE (
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(t.name, pg_catalog.pg_get_userbyid(t.relowner)))
        FROM (SELECT * FROM touched AS t WHERE t.owned
            AND NOT pg_catalog.pg_has_role(a.role, t.relowner, 'USAGE') ORDER BY t.name LIMIT 20) AS t) END)
FROM acting AS a

-- name: tables
-- The size of a table on which somebody wants to be alone is taken from its statistics: asking for it
-- would wait. Pages and rows of partitioned tables are those of their partitions.
SELECT pg_catalog.jsonb_build_object(
    'largest', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.name, s.bytes)) FROM (
        SELECT t.name, coalesce(CASE WHEN NOT EXISTS (SELECT FROM held AS h
                WHERE h.oid = t.oid AND h.mode = 'AccessExclusiveLock')
            THEN pg_catalog.pg_total_relation_size(t.oid) END,
            t.relpages::bigint * pg_catalog.current_setting('block_size')::bigint) AS bytes
        FROM touched AS t WHERE t.relkind IN ('r', 'm', 't') ORDER BY 2 DESC NULLS LAST LIMIT 20) AS s),
    'longest', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.name, s.rows)) FROM (
        SELECT t.name, greatest(t.reltuples::double precision, st.n_live_tup::double precision, 0) AS rows
        FROM touched AS t LEFT JOIN pg_catalog.pg_stat_all_tables AS st ON st.relid = t.oid
        WHERE t.relkind IN ('r', 'm') ORDER BY 2 DESC NULLS LAST LIMIT 20) AS s),
    'touched', (SELECT pg_catalog.count(*) FROM touched),
    'invalid', (SELECT pg_catalog.jsonb_agg(s.name) FROM (
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
        FROM touched AS t JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid AND NOT i.indisvalid
            JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY 1 LIMIT 100) AS s))

-- name: locks
-- A row of `lockers` for each lock in the way, the oldest first; what is hidden from us has no state. A
-- process of the server has no user.
SELECT pg_catalog.jsonb_build_object(
    'lockers', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM (
        SELECT h.pid, h.mode, h.wanted, h.name AS "table", a.pid IS NOT NULL AS seen, a.usename AS "user",
            a.application_name AS app, a.state, a.backend_type AS kind, p.gid,
            pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - coalesce(p.prepared, a.xact_start)) AS age,
            pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.state_change) AS still,
            t.wraps OR coalesce(pg_catalog.strpos(a.query, '(to prevent wraparound)') > 0, false) AS wraps
        FROM held AS h
            JOIN (SELECT t.oid, t.relfrozenxid <> '0'::pg_catalog.xid AND (pg_catalog.age(t.relfrozenxid)
                    > least(pg_catalog.current_setting('autovacuum_freeze_max_age')::bigint, (
                        SELECT o.option_value::bigint FROM pg_catalog.pg_options_to_table(t.reloptions) AS o
                        WHERE o.option_name = 'autovacuum_freeze_max_age'))
                    OR pg_catalog.mxid_age(t.relminmxid)
                    > pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::bigint) AS wraps
                FROM touched AS t) AS t ON t.oid = h.oid
            LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = h.pid
            LEFT JOIN pg_catalog.pg_locks AS x ON h.pid IS NULL AND x.pid IS NULL
                AND x.locktype = 'transactionid' AND x.virtualtransaction = h.virtualtransaction
            LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = x.transactionid
        WHERE h.granted ORDER BY age DESC NULLS FIRST, h.pid LIMIT 200) AS s))

-- name: snapshots
-- The oldest ones, which CONCURRENTLY waits for.
SELECT pg_catalog.jsonb_build_object(
    'snapshots', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM (
        SELECT a.pid, a.usename AS "user", a.application_name AS app, a.state,
            pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start) AS age
        FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
            AND a.usename IS NOT NULL AND (a.backend_xmin IS NOT NULL OR a.state IS NULL)
        ORDER BY age DESC NULLS FIRST LIMIT 50) AS s))

-- name: connections
-- By the functions under the views: planning those costs a new session several times as much.
SELECT pg_catalog.jsonb_build_object(
    'connections', coalesce(pg_catalog.sum(s.number), 0),
    'connections_at_most', pg_catalog.current_setting('max_connections')::integer,
    'applications', pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.app, s.here)
        ORDER BY s.here DESC, s.app) FILTER (WHERE s.here > 0 AND s.place <= 4))
FROM (SELECT g.app, g.number, g.here, pg_catalog.row_number() OVER (ORDER BY g.here DESC, g.app) AS place
    FROM (SELECT coalesce(nullif(a.application_name, ''), 'no name') AS app, pg_catalog.count(*) AS number,
            pg_catalog.count(*) FILTER (WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datid = (
                SELECT d.oid FROM pg_catalog.pg_database AS d
                WHERE d.datname = pg_catalog.current_database())) AS here
        FROM pg_catalog.pg_stat_get_activity(NULL) AS a
        WHERE a.usesysid IS NOT NULL AND a.datid IS NOT NULL
        GROUP BY 1) AS g) AS s

-- name: replication
SELECT pg_catalog.jsonb_build_object(
    'slots', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.slot_name, s.kept)) FROM (
        SELECT r.slot_name, CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn) END AS kept
        FROM pg_catalog.pg_get_replication_slots() AS r WHERE r.restart_lsn IS NOT NULL
        ORDER BY 2 DESC NULLS LAST LIMIT 3) AS s),
    'standbys', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.app, s.behind)) FROM (
        SELECT (SELECT a.application_name FROM pg_catalog.pg_stat_get_activity(r.pid) AS a) AS app,
            CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn) END AS behind
        FROM pg_catalog.pg_stat_get_wal_senders() AS r
        WHERE r.state IS NULL OR r.state IN ('streaming', 'catchup')
        ORDER BY 2 DESC NULLS FIRST LIMIT 3) AS s))

-- name: archiver
SELECT pg_catalog.jsonb_build_object(
    'on', pg_catalog.current_setting('archive_mode') <> 'off',
    'age', (SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - r.last_archived_time)
        FROM pg_catalog.pg_stat_archiver AS r))

-- name: backup
SELECT pg_catalog.jsonb_build_object('age', pg_catalog.date_part('epoch',
    pg_catalog.clock_timestamp() - ((:query))::pg_catalog.timestamptz))

-- name: space
SELECT pg_catalog.jsonb_build_object('free', ((:query))::pg_catalog.numeric)
