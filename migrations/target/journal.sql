-- The journal of migration-ledger inside a tenant database: every statement that reads or writes it.
--
-- One append-only table, few and cheap objects on purpose: installing them is the price of the first
-- contact. A target is a schema of the database, or '' for the database's default. Its last entry
-- holds its epoch, its owner and the head of its hash chain.
--
-- The statements go over the simple protocol where no rows are wanted, so that several make one round
-- trip; `:name` stands for a literal. What a migration's own session runs names few functions, and
-- functions in place of operators: each name is looked up in the catalogs of a fresh session (seen: 0.05
-- to 0.1 ms for a function, 0.1 to 0.2 ms for an operator, which has dozens of namesakes).
--
-- The owner of a database may put functions, operators and types of his own before PostgreSQL's: he
-- sets the database's search_path. So every name here is qualified, operators too, and a session of ours
-- has `our_path` from its first statement on, except where a script's own path is in force; a test reads
-- all statements for names that are not (ops/decisions/0017-our-sessions-trust-no-tenant.md).

-- name: our_path
-- In front of the first question of a session. Not in the start-up packet, which would become what a
-- script's RESET search_path returns to. Nor are we who the database or the login's role says. `:ourselves`
-- is NONE, the login itself, or a role that it is in and has no rights of by itself (`own_role`).
SET ROLE :ourselves;
SET search_path TO pg_catalog, pg_temp

-- name: go_on_as_ourselves
-- In a look that began as a script does: from here on as in one of ours.
SET LOCAL row_security TO off;
SET LOCAL ROLE :ourselves;
SET LOCAL search_path TO pg_catalog, pg_temp

-- name: as_ourselves
-- For what we write: the login's own role, whatever the database or the script has set, and our path,
-- which both stay after the transaction.
SET ROLE :ourselves;
SET search_path TO pg_catalog, pg_temp

-- name: as_the_script
-- Back to what the database and the login's role say, which is what a script begins with.
RESET ROLE;
RESET search_path

-- name: look
-- A look changes nothing, whatever runs in it: unlike the session's default, this cannot be set back.
-- Where a policy would have a say, what is read is refused, so that no policy's code runs.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL row_security TO off;
SET LOCAL ROLE :ourselves;
SET LOCAL search_path TO pg_catalog, pg_temp

-- name: look_as_the_script
-- As `look`, for questions whose names are to be found as a script finds them.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL row_security TO off;
SET LOCAL extra_float_digits TO 1;
:as_whom;
SET LOCAL search_path TO DEFAULT

-- name: install
-- In the transaction of the first entry, so that there is no journal without one. The lock keeps apart
-- the first contacts of two targets of one database. Nothing is made IF NOT EXISTS: what is there
-- already is another's, and is refused (`foreign`). The operator classes are named, and parallel
-- builds are out, because looking for the default classes and planning for workers took a third of the
-- index (seen: 0.35 of 1.0 ms). It has its TOAST table from the first (seen: 0.5 ms), because there is
-- no DDL of ours on it later, at which somebody's event trigger could stop us. `:before` are role and
-- path for DDL, `:private` is what default privileges and event triggers make needed.
SELECT pg_catalog.pg_advisory_xact_lock(:install_key);
SET LOCAL max_parallel_maintenance_workers = 0;
:before
:schema
CREATE TABLE migration_ledger.journal (
    target pg_catalog.name,
    seq bigint,
    -- Missing when a guard did not hold; see `guarded_head`. The only NOT NULL: since PostgreSQL 18 each
    -- one is an object of its own (seen: 18 of them cost a tenth of installing).
    head pg_catalog.text NOT NULL,
    command pg_catalog.uuid,
    rollout pg_catalog.text,
    -- Empty, as is the direction, for an entry that is about the target: met, visited.
    migration pg_catalog.text,
    direction pg_catalog.text,
    -- 0: the migration as a whole; n: its statement n is done; -n: statement n is about to run.
    step integer,
    state pg_catalog.text,
    up_checksum pg_catalog.text,
    down_checksum pg_catalog.text,
    statements integer,
    statement pg_catalog.text,
    note pg_catalog.text,
    failure pg_catalog.jsonb,
    reason pg_catalog.text,
    -- The database's, the same in all its entries.
    database_uuid pg_catalog.uuid,
    owner pg_catalog.text,
    epoch_term bigint,
    epoch_position bigint,
    xid pg_catalog.xid8,
    finished_at pg_catalog.timestamptz,
    duration_ms bigint,
    made_by pg_catalog.name
);
-- Who writes an entry has read the one before it: the fence. An index and no constraint, which is an
-- object of its own beside its index, as is the NOT NULL of each column of a primary key (seen: a
-- twentieth of a first contact). No entry has a NULL in one of these columns. Journals made before have
-- a second one, (target, command, migration, direction, step), of which `Target` takes care now.
CREATE UNIQUE INDEX journal_order ON migration_ledger.journal
    (target pg_catalog.name_ops, seq pg_catalog.int8_ops);
:private
SET LOCAL max_parallel_maintenance_workers TO DEFAULT;
SET LOCAL ROLE :ourselves;
SET LOCAL search_path TO pg_catalog, pg_temp

-- name: progress_table
-- What data migrations need, made with the journal for the same reason: there is no DDL of ours later.
-- These three hold what is under way and what is kept, so they are changed and emptied; a publication of
-- all tables lets only those be changed whose rows can be told apart: by a primary key, or by being sent
-- whole. That is cheaper to make (seen: 1.1 of 1.9 ms), for the reasons that are given at the journal's
-- index, and these rows say nothing more when they go than when they came. Saved rows have a key: they may
-- have been there before the publication, and are not to be sent away when they go.
CREATE TABLE migration_ledger.progress (
    target pg_catalog.name,
    migration pg_catalog.text,
    direction pg_catalog.text,
    -- Missing when a guard did not hold; see `progress_moved`.
    last_key pg_catalog.text NOT NULL,
    rows bigint,
    batches bigint,
    total bigint,
    started_at pg_catalog.timestamptz,
    moved_at pg_catalog.timestamptz
);
CREATE UNIQUE INDEX progress_key ON migration_ledger.progress
    (target pg_catalog.name_ops, migration pg_catalog.text_ops, direction pg_catalog.text_ops);
ALTER TABLE migration_ledger.progress REPLICA IDENTITY FULL;

-- name: backup_table
CREATE TABLE migration_ledger.backup (
    target pg_catalog.name,
    migration pg_catalog.text,
    -- The table that it stands in; missing while its rows are being deleted.
    name pg_catalog.name,
    source pg_catalog.text,
    columns pg_catalog.text,
    made_at pg_catalog.timestamptz,
    -- Set when the migration is done; without a period the backup stays until a person drops it.
    keep_until pg_catalog.timestamptz,
    rows bigint
);
CREATE UNIQUE INDEX backup_key ON migration_ledger.backup
    (target pg_catalog.name_ops, migration pg_catalog.text_ops);
ALTER TABLE migration_ledger.backup REPLICA IDENTITY FULL;

-- name: saved_table
-- Saved rows of every migration, where a table for each of them would be DDL that event triggers hear of.
CREATE TABLE migration_ledger.saved (
    target pg_catalog.name,
    migration pg_catalog.text,
    -- The batch in the upper half, the row in the lower: the order in which they were saved.
    number bigint,
    -- As their types write them.
    key pg_catalog.text[],
    columns pg_catalog.text[],
    ledger_left pg_catalog.bytea,
    CONSTRAINT saved_key PRIMARY KEY (target, migration, number)
) WITH (fillfactor = 50);

-- name: schema
-- Left out where a schema of ours is waiting for its journal.
CREATE SCHEMA migration_ledger;

-- name: for_ddl
-- In front of DDL of ours: event triggers of the database run with it, and find their names by the path
-- that they were made for. Every name of ours is qualified.
SET LOCAL search_path TO DEFAULT

-- name: behind_ddl
SET LOCAL search_path TO pg_catalog, pg_temp

-- name: fitting_role
-- The role that journal and backups may belong to, though it is one of the tenant's: the one that is
-- registered, or that the login is set to, whoever logs in. Only where the login can do nothing that the
-- role cannot, so that no code of the tenant's gains by running in its sessions; seeing statistics does
-- not count. `:roles` are all, or at least the login's own; `:named` says which role that is.
SELECT r.oid FROM :roles AS l, :roles AS r
WHERE l.rolname OPERATOR(pg_catalog.=) session_user
    AND r.rolname::pg_catalog.text OPERATOR(pg_catalog.=) (:named)
    AND r.oid OPERATOR(pg_catalog.<>) l.oid AND NOT r.rolsuper AND NOT l.rolsuper
    AND (pg_catalog.pg_has_role(l.oid, r.oid, 'USAGE') OR pg_catalog.pg_has_role(l.oid, r.oid, :become))
    AND (r.rolcreaterole OR NOT l.rolcreaterole) AND (r.rolcreatedb OR NOT l.rolcreatedb)
    AND (r.rolreplication OR NOT l.rolreplication) AND (r.rolbypassrls OR NOT l.rolbypassrls)
    AND NOT EXISTS (
        SELECT FROM :roles AS more
        WHERE more.oid OPERATOR(pg_catalog.<>) l.oid
            AND more.rolname OPERATOR(pg_catalog.<>) ALL (
                '{pg_monitor,pg_read_all_settings,pg_read_all_stats,pg_stat_scan_tables}'::pg_catalog.name[])
            AND pg_catalog.pg_has_role(l.oid, more.oid, 'MEMBER')
            AND NOT pg_catalog.pg_has_role(r.oid, more.oid, 'MEMBER'))

-- name: set_to
-- The role that the login `l` is set to.
SELECT pg_catalog.min(pg_catalog.substr(c.setting, 6))
FROM pg_catalog.pg_db_role_setting AS s,
    pg_catalog.unnest(s.setconfig) AS c (setting)
WHERE s.setrole OPERATOR(pg_catalog.=) l.oid
    AND s.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid
    AND pg_catalog.starts_with(c.setting, 'role=')

-- name: kept_for
-- Whose the journal is to be, so that the next login of the same group goes on with it. It is the group's
-- for which its schema was made; the registered role's; or the one group's of ours that may make a schema
-- here. NULL is the login itself. What the login is in is read once: each time that the view of all roles
-- stands in a statement costs a fresh session half a millisecond (seen: 7.2 ms in all, now 4.0).
WITH mine AS MATERIALIZED (
    SELECT r.* FROM pg_catalog.pg_roles AS r
    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
), fitting AS MATERIALIZED (
    :fitting_role
), tenants AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE NOT r.rolsuper AND (r.rolname::pg_catalog.text OPERATOR(pg_catalog.=) :role
        OR r.oid OPERATOR(pg_catalog.=) (SELECT datdba FROM pg_catalog.pg_database
            WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
), place AS (
    SELECT n.nspowner FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger' AND (:made_for_it)
), ours AS (
    SELECT g.oid, g.rolname, 1 AS rank FROM mine AS g, place AS p
    WHERE g.oid OPERATOR(pg_catalog.=) p.nspowner
        AND g.rolname OPERATOR(pg_catalog.<>) session_user
        AND (g.oid OPERATOR(pg_catalog.=) (SELECT f.oid FROM fitting AS f) OR NOT g.rolcanlogin)
    UNION ALL
    SELECT g.oid, g.rolname, 2 FROM mine AS g
    WHERE g.oid OPERATOR(pg_catalog.=) (SELECT f.oid FROM fitting AS f)
        AND NOT EXISTS (SELECT FROM place AS p)
    UNION ALL
    SELECT g.oid, g.rolname, 3 FROM mine AS g
    WHERE NOT g.rolcanlogin AND NOT pg_catalog.starts_with(g.rolname::pg_catalog.text, 'pg_')
        AND NOT EXISTS (SELECT FROM place AS p)
        AND NOT EXISTS (
            SELECT FROM tenants AS t WHERE pg_catalog.pg_has_role(t.oid, g.oid, 'MEMBER'))
        AND NOT EXISTS (
            -- Somebody else's login is in it who has not all that we have: it is no group of ours.
            SELECT FROM pg_catalog.pg_roles AS m, mine AS r
            WHERE m.rolcanlogin AND NOT m.rolsuper
                AND pg_catalog.pg_has_role(m.oid, g.oid, 'MEMBER')
                AND r.rolname OPERATOR(pg_catalog.<>) session_user
                AND NOT pg_catalog.pg_has_role(m.oid, r.oid, 'MEMBER'))
), fits AS (
    SELECT o.rank, pg_catalog.min(pg_catalog.quote_ident(o.rolname)) AS called
    FROM ours AS o
    WHERE pg_catalog.pg_has_role(session_user, o.oid, :become)
        AND (o.rank OPERATOR(pg_catalog.=) 1 OR pg_catalog.has_database_privilege(
            o.oid, pg_catalog.current_database(), 'CREATE'))
    GROUP BY o.rank HAVING pg_catalog.count(*) OPERATOR(pg_catalog.=) 1
)
SELECT f.called FROM fits AS f, mine AS l
WHERE l.rolname OPERATOR(pg_catalog.=) session_user AND NOT l.rolsuper
ORDER BY f.rank LIMIT 1

-- name: become
-- What a membership must allow for SET ROLE.
CASE WHEN pg_catalog.current_setting('server_version_num')::integer
    OPERATOR(pg_catalog.<) 160000 THEN 'MEMBER' ELSE 'SET' END

-- name: journal_owner
-- As above, where there is no journal; before the name stands whether the login has the role's rights by
-- itself (`inherits`) or must become it.
SELECT CASE WHEN pg_catalog.to_regclass('migration_ledger.journal') IS NULL THEN (
    SELECT pg_catalog.concat(CASE
        WHEN pg_catalog.pg_has_role(session_user, pg_catalog.to_regrole(k.called)::pg_catalog.oid, 'USAGE')
        THEN 'inherits ' ELSE 'becomes ' END, k.called)
    FROM (SELECT (:kept_for) AS called OFFSET 0) AS k WHERE k.called IS NOT NULL) END

-- name: registered_role
-- The role that migrations run as, where the login is in it and has none of its rights by itself.
SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_roles AS r
WHERE r.rolname OPERATOR(pg_catalog.=) :role
    AND NOT pg_catalog.pg_has_role(session_user, r.oid, 'USAGE')
    AND pg_catalog.pg_has_role(session_user, r.oid, :become)

-- name: own_role
-- The owner of our schema, where the login is in it and has none of its rights by itself (NOINHERIT).
SELECT pg_catalog.quote_ident(r.rolname)
FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
    AND NOT pg_catalog.pg_has_role(session_user, r.oid, 'USAGE')
    AND pg_catalog.pg_has_role(session_user, r.oid, :become)

-- name: strays
-- What of ours belongs to another login whose rights this one has, and the statement that gives it to whom
-- it is to belong. A tenant's login who made the schema himself may drop what is in it: it becomes that of
-- the journal's owner. An earlier login of ours is to be dropped some day: its journal becomes the group's,
-- if it is in that group too, so that it goes on with it as long as it is there.
WITH users AS (
    SELECT g.oid, g.rolname FROM pg_catalog.pg_roles AS g, pg_catalog.pg_roles AS l
    WHERE l.rolname OPERATOR(pg_catalog.=) session_user AND NOT l.rolsuper
        AND g.rolcanlogin AND NOT g.rolsuper AND g.oid OPERATOR(pg_catalog.<>) l.oid
        AND g.oid OPERATOR(pg_catalog.<>) coalesce((:fitting_role), 0::pg_catalog.oid)
        AND pg_catalog.pg_has_role(l.oid, g.oid, 'MEMBER')
), things AS (
    SELECT 'SCHEMA' AS kind, 'migration_ledger' AS called, n.nspowner AS owner
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
    UNION ALL
    SELECT 'TABLE', pg_catalog.format('migration_ledger.%I', c.relname), c.relowner
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n
        ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
        AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char"
), journal AS (
    SELECT t.owner, g.oid AS login FROM things AS t
        LEFT JOIN users AS g ON g.oid OPERATOR(pg_catalog.=) t.owner
    WHERE t.called OPERATOR(pg_catalog.=) 'migration_ledger.journal'
), fits AS (
    SELECT CASE WHEN j.owner IS NULL THEN coalesce(k.called, pg_catalog.quote_ident(session_user))
        WHEN j.login IS NULL THEN pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(j.owner))
        WHEN pg_catalog.pg_has_role(j.login, pg_catalog.to_regrole(k.called)::pg_catalog.oid, 'MEMBER')
        THEN k.called END AS called
    FROM (SELECT (:kept_for) AS called) AS k LEFT JOIN journal AS j ON true
)
SELECT g.rolname::pg_catalog.text AS login, t.called,
    pg_catalog.format('ALTER %s %s OWNER TO %s', t.kind, t.called, h.called) AS remedy
FROM things AS t JOIN users AS g ON g.oid OPERATOR(pg_catalog.=) t.owner, fits AS h
WHERE h.called IS NOT NULL
ORDER BY t.kind, t.called

-- name: default_grants
-- To whom default privileges give what is made here, as REVOKE takes it; NULL where there are none.
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_default_acl) THEN coalesce((
    SELECT pg_catalog.string_agg(DISTINCT CASE
        WHEN acl.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) END, ', ')
    FROM pg_catalog.pg_default_acl AS d, pg_catalog.aclexplode(d.defaclacl) AS acl
    WHERE d.defaclobjtype OPERATOR(pg_catalog.=) ANY ('{r,n}'::pg_catalog."char"[])), '') END

-- name: event_triggers
SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e
    WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D'::pg_catalog."char")

-- name: surroundings
-- What has a say in tables of ours, for a database that has no journal; asked where `out_of_the_ordinary`.
SELECT (:journal_owner) AS journal_owner, (:default_grants) AS default_grants,
    (:event_triggers) AS event_triggers

-- name: out_of_the_ordinary
-- Whether one of the `surroundings` can be other than nothing, where no role is registered: planning those
-- costs a new session ten times as much (seen: 7.5 and 0.7 ms). Whose the journal is to be is a question
-- only if our schema is there already, or the login is in another group than the database's owner, in one
-- that is a superuser, or is set to a role.
SELECT pg_catalog.to_regnamespace('migration_ledger') IS NOT NULL
    OR EXISTS (SELECT FROM pg_catalog.pg_default_acl)
    OR EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE pg_catalog.charne(e.evtenabled, 'D'))
    OR EXISTS (SELECT FROM pg_catalog.pg_auth_members AS m
        WHERE pg_catalog.oideq(m.member, s.me)
            AND (pg_catalog.oidne(m.roleid, d.datdba) OR pg_catalog.pg_has_role(d.datdba, 10, 'MEMBER')))
    OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS c
        WHERE pg_catalog.oideq(c.setrole, s.me)
            AND pg_catalog.int4gt(pg_catalog.strpos(c.setconfig::pg_catalog.text, 'role='), 0))
FROM (SELECT pg_catalog.to_regrole(pg_catalog.quote_ident(session_user))::pg_catalog.oid AS me) AS s,
    pg_catalog.pg_database AS d
WHERE pg_catalog.nameeq(d.datname, pg_catalog.current_database())

-- name: publications
-- Those that send whatever is made in our schema.
SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.pubname), ', ' ORDER BY p.pubname)
FROM pg_catalog.pg_publication AS p WHERE p.puballtables

-- name: publications_by_schema
-- As above, since PostgreSQL 15, which publishes schemas, too.
SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.pubname), ', ' ORDER BY p.pubname)
FROM pg_catalog.pg_publication AS p
WHERE p.puballtables OR EXISTS (
    SELECT FROM pg_catalog.pg_publication_namespace AS s
    WHERE s.pnpubid OPERATOR(pg_catalog.=) p.oid AND s.pnnspid OPERATOR(pg_catalog.=)
        pg_catalog.to_regnamespace('migration_ledger')::pg_catalog.oid)

-- name: saved_before
-- The tables of saved rows that a publication of all tables sends, because they were made before it.
-- A table of one migration was made for its rows. Whether the one for all has rows is known from
-- statistics, a little late: asking for a table's size waits for whoever locks it.
SELECT pg_catalog.string_agg(pg_catalog.concat('migration_ledger.', pg_catalog.quote_ident(c.relname)), ', '
    ORDER BY c.relname)
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('migration_ledger')
    AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char"
    AND c.relpersistence OPERATOR(pg_catalog.=) 'p'::pg_catalog."char"
    AND (pg_catalog.starts_with(c.relname::pg_catalog.text, 'backup_')
        OR c.relname OPERATOR(pg_catalog.=) 'saved'
            AND (c.reltuples OPERATOR(pg_catalog.>) 0::real
                OR pg_catalog.pg_stat_get_live_tuples(c.oid) OPERATOR(pg_catalog.>) 0::bigint))

-- name: proven
-- In front of reading the journal of a database that is known: goes on only if schema and journal belong
-- to this very login, or to the fitting role, nobody else may enter the schema, and the journal is as
-- `install` makes it. Fails as `lock_as_expected` does; then `foreign` is asked, which knows more cases and
-- names what is wrong. Only where the owner is another does it fail in another way: then the same is asked
-- again with `:owned` as `owned_by_fitting_role`, whose plan costs a fresh session more than all the rest
-- (seen: 2.0 of 4.5 ms). The catalogs are read by their indexes, because some databases have 100,000
-- columns; and a column is compared by itself, because an aggregate with its order is planned for longer.
SELECT CASE WHEN (
    SELECT CASE WHEN :owned THEN (
            SELECT pg_catalog.oideq(n.nspowner, c.relowner)
                AND (n.nspacl IS NULL OR NOT EXISTS (
                    SELECT FROM pg_catalog.aclexplode(n.nspacl) AS acl
                    WHERE pg_catalog.oidne(acl.grantee, n.nspowner)))
            FROM pg_catalog.pg_namespace AS n WHERE n.oid OPERATOR(pg_catalog.=) c.relnamespace)
        AND pg_catalog.chareq(c.relkind, 'r')
        AND NOT (c.relhasrules OR c.relhastriggers OR c.relrowsecurity OR c.relforcerowsecurity
                 OR c.relhassubclass OR c.relispartition)
        AND pg_catalog.int2eq(c.relchecks, 0::smallint)
        AND pg_catalog.int2eq(c.relnatts, :natts::smallint)
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
                AND pg_catalog.int2gt(a.attnum, 0::smallint)
                AND (a.atthasdef OR pg_catalog.textne(
                    pg_catalog.split_part(:columns, ',', a.attnum),
                    pg_catalog.concat(a.attname, ':', a.atttypid))))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid
                AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
    ELSE pg_catalog.current_setting('migration_ledger_owner_is_another') IS NULL END
    FROM pg_catalog.pg_class AS c
    WHERE c.oid OPERATOR(pg_catalog.=) 'migration_ledger.journal'::pg_catalog.regclass)
THEN NULL ELSE pg_catalog.current_setting('migration_ledger_not_as_expected') END

-- name: owned_by_login
pg_catalog.nameeq(pg_catalog.pg_get_userbyid(c.relowner), session_user)

-- name: owned_by_fitting_role
CASE WHEN pg_catalog.nameeq(pg_catalog.pg_get_userbyid(c.relowner), session_user) THEN true
    ELSE coalesce(pg_catalog.oideq(c.relowner, (:fitting_role)), false) END

-- name: foreign
-- Why schema or journal are not ours, a line per reason, with the statement that ends it where there is
-- one; none where they are, or where nothing is there.
-- Ours are this login, superusers, the fitting role, and roles whose rights it has, unless the tenant has
-- them too: the database's owner, the role that migrations run as (`:role`), and what these two may become.
-- Whatever stands in the schema is looked at, because data migrations keep their tables there. Row security
-- that is not forced, and without a policy, says nothing to an owner.
WITH tenants AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE NOT r.rolsuper AND (
        r.rolname OPERATOR(pg_catalog.=) :role
        OR r.oid OPERATOR(pg_catalog.=) (
            SELECT datdba FROM pg_catalog.pg_database
            WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
), ours AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE r.rolname OPERATOR(pg_catalog.=) session_user OR r.rolsuper
        OR (pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') AND NOT EXISTS (
            SELECT FROM tenants AS t WHERE pg_catalog.pg_has_role(t.oid, r.oid, 'MEMBER')))
        OR r.oid OPERATOR(pg_catalog.=) (:fitting_role)
), place AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
), things AS (
    SELECT c.*, pg_catalog.format('migration_ledger.%I', c.relname) AS called
    FROM place AS p JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) p.oid
), journal AS (
    SELECT t.* FROM things AS t WHERE t.relname OPERATOR(pg_catalog.=) 'journal'
), users AS (
    -- Who may enter the schema, apart from its owner; 0 is everybody.
    SELECT acl.grantee, acl.privilege_type FROM place AS p, pg_catalog.aclexplode(p.nspacl) AS acl
    WHERE acl.grantee OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.oid FROM ours AS o))
)
SELECT pg_catalog.format('the schema belongs to %I', pg_catalog.pg_get_userbyid(p.nspowner)) AS why,
    pg_catalog.format('ALTER SCHEMA migration_ledger OWNER TO %s', coalesce((:kept_for), pg_catalog.quote_ident(session_user))) AS remedy, 1 AS rank
FROM place AS p
WHERE p.nspowner OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.oid FROM ours AS o))
UNION ALL
SELECT pg_catalog.format('%s may create objects in the schema',
    coalesce(r.rolname::pg_catalog.text, 'everybody')),
    pg_catalog.format('REVOKE CREATE ON SCHEMA migration_ledger FROM %s',
        coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC')), 2
FROM users AS u LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) u.grantee
WHERE u.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
UNION ALL
SELECT pg_catalog.format('%s belongs to %I', t.called, pg_catalog.pg_get_userbyid(t.relowner)),
    pg_catalog.format('ALTER TABLE %s OWNER TO %s', t.called, coalesce((:kept_for), pg_catalog.quote_ident(session_user))), 2
FROM things AS t
WHERE t.relkind OPERATOR(pg_catalog.<>) 'i'::pg_catalog."char"
    AND t.relowner OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.oid FROM ours AS o))
UNION ALL
SELECT pg_catalog.format('%s is no ordinary table', t.called), NULL, 2 FROM things AS t
WHERE (t.relname OPERATOR(pg_catalog.=) ANY ('{journal,progress,backup,saved}'::pg_catalog.name[])
       AND (t.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char"
            OR t.relpersistence OPERATOR(pg_catalog.<>) 'p'::pg_catalog."char"))
    OR t.relkind OPERATOR(pg_catalog.=) ANY ('{v,m,f,p}'::pg_catalog."char"[])
UNION ALL
SELECT pg_catalog.format('%s inherits, is inherited from, or is a partition', t.called), NULL, 2
FROM things AS t
WHERE t.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char" AND (t.relispartition OR EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i
    WHERE i.inhrelid OPERATOR(pg_catalog.=) t.oid OR i.inhparent OPERATOR(pg_catalog.=) t.oid))
UNION ALL
SELECT pg_catalog.format('%s has the trigger %I', t.called, g.tgname),
    pg_catalog.format('DROP TRIGGER %I ON %s', g.tgname, t.called), 2
FROM things AS t JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) t.oid
UNION ALL
SELECT pg_catalog.format('%s has the rule %I', t.called, w.rulename),
    pg_catalog.format('DROP RULE %I ON %s', w.rulename, t.called), 2
FROM things AS t JOIN pg_catalog.pg_rewrite AS w ON w.ev_class OPERATOR(pg_catalog.=) t.oid
UNION ALL
SELECT pg_catalog.format('%s has row security that is forced', t.called),
    pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', t.called), 2
FROM things AS t WHERE t.relforcerowsecurity
UNION ALL
SELECT pg_catalog.format('%s has row security with the policy %I', t.called, y.polname),
    pg_catalog.format('DROP POLICY %I ON %s', y.polname, t.called), 2
FROM things AS t JOIN pg_catalog.pg_policy AS y ON y.polrelid OPERATOR(pg_catalog.=) t.oid
UNION ALL
SELECT pg_catalog.format('%s has the constraint %I', t.called, k.conname),
    pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', t.called, k.conname), 2
FROM things AS t JOIN pg_catalog.pg_constraint AS k ON k.conrelid OPERATOR(pg_catalog.=) t.oid
WHERE k.contype OPERATOR(pg_catalog.<>) ALL ('{n,p,u}'::pg_catalog."char"[])
UNION ALL
SELECT pg_catalog.format('%s has an index with an expression, a condition or operators of its own: %s',
    t.called, i.indexrelid::pg_catalog.regclass),
    pg_catalog.format('DROP INDEX %s', i.indexrelid::pg_catalog.regclass), 2
FROM things AS t JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) t.oid
WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR EXISTS (
    SELECT FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) AS class (oid)
    WHERE class.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)
UNION ALL
SELECT pg_catalog.format('%s has the statistics %I.%I', t.called, n.nspname, s.stxname),
    pg_catalog.format('DROP STATISTICS %I.%I', n.nspname, s.stxname), 2
FROM things AS t JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid OPERATOR(pg_catalog.=) t.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) s.stxnamespace
UNION ALL
SELECT pg_catalog.format('%s has the default of %I', t.called, a.attname),
    pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', t.called, a.attname), 2
FROM things AS t JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) t.oid
WHERE a.atthasdef
UNION ALL
SELECT pg_catalog.format('%s has other columns', j.called), NULL, 2 FROM journal AS j
WHERE :columns OPERATOR(pg_catalog.<>) coalesce((
    SELECT pg_catalog.string_agg(pg_catalog.concat(
        a.attname, ':', a.atttypid, CASE WHEN a.atthasdef THEN ' default' END),
        ',' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid OPERATOR(pg_catalog.=) j.oid
        AND a.attnum OPERATOR(pg_catalog.>) 0::smallint), '')
UNION ALL
SELECT pg_catalog.format('%s may change %s',
    coalesce(r.rolname::pg_catalog.text, 'everybody'), t.called),
    pg_catalog.format('REVOKE ALL ON %s FROM %s', t.called,
        coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC')), 2
FROM things AS t, (
        SELECT t.oid, t.relacl AS acl FROM things AS t
        UNION ALL
        SELECT a.attrelid, a.attacl FROM things AS t JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid OPERATOR(pg_catalog.=) t.oid AND a.attacl IS NOT NULL
    ) AS given, pg_catalog.aclexplode(given.acl) AS acl
    LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) acl.grantee
WHERE given.oid OPERATOR(pg_catalog.=) t.oid
    AND acl.grantee OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.oid FROM ours AS o))
    AND acl.privilege_type OPERATOR(pg_catalog.<>) 'SELECT'
    AND EXISTS (
        SELECT FROM users AS u
        WHERE u.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid
            OR acl.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid
            OR pg_catalog.pg_has_role(acl.grantee, u.grantee, 'MEMBER'))
ORDER BY rank, why LIMIT 20

-- name: one_uuid
-- Takes our marker away if another target has given the database its UUID meanwhile.
SELECT pg_catalog.set_config('migration_ledger.transaction', '', true)
FROM migration_ledger.journal WHERE database_uuid OPERATOR(pg_catalog.<>) :database_uuid LIMIT 1

-- name: lock
-- The command tag carries the answer: SELECT 1 or SELECT 0. The lock is tried last, and only if the
-- session is direct and the server writable: an attempt behind a pooler must not lock anything. It is
-- taken twice, so that `guarded_head` can give one back to learn that it was held.
SELECT 1 WHERE CASE
    WHEN pg_catalog.int4ne(pg_catalog.pg_backend_pid(), :key_data_pid) OR pg_catalog.pg_is_in_recovery()
    THEN false
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN pg_catalog.pg_try_advisory_lock(:lock_key)
    ELSE false END

-- name: lock_as_expected
-- As `lock`, if the database is the one that was registered (the path is explained at `facts`) and its
-- clock agrees with ours, and with what stands behind it in one round trip, where no answer but that of
-- COPY is read: so it fails, by asking for a setting that nobody can make, as its name has no dot; nothing
-- behind it runs. What
-- is read behind it is read after it: every statement sees what was committed before it, whatever the
-- role's isolation level. CURRENT_TIMESTAMP is no name that is looked up; and who answers is compared as
-- one text, `:who`, because each function that compares is.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT CASE
    WHEN pg_catalog.textne(:who, pg_catalog.concat(
            pg_catalog.pg_backend_pid(), ' ', pg_catalog.pg_is_in_recovery(), ' ',
            pg_catalog.split_part(pg_catalog.pg_relation_filepath(1259), '/', -2), ' ',
            (pg_catalog.pg_control_system()).system_identifier))
        OR pg_catalog.timestamptz_lt(CURRENT_TIMESTAMP, :earliest)
        OR pg_catalog.timestamptz_gt(CURRENT_TIMESTAMP, :latest)
        OR pg_catalog.texteq(pg_catalog.current_setting('session_replication_role'), 'replica')
    THEN pg_catalog.current_setting('migration_ledger_not_as_expected')
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key)
    THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN 'locked' END
    ELSE pg_catalog.current_setting('migration_ledger_not_as_expected') END

-- name: lock_with_facts
-- As `lock`, and `facts` beside it, for a database that was never seen. The lock stands first: what
-- stands behind it is answered when it is held. Through COPY, as one round trip.
SELECT CASE
    WHEN pg_catalog.int4ne(pg_catalog.pg_backend_pid(), :key_data_pid) OR pg_catalog.pg_is_in_recovery()
    THEN false
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN pg_catalog.pg_try_advisory_lock(:lock_key)
    ELSE false END AS locked,
    pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (pg_catalog.pg_control_system()).system_identifier AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    pg_catalog.to_regclass('migration_ledger.journal') IS NOT NULL AS installed,
    pg_catalog.to_regnamespace('migration_ledger') IS NOT NULL AS schema_there,
    (:target_problem) AS target_problem,
    CURRENT_TIMESTAMP AS clock,
    (:journal_owner) AS journal_owner, (:default_grants) AS default_grants,
    (:event_triggers) AS event_triggers, (:out_of_the_ordinary) AS out_of_the_ordinary

-- name: held
-- Whether the lock is held, without letting go of it.
SELECT CASE WHEN pg_catalog.pg_advisory_unlock(:lock_key)
            THEN pg_catalog.pg_try_advisory_lock(:lock_key) ELSE false END

-- name: target_problem
-- Why names would not be found, or made, in a schema, with its name; NULL where they would.
SELECT CASE WHEN n.oid IS NULL THEN pg_catalog.concat('missing ', :target)
    WHEN NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
    THEN pg_catalog.concat('closed ', :target) END
FROM pg_catalog.pg_roles AS r
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) :target
WHERE r.rolname OPERATOR(pg_catalog.=) coalesce(:role, session_user::pg_catalog.text)

-- name: silent
-- In the place of such a problem: triggers do not fire, nor is a foreign key held, because the database
-- or the login's role says so.
SELECT CASE WHEN pg_catalog.texteq(pg_catalog.current_setting('session_replication_role'), 'replica')
    THEN 'silent ' END

-- name: facts
-- Who answers. The path of a relation's file names the database's oid (`base/16384/1259`), for a
-- fraction of what a look into pg_database costs.
SELECT pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (pg_catalog.pg_control_system()).system_identifier AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    pg_catalog.to_regclass('migration_ledger.journal') IS NOT NULL AS installed,
    pg_catalog.to_regnamespace('migration_ledger') IS NOT NULL AS schema_there,
    (:target_problem) AS target_problem,
    CURRENT_TIMESTAMP AS clock,
    (:journal_owner) AS journal_owner, (:default_grants) AS default_grants,
    (:event_triggers) AS event_triggers

-- name: glance
-- What a look without a lock asks of a database that has a journal, in one question.
SELECT pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (SELECT (pg_catalog.pg_control_system()).system_identifier) AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    true AS installed, true AS schema_there, (:target_problem) AS target_problem,
    CURRENT_TIMESTAMP AS clock,
    NULL AS journal_owner, NULL AS default_grants, false AS event_triggers,
    (:publications) AS publications, (:saved) AS saved,
    pg_catalog.current_setting('log_statement') AS log_statement,
    seq, head, command, rollout, migration, direction, step, state,
    up_checksum, down_checksum, statements, note, failure, reason, database_uuid, owner,
    epoch_term, epoch_position, finished_at, duration_ms, made_by
FROM migration_ledger.journal WHERE target OPERATOR(pg_catalog.=) :target

-- name: read
-- One schema's entries among those of others. Unordered: sorting a few entries here is cheaper than a plan with a sort there.
SELECT seq, head, command, rollout, migration, direction, step, state,
    up_checksum, down_checksum, statements, note, failure, reason, database_uuid, owner,
    epoch_term, epoch_position, finished_at, duration_ms, made_by
FROM migration_ledger.journal WHERE target OPERATOR(pg_catalog.=) :target

-- name: database_uuid
-- The UUID belongs to the database: a second target takes over the first one's.
SELECT database_uuid FROM migration_ledger.journal LIMIT 1

-- name: holder
-- Who holds the target's lock, of this database: the lock's numbers are the same in another. Of another
-- role's session a role without pg_read_all_stats sees NULL in most columns, and of a process of the
-- server everywhere; a lock without a pid is a prepared transaction's, which is found by the lock on its
-- own id. Everything is optional in `LockSession`.
SELECT l.pid, a.pid IS NOT NULL AS seen, a.usename AS role, a.application_name, a.backend_type, a.state,
    a.datname AS database,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.backend_start) AS session_s,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start) AS transaction_s,
    p.gid AS prepared, p.owner AS prepared_by,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.prepared) AS prepared_s
FROM pg_catalog.pg_lock_status() AS l
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
    LEFT JOIN pg_catalog.pg_lock_status() AS x ON l.pid IS NULL AND x.pid IS NULL
        AND x.locktype OPERATOR(pg_catalog.=) 'transactionid'
        AND x.virtualtransaction OPERATOR(pg_catalog.=) l.virtualtransaction
    LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction OPERATOR(pg_catalog.=) x.transactionid
WHERE l.granted
    AND (l.pid IS NULL OR l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid())
    AND l.database OPERATOR(pg_catalog.=) (
        SELECT oid FROM pg_catalog.pg_database
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.objsubid OPERATOR(pg_catalog.=) 1::smallint
    AND l.classid OPERATOR(pg_catalog.=) :lock_high::pg_catalog.oid
    AND l.objid OPERATOR(pg_catalog.=) :lock_low::pg_catalog.oid
ORDER BY coalesce(a.xact_start, p.prepared), a.pid LIMIT 1

-- name: blockers
-- Asked by a second session: who stands in the way of ours, which waits, and of a program's beside it, as
-- the server says, and in whose way those stand, a few steps on. A row for each lock of theirs, held or
-- wanted, on what is waited for; which of them is in conflict is `conflicting` in Python. Pid 0 is a
-- prepared transaction, as in `holder`. A session of another database may stand behind one of this one;
-- what it waits for there has no name here.
WITH RECURSIVE ours (pid) AS (
    SELECT :pid::integer
    UNION
    SELECT a.pid FROM pg_catalog.pg_stat_activity AS a
    WHERE a.application_name OPERATOR(pg_catalog.=) :beside
        AND a.usename OPERATOR(pg_catalog.=) session_user
        AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
), chain (waiting, pid, depth) AS (
    SELECT o.pid, b.pid, 1
    FROM ours AS o, pg_catalog.unnest(pg_catalog.pg_blocking_pids(o.pid)) AS b (pid)
    UNION
    SELECT c.pid, b.pid, c.depth OPERATOR(pg_catalog.+) 1
    FROM chain AS c, pg_catalog.unnest(pg_catalog.pg_blocking_pids(c.pid)) AS b (pid)
    WHERE c.depth OPERATOR(pg_catalog.<) 4
), locks AS MATERIALIZED (
    SELECT l.*, pg_catalog.concat(l.locktype, '/', l.database, '/', l.relation, '/', l.page, '/', l.tuple,
        '/', l.virtualxid, '/', l.transactionid, '/', l.classid, '/', l.objid, '/', l.objsubid) AS thing
    FROM pg_catalog.pg_lock_status() AS l
)
SELECT c.depth, c.waiting, c.pid, w.locktype, w.mode AS wanted, h.mode, h.granted, a.query,
    CASE WHEN n.nspname IS NULL THEN w.relation::pg_catalog.text
        ELSE pg_catalog.format('%I.%I', n.nspname, r.relname) END AS relation,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) w.waitstart) AS waiting_s,
    a.pid IS NOT NULL AS seen, a.usename AS role, a.application_name, a.backend_type, a.state,
    a.datname AS database,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.backend_start) AS session_s,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start) AS transaction_s,
    p.gid AS prepared, p.owner AS prepared_by,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.prepared) AS prepared_s
FROM chain AS c
    LEFT JOIN locks AS w ON w.pid OPERATOR(pg_catalog.=) c.waiting AND NOT w.granted
    LEFT JOIN locks AS h ON h.thing OPERATOR(pg_catalog.=) w.thing
        AND coalesce(h.pid, 0) OPERATOR(pg_catalog.=) c.pid
    LEFT JOIN locks AS x ON h.pid IS NULL AND x.pid IS NULL
        AND x.locktype OPERATOR(pg_catalog.=) 'transactionid'
        AND x.virtualtransaction OPERATOR(pg_catalog.=) h.virtualtransaction
    LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction OPERATOR(pg_catalog.=) x.transactionid
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) c.pid
    LEFT JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) w.relation
        AND (r.relisshared OR w.database OPERATOR(pg_catalog.=) (
            SELECT oid FROM pg_catalog.pg_database
            WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
WHERE c.pid OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.pid FROM ours AS o))
ORDER BY c.depth, a.xact_start, c.pid, p.gid LIMIT 100

-- name: standing
-- Asked beside `blockers`: whom our session keeps waiting, directly or by standing before them in a queue,
-- and how far the server says that it is. One row.
WITH ours (pid) AS (
    SELECT :pid::integer
    UNION
    SELECT a.pid FROM pg_catalog.pg_stat_activity AS a
    WHERE a.application_name OPERATOR(pg_catalog.=) :beside
        AND a.usename OPERATOR(pg_catalog.=) session_user
        AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
), behind (pid, waiting_s) AS (
    SELECT l.pid, pg_catalog.max(
        pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.waitstart))
    FROM pg_catalog.pg_lock_status() AS l
    WHERE NOT l.granted AND l.pid OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT o.pid FROM ours AS o))
        AND pg_catalog.pg_blocking_pids(l.pid) OPERATOR(pg_catalog.&&) ARRAY(SELECT o.pid FROM ours AS o)
    GROUP BY l.pid
), moving (pid, what, phase, done, total) AS (
    SELECT p.pid, p.command, p.phase,
        CASE WHEN p.blocks_total OPERATOR(pg_catalog.>) 0 THEN p.blocks_done
            WHEN p.tuples_total OPERATOR(pg_catalog.>) 0 THEN p.tuples_done ELSE p.lockers_done END,
        CASE WHEN p.blocks_total OPERATOR(pg_catalog.>) 0 THEN p.blocks_total
            WHEN p.tuples_total OPERATOR(pg_catalog.>) 0 THEN p.tuples_total ELSE p.lockers_total END
    FROM pg_catalog.pg_stat_progress_create_index AS p
    UNION ALL
    SELECT p.pid, p.command, p.phase, p.heap_blks_scanned, p.heap_blks_total
    FROM pg_catalog.pg_stat_progress_cluster AS p
    UNION ALL
    SELECT p.pid, 'VACUUM', p.phase, p.heap_blks_scanned, p.heap_blks_total
    FROM pg_catalog.pg_stat_progress_vacuum AS p
    UNION ALL
    SELECT p.pid, p.command, pg_catalog.concat(p.tuples_processed, ' rows'), p.bytes_processed, p.bytes_total
    FROM pg_catalog.pg_stat_progress_copy AS p
)
SELECT (SELECT pg_catalog.count(*) FROM behind) AS blocked,
    (SELECT pg_catalog.max(b.waiting_s) FROM behind AS b) AS longest_s, m.what, m.phase, m.done, m.total
FROM (SELECT) AS once
    LEFT JOIN moving AS m ON m.pid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT o.pid FROM ours AS o))
LIMIT 1

-- name: cancelled
-- Asks the server to cancel what a session runs; a session that idles runs nothing.
SELECT pg_catalog.pg_cancel_backend(:pid) AS sent

-- name: worn
-- In front of all but the first beginning of a session: fails where the session cannot be made like a new
-- one. An advisory lock beside ours cannot be told from ours by what lets go of them, and settings of the
-- database or the login that were changed are read when a session begins.
SELECT CASE WHEN EXISTS (
        SELECT FROM pg_catalog.pg_lock_status() AS l
        WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
            AND l.locktype OPERATOR(pg_catalog.=) 'advisory'
            AND NOT (l.objsubid OPERATOR(pg_catalog.=) 1::smallint
                AND l.classid OPERATOR(pg_catalog.=) :lock_high::pg_catalog.oid
                AND l.objid OPERATOR(pg_catalog.=) :lock_low::pg_catalog.oid))
    OR pg_catalog.current_setting('migration_ledger.brought_along', true)
        OPERATOR(pg_catalog.<>) (:brought_along)
THEN pg_catalog.current_setting('migration_ledger_needs_a_new_session') END

-- name: brought_along
-- What the database and the login say of this session's settings, as one text.
SELECT coalesce(pg_catalog.string_agg(s.setconfig::pg_catalog.text, ';'
    ORDER BY s.setdatabase, s.setrole), 'nothing')
FROM pg_catalog.pg_db_role_setting AS s
WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0, :database_oid]::pg_catalog.oid[])
    AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid,
        pg_catalog.to_regrole(pg_catalog.quote_ident(session_user))::pg_catalog.oid])

-- name: remembered
-- For `worn`, where this session begins more than once.
SELECT pg_catalog.set_config('migration_ledger.brought_along', (:brought_along), false)

-- name: selected
-- As the role that a script runs as: fails where what it makes would go into another schema than the
-- target's, which is gone, or closed to that role.
SELECT CASE WHEN NOT coalesce(pg_catalog.nameeq(pg_catalog.current_schema(), :target), false)
    THEN pg_catalog.current_setting('migration_ledger_schema_is_not_selected') END

-- name: cleared
-- What RESET ALL does not undo, but for prepared statements: a data migration has one of ours.
CLOSE ALL;
UNLISTEN *;
DISCARD TEMP;
DISCARD SEQUENCES

-- name: clear
-- For looks that find names as a script does.
RESET SESSION AUTHORIZATION;
:cleared
RESET ALL;
:pinned:remembered
SET ROLE :ourselves;
SET search_path TO pg_catalog, pg_temp

-- name: begin
-- Settings of a script before us are undone, in a transaction of their own: what a script's ROLLBACK AND
-- CHAIN takes back is no part of it, so the rest finds its names as before, and comes to an entry without
-- the marker, which lives exactly as long as the transaction.
BEGIN;
RESET SESSION AUTHORIZATION;
RESET ROLE;
:cleared
:reset
:pinned:remembered:selected
COMMIT;
BEGIN ISOLATION LEVEL :isolation READ WRITE;
SET LOCAL lock_timeout = :lock_timeout_ms;
SET LOCAL statement_timeout = :statement_timeout_ms;
SET LOCAL migration_ledger.transaction = :marker

-- name: still_open
-- In front of each statement of a script that is sent before the one before it has answered: fails outside
-- of a transaction, and in a failed one. It takes no snapshot and looks up no name.
SAVEPOINT migration_ledger;
RELEASE SAVEPOINT migration_ledger

-- name: alone
RESET SESSION AUTHORIZATION;
RESET ROLE;
:cleared
RESET ALL;
:pinned:remembered:selected
SET lock_timeout = :lock_timeout_ms;
SET statement_timeout = :statement_timeout_ms

-- name: settle
-- Deferred constraints speak while the script's own role and search_path still hold; then ours return
-- (`as_ourselves`).
SET CONSTRAINTS ALL IMMEDIATE;
RESET SESSION AUTHORIZATION

-- name: entry
-- Its number is taken only if nobody has written since we read: the fence. So what it must not repeat,
-- a migration's outcome per command for example, stands in what we have read. What is committed with it
-- is reported, so it is on the server's disk by then, whatever the database, the login or the script
-- says of that; a crash would take back what the ledger was told of.
SELECT pg_catalog.set_config('synchronous_commit', 'on', true)
WHERE pg_catalog.texteq(pg_catalog.current_setting('synchronous_commit'), 'off');
INSERT INTO migration_ledger.journal
    (target, seq, head, command, rollout, migration, direction, step, state,
     up_checksum, down_checksum, statements, statement, note, failure, reason,
     database_uuid, owner, epoch_term, epoch_position, xid, finished_at, duration_ms, made_by)
VALUES
    (:target, :seq, :head, :command, :rollout, :migration, :direction, :step, :state,
     :up_checksum, :down_checksum, :statements, :statement, :note, :failure, :reason,
     :database_uuid, :owner, :epoch_term, :epoch_position, pg_catalog.pg_current_xact_id(),
     pg_catalog.clock_timestamp(), :duration_ms, session_user)

-- name: guarded_head
-- In place of an entry's head: there is one only if the guards hold, the marker of our transaction and
-- our lock, and no entry is taken without.
CASE WHEN pg_catalog.texteq(pg_catalog.current_setting('migration_ledger.transaction', true), :marker)
     THEN CASE WHEN pg_catalog.pg_advisory_unlock(:lock_key)
               THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN :head END END END

-- name: untouched
-- Before an entry that follows statements of others: they have not written to the journal, nor altered
-- it, by whatever way, a trigger or a computed name. Whoever did holds a lock on it until the transaction
-- ends, and nothing but a rollback, which undoes the deed, gives it back. Reading is no deed, nor is
-- ANALYZE of the whole database. Its own statement, because the entry's own lock is taken before its
-- values are computed. It fails by asking for a setting that nobody can make.
SELECT pg_catalog.current_setting('migration_ledger_journal_was_touched')
FROM pg_catalog.pg_lock_status() AS l
WHERE pg_catalog.int4eq(l.pid, pg_catalog.pg_backend_pid())
    AND pg_catalog.texteq(l.locktype, 'relation')
    AND pg_catalog.oideq(l.relation, pg_catalog.to_regclass('migration_ledger.journal'))
    AND NOT (pg_catalog.texteq(l.mode, 'AccessShareLock') OR pg_catalog.texteq(l.mode, 'RowShareLock')
        OR pg_catalog.texteq(l.mode, 'ShareUpdateExclusiveLock'))

-- name: commit
-- Behind an entry that follows statements of others. They can leave something for the commit itself, where
-- `untouched` is past: a trigger that defers constraints again, or the query of a cursor WITH HOLD. What
-- writes there fails, and takes all of it back; nothing makes a transaction that has begun READ WRITE again.
SET TRANSACTION READ ONLY;
COMMIT

-- name: untouched_since_met
-- As `untouched`, where the transaction itself has written this target's first entry, and perhaps made
-- the journal, and so holds locks of its own. It counts changed rows; and the table is as it was when the
-- entry was written: no later row about it in the catalog, and the file that it was made with; or, where
-- it is older, none of the locks that altering it takes.
SELECT pg_catalog.current_setting('migration_ledger_journal_was_touched')
FROM pg_catalog.pg_class AS c
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('migration_ledger.journal')
    AND (pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.>) 0::bigint
        OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.>) 0::bigint
        OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity
        OR c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char"
        OR 1::bigint OPERATOR(pg_catalog.<>) (
            SELECT pg_catalog.count(*) FROM migration_ledger.journal AS j
            WHERE j.target OPERATOR(pg_catalog.=) :target
                AND CASE WHEN j.xmin OPERATOR(pg_catalog.=) c.xmin
                    THEN c.cmin::pg_catalog.text::bigint
                            OPERATOR(pg_catalog.<=) j.cmin::pg_catalog.text::bigint
                        AND pg_catalog.pg_relation_filenode(c.oid) OPERATOR(pg_catalog.=) c.oid
                        AND NOT EXISTS (
                            SELECT FROM pg_catalog.pg_attribute AS a
                            WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
                                AND (NOT a.xmin OPERATOR(pg_catalog.=) j.xmin
                                    OR a.cmin::pg_catalog.text::bigint
                                        OPERATOR(pg_catalog.>) j.cmin::pg_catalog.text::bigint))
                    ELSE NOT EXISTS (
                        SELECT FROM pg_catalog.pg_lock_status() AS l
                        WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
                            AND l.locktype OPERATOR(pg_catalog.=) 'relation'
                            AND l.relation OPERATOR(pg_catalog.=) c.oid
                            AND l.mode OPERATOR(pg_catalog.=) ANY (
                                '{ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'::pg_catalog.text[]
                            )) END))

-- name: index_by_table
-- The index of this name in the schema of the table as the search_path finds it. What another role
-- builds is hidden from a role without pg_read_all_stats, but not that it builds, nor its locks. Copies
-- of a database have the same object ids, and all databases are in one list.
SELECT i.indisvalid AS valid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
            WHERE p.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                AND (p.index_relid OPERATOR(pg_catalog.=) c.oid
                OR (p.relid OPERATOR(pg_catalog.=) i.indrelid AND NOT i.indisvalid)
                OR (p.relid IS NULL AND NOT i.indisvalid AND EXISTS (
                    SELECT FROM pg_catalog.pg_locks AS l
                    WHERE l.pid OPERATOR(pg_catalog.=) p.pid
                        AND l.locktype OPERATOR(pg_catalog.=) 'relation'
                        AND l.relation OPERATOR(pg_catalog.=) i.indrelid
                        AND l.database OPERATOR(pg_catalog.=) (
                            SELECT oid FROM pg_catalog.pg_database
                            WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())))))
        AS building
FROM pg_catalog.pg_class AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace
    JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
        AND c.relname OPERATOR(pg_catalog.=) :index
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid
WHERE t.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(:table)

-- name: index_by_name
SELECT i.indisvalid AS valid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    false AS building
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(:name)

-- name: rights
-- For a look that changes nothing: of the user itself, who makes the journal.
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS create_schema,
    r.rolsuper AS superuser, EXISTS (
        SELECT FROM pg_catalog.pg_roles AS g
        WHERE g.rolcreaterole AND pg_catalog.pg_has_role(session_user, g.oid, 'MEMBER')) AS create_role,
    (SELECT ssl FROM pg_catalog.pg_stat_ssl
     WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) AS tls,
    (:publications) AS publications, (:saved) AS saved,
    pg_catalog.current_setting('log_statement') AS log_statement,
    reached.names[1:3] AS reaches,
    GREATEST(pg_catalog.cardinality(reached.names) OPERATOR(pg_catalog.-) 3, 0) AS reaches_more
FROM pg_catalog.pg_roles AS r,
    -- Other databases of this server where this login may do more than everybody, or where one of its
    -- roles may, in all of them.
    (SELECT ARRAY(
          SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database AS d
          WHERE NOT d.datistemplate
              AND d.datname OPERATOR(pg_catalog.<>) pg_catalog.current_database()
              AND (pg_catalog.pg_has_role(session_user, d.datdba, 'MEMBER')
                   OR pg_catalog.has_database_privilege(session_user, d.oid, 'CREATE')
                   OR EXISTS (SELECT FROM pg_catalog.pg_roles AS g
                              WHERE pg_catalog.pg_has_role(session_user, g.oid, 'MEMBER')
                                  AND (g.rolsuper OR g.rolreplication
                                  OR g.rolname OPERATOR(pg_catalog.=) ANY (
                                      '{pg_read_server_files,pg_write_server_files,pg_execute_server_program}'::pg_catalog.name[])
                                  OR (g.rolname OPERATOR(pg_catalog.=) ANY (
                                          '{pg_read_all_data,pg_write_all_data}'::pg_catalog.name[])
                                      AND pg_catalog.has_database_privilege(session_user, d.oid, 'CONNECT'))))
                   OR EXISTS (SELECT FROM pg_catalog.aclexplode(d.datacl) AS acl
                              WHERE acl.grantee OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
                                  AND pg_catalog.pg_has_role(session_user, acl.grantee, 'MEMBER'))
                   -- What it owns there, or was given: where a thing depends on a role is known everywhere.
                   OR (d.oid OPERATOR(pg_catalog.=) ANY (ARRAY(
                          SELECT s.dbid FROM pg_catalog.pg_roles AS g JOIN pg_catalog.pg_shdepend AS s
                              ON s.refclassid OPERATOR(pg_catalog.=)
                                  'pg_catalog.pg_authid'::pg_catalog.regclass::pg_catalog.oid
                              AND s.refobjid OPERATOR(pg_catalog.=) g.oid
                          WHERE pg_catalog.pg_has_role(session_user, g.oid, 'MEMBER')
                              AND s.deptype OPERATOR(pg_catalog.=) ANY ('{o,a}'::pg_catalog."char"[])))
                       AND pg_catalog.has_database_privilege(session_user, d.oid, 'CONNECT')))
          ORDER BY d.oid) AS names) AS reached
WHERE r.rolname OPERATOR(pg_catalog.=) session_user

-- name: set_role
-- As migrations do: the only proof on every release, for a membership may be WITH SET FALSE.
SET LOCAL ROLE :role

-- name: as_a_script_would
-- Inside a look, and taken back behind `create_in_target`.
SAVEPOINT as_a_script_would;
SET LOCAL ROLE TO DEFAULT;
SET LOCAL search_path TO DEFAULT

-- name: firing
-- As above; what is set holds for the rest of the look, unless this login may not set it.
SAVEPOINT as_a_script_would;
SET LOCAL session_replication_role TO origin

-- name: back_to_the_look
ROLLBACK TO SAVEPOINT as_a_script_would

-- name: create_in_target
-- Of the role that is set: "$user" in a search_path is that role's schema, too.
SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false)
