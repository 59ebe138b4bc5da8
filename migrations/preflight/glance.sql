-- What is asked first, of a database where nothing is out of the ordinary: whether there is anything to ask
-- about. Where there is, `questions.sql` asks it. A new session plans each question once, and that is nearly
-- all that it costs; so none of these joins anything. (Seen on PostgreSQL 18 for one touched table, of a fresh
-- session that has taken the lock: 7.4 ms of the server for all of `questions.sql`, 2.5 for this.)
--
-- Names of tables are looked up along the login's own search_path, as a script finds them; all others are
-- qualified (ops/decisions/0017).

-- name: begin
-- Limits are short: whoever asks has not begun.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL statement_timeout TO '10s';
SET LOCAL lock_timeout TO '500ms';
SET LOCAL ROLE NONE;
SET LOCAL search_path TO DEFAULT

-- name: server
-- As the question of that name has it, but for who owns the tables.
SELECT pg_catalog.jsonb_build_object(
    'may_see', pg_catalog.has_table_privilege('pg_catalog.pg_roles', 'SELECT'),
    'standby', pg_catalog.pg_is_in_recovery(),
    'version', pg_catalog.current_setting('server_version_num'),
    'role', coalesce(:role, session_user::pg_catalog.text),
    'role_missing', (:role_oid) IS NULL,
    'role_closed', NOT pg_catalog.pg_has_role(session_user, (:role_oid), 'MEMBER'),
    'makes_in', coalesce(pg_catalog.current_schema()::pg_catalog.text, ''),
    'may_make', pg_catalog.has_schema_privilege(
        (:role_oid), pg_catalog.current_schema()::pg_catalog.text, 'CREATE'),
    'may_keep_journal', pg_catalog.to_regnamespace('migration_ledger') IS NOT NULL
        OR pg_catalog.has_database_privilege(
            session_user, pg_catalog.current_database()::pg_catalog.text, 'CREATE'))

-- name: role_oid
pg_catalog.to_regrole(pg_catalog.quote_ident(coalesce(:role, session_user::pg_catalog.text)))::pg_catalog.oid

-- name: connections
-- How many there are of how many; nothing where sessions may not be seen.
SELECT CASE WHEN pg_catalog.has_table_privilege('pg_catalog.pg_stat_activity', 'SELECT')
    THEN pg_catalog.jsonb_build_array(pg_catalog.current_setting('max_connections'), (
        SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_get_activity(NULL) AS a
        WHERE a.usesysid IS NOT NULL AND a.datid IS NOT NULL)) END

-- name: replicated
SELECT EXISTS (SELECT FROM pg_catalog.pg_get_replication_slots() AS r WHERE r.restart_lsn IS NOT NULL)
    OR EXISTS (SELECT FROM pg_catalog.pg_stat_get_wal_senders() AS w)

-- name: archiver
SELECT pg_catalog.jsonb_build_object(
    'mode', pg_catalog.current_setting('archive_mode'),
    'now', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()),
    'at', pg_catalog.date_part('epoch', (pg_catalog.pg_stat_get_archiver()).last_archived_time))

-- name: tables
-- The tables, unless somebody holds or wants a lock on one of them: then nothing here waits for it, and all is
-- asked properly. Databases that are copies of one have tables of the same numbers, so theirs are left out. Prepared transactions hold locks without a process. The names are
-- looked up once for all locks, and not once per lock: so there, and only there, in a query of their own.
SELECT CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_lock_status() AS l
        WHERE l.relation OPERATOR(pg_catalog.=) ANY ((SELECT ARRAY[:oids])::pg_catalog.oid[])
            AND pg_catalog.oideq(l.database, (SELECT pg_catalog.split_part(
                pg_catalog.pg_relation_filepath(1259), '/', -2)::pg_catalog.oid))
            AND coalesce(pg_catalog.int4ne(l.pid, pg_catalog.pg_backend_pid()), true))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i
        WHERE i.indrelid OPERATOR(pg_catalog.=) ANY (ARRAY[:oids]::pg_catalog.oid[]) AND NOT i.indisvalid)
THEN coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
        pg_catalog.concat(c.relnamespace::pg_catalog.regnamespace, '.', pg_catalog.quote_ident(c.relname::pg_catalog.text)),
        pg_catalog.concat(c.relkind, CASE WHEN c.relhassubclass THEN ' with others below' END),
        pg_catalog.pg_has_role((:role_oid), c.relowner, 'USAGE'),
        c.reltuples, pg_catalog.pg_stat_get_live_tuples(c.oid), pg_catalog.pg_total_relation_size(c.oid)))
    FROM pg_catalog.pg_class AS c
    WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY[:oids]::pg_catalog.oid[])), '[]'::pg_catalog.jsonb) END
