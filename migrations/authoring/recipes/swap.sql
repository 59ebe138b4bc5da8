-- One column in the place of another, with all that hangs on it: what recipes write into files.
--
--     refused ──▶ not_null_proof ──▶ proven ──▶ swap ──▶ validated
--
-- A recipe knows the names of the two columns and nothing else of the table, so what it writes looks
-- for itself, in the catalogs, when it runs. `:home` is the table, `:leaving` and `:entering` are the
-- columns, all as texts. The entering column takes the place and the name of the leaving one. Keys,
-- foreign keys in both directions, checks, NOT NULL, default, identity, sequence, statistics, comments,
-- grants, replica identity and CLUSTER are made again on it. An index takes long to build, so its
-- counterpart has to be there before; what cannot be made again from its definition alone is refused
-- with the list, before anything is touched. The code ML002 says that a list of
-- names follows: messages of this class hold no values, and are told as they are.

-- name: find
    SELECT * INTO STRICT leaving FROM pg_attribute WHERE attrelid = home AND attname = :leaving;
    SELECT * INTO STRICT entering FROM pg_attribute WHERE attrelid = home AND attname = :entering;

-- name: indexes
-- The indexes of the leaving column, each with its counterpart on the entering one. Alike are two whose
-- definitions are, but for their own names, the name of the column, and casts, which follow its type.
WITH known AS (
        SELECT i.indexrelid, i.indisvalid, i.indisreplident, i.indisclustered, c.relname, k.oid AS key,
            k.contype, k.conname, i.indisunique, right(pg_get_indexdef(i.indexrelid), -length(format(
                'CREATE %sINDEX %I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname))) AS body,
            EXISTS (SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                    AND d.refobjid = home AND d.refobjsubid = leaving.attnum)
                OR leaving.attnum = ANY (i.indkey::smallint[]) AS leaves
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
            LEFT JOIN pg_constraint AS k
                ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
        WHERE i.indrelid = home
    ), leaving_ones AS (
        SELECT known.*, alike, row_number() OVER (
            PARTITION BY alike, indisunique ORDER BY indexrelid) AS turn
        FROM known, LATERAL (SELECT body) AS it (said), LATERAL (:alike) AS simple (alike)
        WHERE leaves
    ), entering_ones AS (
        SELECT indexrelid AS counterpart, indisunique, alike, row_number() OVER (
            PARTITION BY alike, indisunique ORDER BY indexrelid) AS turn
        FROM known, regexp_replace(body, concat('(^|[^a-zA-Z0-9_"$])', regexp_replace(
                quote_ident(entering.attname), '([^a-zA-Z0-9])', '\\\1', 'g'), '(?![a-zA-Z0-9_"$])'),
            concat('\1', replace(quote_ident(leaving.attname), '\', '\\')), 'g') AS renamed (said), LATERAL (:alike) AS simple (alike)
        WHERE NOT leaves AND key IS NULL AND indisvalid
    )
    SELECT * FROM leaving_ones LEFT JOIN entering_ones USING (alike, indisunique, turn)

-- name: alike
-- A definition without casts, and without the brackets that they leave around single words.
SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(said,
    '::("([^"]|"")*"|[\w$]+)(\.("([^"]|"")*"|[\w$]+))?( varying| precision)?(\(\d+(,\d+)?\))?'
    '( with time zone| without time zone)?(\[\])*', '', 'g'),
    '\(("([^"]|"")*"|''[^'']*''|[\w$]+)\)', '\1', 'g'),
    '\(("([^"]|"")*"|''[^'']*''|[\w$]+)\)', '\1', 'g'),
    '\(("([^"]|"")*"|''[^'']*''|[\w$]+)\)', '\1', 'g')

-- name: refused
DO $check$
DECLARE
    home CONSTANT regclass := :home;
    leaving pg_attribute;
    entering pg_attribute;
    problems text;
BEGIN
:find
    SELECT string_agg(problem, '; ' ORDER BY problem) INTO problems FROM (
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS problem
        FROM pg_depend AS d
            LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
            LEFT JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
            LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
            LEFT JOIN pg_class AS o ON o.oid = k.conrelid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = home
            AND d.refobjsubid = leaving.attnum AND NOT coalesce(
                d.objsubid = 0 AND c.relkind IN ('i', 'S')
                OR a.adrelid = home AND a.adnum = leaving.attnum
                OR k.contype IN ('n', 'p', 'u', 'c', 'f') AND k.convalidated AND o.relkind = 'r'
                    AND k.coninhcount = 0 AND NOT (k.contype = 'n' AND k.connoinherit)
                OR d.classid = 'pg_statistic_ext'::regclass, false)
        UNION
        /* What needs the key and not the column, as GROUP BY in a view does. */
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
        FROM pg_depend AS d JOIN pg_constraint AS k ON k.oid = d.refobjid
        WHERE d.refclassid = 'pg_constraint'::regclass AND d.deptype = 'n'
            AND k.conrelid = home AND leaving.attnum = ANY (k.conkey)
        UNION
        /* Its condition, or an expression in it, depends on the column by way of its index. */
        SELECT pg_describe_object('pg_constraint'::regclass, key, 0)
        FROM (:indexes) AS pairs WHERE contype = 'x'
        UNION
        SELECT format('column %I is generated', leaving.attname) WHERE leaving.attgenerated <> ''
        UNION
        SELECT format('column %I is inherited', leaving.attname) WHERE leaving.attinhcount > 0
        UNION
        SELECT format('%s inherits from %s', i.inhrelid::regclass, home)
        FROM pg_inherits AS i, pg_class AS c
        WHERE i.inhparent = home AND c.oid = home AND c.relkind = 'r'
        UNION
        SELECT format('partition key of %s', home) FROM pg_partitioned_table AS p
        WHERE p.partrelid = home AND leaving.attnum = ANY (p.partattrs::smallint[])
        UNION
        SELECT format('collation %s of column %I, which is written behind the new type',
            leaving.attcollation::regcollation, leaving.attname)
        FROM pg_type AS old, pg_type AS new
        WHERE old.oid = leaving.atttypid AND leaving.attcollation NOT IN (0, old.typcollation)
            AND new.oid = entering.atttypid AND entering.attcollation <> 0
            AND entering.attcollation = new.typcollation
            AND entering.attcollation <> leaving.attcollation
        UNION
        SELECT format('trigger %I, which runs behind %I by its name', t.tgname, :sync)
        FROM pg_trigger AS t WHERE t.tgrelid = home AND (:overruling)
        UNION
        SELECT format('security label of column %I', leaving.attname) FROM pg_seclabel AS l
        WHERE l.classoid = 'pg_class'::regclass AND l.objoid = home AND l.objsubid = leaving.attnum
        UNION
        SELECT format('grants on sequence %s', c.oid::regclass)
        FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = home AND d.refobjsubid = leaving.attnum AND leaving.attidentity <> ''
            AND c.relacl IS NOT NULL
        UNION
        SELECT format('index %I without a counterpart on %I, which is made by a migration before this '
            'one with: CREATE %sINDEX CONCURRENTLY %I %s', relname, entering.attname,
            CASE WHEN indisunique THEN 'UNIQUE ' END, left(relname, 59) || '_new',
            regexp_replace(body, concat('(^|[^a-zA-Z0-9_"$])', regexp_replace(
                quote_ident(leaving.attname), '([^a-zA-Z0-9])', '\\\1', 'g'), '(?![a-zA-Z0-9_"$])'),
            concat('\1', replace(quote_ident(entering.attname), '\', '\\')), 'g'))
        FROM (:indexes) AS pairs
        WHERE NOT :building AND counterpart IS NULL AND contype IS DISTINCT FROM 'x'
    ) AS found;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ML002',
            MESSAGE = format('nothing was changed: these hang on column %I of %s, and this migration '
                'cannot carry them over: %s', leaving.attname, home, problems);
    END IF;
END
$check$

-- name: nothing_hangs
-- For columns that go for good: fails with the list of what would go with them.
DO $check$
DECLARE
    home CONSTANT regclass := :home;
    problems text;
BEGIN
    WITH going AS (
        SELECT * FROM pg_attribute
        WHERE attrelid = home AND attname IN (:going) AND NOT attisdropped
    )
    SELECT string_agg(problem, '; ' ORDER BY problem) INTO problems FROM (
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS problem
        FROM pg_depend AS d JOIN going ON d.refobjsubid = going.attnum
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = home
        UNION
        SELECT format('column %I is %s', attname, what) FROM going, unnest(ARRAY[
            CASE WHEN attnotnull THEN 'NOT NULL' END,
            CASE WHEN attgenerated <> '' THEN 'generated' END,
            CASE WHEN attinhcount > 0 THEN 'inherited' END]) AS what
        WHERE what IS NOT NULL
        UNION
        SELECT format('%s of column %I', what, attname) FROM going, unnest(ARRAY[
            CASE WHEN col_description(home, attnum) IS NOT NULL THEN 'comment' END,
            CASE WHEN attacl IS NOT NULL THEN 'grants' END,
            CASE WHEN attoptions IS NOT NULL THEN 'options' END,
            CASE WHEN attstattarget >= 0 THEN 'statistics target' END,
            CASE WHEN EXISTS (SELECT FROM pg_seclabel AS l
                WHERE l.classoid = 'pg_class'::regclass AND l.objoid = home AND l.objsubid = attnum)
            THEN 'security label' END]) AS what
        WHERE what IS NOT NULL
    ) AS found;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ML002',
            MESSAGE = format('nothing was changed: these would go with a column of %s: %s. %s',
                home, problems, :remedy);
    END IF;
END
$check$

-- name: not_generated
-- A trigger before a write does not see what the server computes after it.
DO $check$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = :home::regclass AND attname IN (:going) AND attgenerated <> '')
    THEN
        RAISE EXCEPTION USING ERRCODE = 'ML003',
            MESSAGE = 'nothing was changed: a generated column cannot be kept alike by a trigger; '
                'make another generated column instead';
    END IF;
END
$check$

-- name: within_reach
-- What the phases behind the first one would fail at: they go through the table by `:key`, where it
-- is named, and a trigger does not see the rows of tables that inherit from its own.
DO $check$
DECLARE
    home CONSTANT regclass := :home;
    problems text := (
        SELECT string_agg(problem, '; ' ORDER BY problem) FROM (
            SELECT format('%s inherits from it', i.inhrelid::regclass) AS problem
            FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent
            WHERE i.inhparent = home AND c.relkind = 'r' AND :alone
            UNION ALL
            SELECT format('column %I is inherited', attname) FROM pg_attribute
            WHERE attrelid = home AND attname IN (:going) AND attinhcount > 0 AND :alone
            UNION ALL
            SELECT format('no unique index has exactly the key %I: build one with CREATE UNIQUE INDEX '
                'CONCURRENTLY, or write the recipe with another --key; for one of several columns '
                'take this check out, and write them into the Data marker and the join behind it',
                :key)
            WHERE NOT EXISTS (
                SELECT FROM pg_index AS x JOIN pg_attribute AS a
                    ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                WHERE x.indrelid = home AND x.indisunique AND x.indisvalid AND x.indnkeyatts = 1
                    AND x.indpred IS NULL AND x.indexprs IS NULL AND a.attname = :key)
        ) AS found);
BEGIN
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ML002',
            MESSAGE = format('nothing was changed: a later phase would fail on %s: %s',
                home, problems);
    END IF;
END
$check$

-- name: nullable
-- The way back would take a NOT NULL away that was there before.
DO $check$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = :home::regclass AND attname IN (:going) AND attnotnull)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'ML003',
            MESSAGE = 'nothing was changed: the column is NOT NULL already; take this migration out';
    END IF;
END
$check$

-- name: overruling
-- Triggers before a write of a row come in the order of their names, and what changes the row behind the
-- one that keeps two columns alike leaves them different.
NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3 AND t.tgtype & 20 > 0
    AND t.tgname::text COLLATE "C" > :sync COLLATE "C" AND :sync <> ''

-- name: not_overruled
DO $check$
DECLARE
    others text := (SELECT string_agg(quote_ident(t.tgname), ', ' ORDER BY t.tgname)
        FROM pg_trigger AS t WHERE t.tgrelid = :home::regclass AND (:overruling));
BEGIN
    IF others IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ML002',
            MESSAGE = format('nothing was changed: these triggers of %s run behind %I by their names, '
                'and may change what it keeps alike: %s; give them names that come before it (ALTER '
                'TRIGGER … RENAME TO)', :home::regclass, :sync, others);
    END IF;
END
$check$

-- name: not_policed
-- A table that is made from another one's columns shows what the policies of that one hide.
DO $check$
BEGIN
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = :home::regclass) THEN
        RAISE EXCEPTION USING ERRCODE = 'ML003',
            MESSAGE = 'nothing was changed: the table has row security, which the new one would not '
                'have; write its policies below CREATE TABLE and take this check out';
    END IF;
END
$check$

-- name: granted
-- By its trigger, who writes to the one table writes to the other, whichever columns it is about.
DO $grants$
DECLARE
    home CONSTANT regclass := :home;
    command text;
BEGIN
    FOR command IN
        SELECT format('GRANT %s ON %s TO %s', grants.privileges, grants.relation, CASE given.grantee
            WHEN 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END)
        FROM (
            SELECT acl.grantee, bool_or(acl.privilege_type IN ('INSERT', 'UPDATE')) AS writes,
                bool_or(acl.privilege_type = 'SELECT' AND list.attname IS NULL) AS reads
            FROM (
                SELECT NULL AS attname, coalesce(relacl, acldefault('r', relowner)) AS acl
                FROM pg_class WHERE oid = home
                UNION ALL
                SELECT attname, attacl FROM pg_attribute WHERE attrelid = home AND NOT attisdropped
            ) AS list, aclexplode(list.acl) AS acl
            WHERE acl.grantee <> (SELECT relowner FROM pg_class WHERE oid = :made::regclass)
            GROUP BY acl.grantee
        ) AS given, LATERAL (VALUES
            ('SELECT, INSERT, UPDATE, DELETE', :made::regclass, given.writes),
            ('SELECT', :made::regclass, given.reads AND NOT given.writes),
            ('SELECT', :view::regclass, given.reads)
        ) AS grants (privileges, relation, wanted)
        WHERE grants.wanted
    LOOP
        EXECUTE command;
    END LOOP;
END
$grants$

-- name: not_null_proof
-- With a proven CHECK, SET NOT NULL reads nothing under its strong lock.
DO $proof$
DECLARE
    home CONSTANT regclass := :home;
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = home AND attname = :leaving AND attnotnull)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = home AND conname = :proof)
    THEN
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I IS NOT NULL) NOT VALID',
            home, :proof, :entering);
    END IF;
END
$proof$

-- name: proven
DO $proof$
DECLARE
    home CONSTANT regclass := :home;
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = home AND conname = :proof) THEN
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', home, :proof);
    END IF;
END
$proof$

-- name: swap
-- In one transaction under one strong, short lock: nobody sees the table without the column, or both.
-- An index without a counterpart is built, which takes its time: `refused` sees to it that there is none.
-- Constraints come back NOT VALID, so that nothing is read under the lock; `validated` reads.
DO $swap$
DECLARE
    home CONSTANT regclass := :home;
    leaving pg_attribute;
    entering pg_attribute;
    sequence record;
    place bigint;
    called boolean;
    called_before name := (
        SELECT k.conname FROM pg_constraint AS k JOIN pg_attribute AS a
            ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
        WHERE k.conrelid = home AND k.contype = 'n' AND a.attname = :leaving);
    before text[];
    again text[];
    command text;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', home);
:also
:find
    SELECT c.oid::regclass AS name, d.deptype, obj_description(c.oid, 'pg_class') AS about
    INTO sequence
    FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = home AND d.refobjsubid = leaving.attnum AND d.deptype IN ('a', 'i');
    IF sequence.name IS NOT NULL THEN
        EXECUTE format('SELECT last_value, is_called FROM %s', sequence.name) INTO place, called;
        /* A sequence of integers ends where integers do. */
        IF format_type(entering.atttypid, NULL) IN ('smallint', 'integer', 'bigint')
            AND (SELECT seqtypid FROM pg_sequence WHERE seqrelid = sequence.name) = leaving.atttypid
        THEN
            EXECUTE format('ALTER SEQUENCE %s AS %s',
                sequence.name, format_type(entering.atttypid, NULL));
        END IF;
    END IF;

    /* What is to be done again when the entering column has the name, in this order. */
    SELECT coalesce(array_agg(todo ORDER BY rank, todo), ARRAY[]::text[]) INTO again FROM (
        SELECT 2 AS rank, format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s',
            home, leaving.attname, pg_get_expr(a.adbin, a.adrelid)) AS todo
        FROM pg_attrdef AS a WHERE a.adrelid = home AND a.adnum = leaving.attnum
        UNION ALL
        SELECT 3, format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME '
            '%s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s %s)', home, leaving.attname,
            CASE leaving.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, sequence.name,
            s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
            CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
        FROM pg_sequence AS s WHERE s.seqrelid = sequence.name AND sequence.deptype = 'i'
        UNION ALL
        SELECT 4, format('SELECT setval(%L, %s, %L)', sequence.name, place, called)
        WHERE sequence.deptype = 'i'
        UNION ALL
        SELECT 5, format('COMMENT ON SEQUENCE %s IS %L', sequence.name, sequence.about)
        WHERE sequence.deptype = 'i' AND sequence.about IS NOT NULL
        UNION ALL
        SELECT 5, format('ALTER TABLE %s RENAME COLUMN %I TO %I',
            counterpart::regclass, x.attname, leaving.attname)
        FROM (:indexes) AS pairs
            JOIN pg_attribute AS x ON x.attrelid = counterpart AND x.attname = entering.attname
        UNION ALL
        SELECT 6, CASE
            WHEN key IS NOT NULL AND counterpart IS NOT NULL THEN format(
                'ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s%s', home, k.conname,
                CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END,
                (SELECT relname FROM pg_class WHERE oid = counterpart),
                CASE WHEN k.condeferrable THEN ' DEFERRABLE' END,
                CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' END)
            WHEN key IS NOT NULL THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s',
                home, k.conname, pg_get_constraintdef(key))
            WHEN counterpart IS NOT NULL THEN format(
                'ALTER INDEX %s RENAME TO %I', counterpart::regclass, relname)
            ELSE pg_get_indexdef(indexrelid) END
        FROM (:indexes) AS pairs LEFT JOIN pg_constraint AS k ON k.oid = key
        UNION ALL
        SELECT 7, unnest(ARRAY[
            CASE WHEN indisreplident THEN format(
                'ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', home, relname) END,
            CASE WHEN indisclustered THEN format('ALTER TABLE %s CLUSTER ON %I', home, relname) END,
            format('COMMENT ON INDEX %s IS %L', indexrelid::regclass,
                obj_description(indexrelid, 'pg_class'))])
        FROM (:indexes) AS pairs
        UNION ALL
        SELECT 7, format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s',
            x.attrelid::regclass, x.attnum, x.attstattarget)
        FROM (:indexes) AS pairs JOIN pg_attribute AS x ON x.attrelid = indexrelid
        WHERE x.attstattarget >= 0
        UNION ALL
        SELECT 8, format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', k.conrelid::regclass, k.conname,
            pg_get_constraintdef(k.oid), CASE WHEN k.convalidated THEN ' NOT VALID' END)
        FROM pg_constraint AS k
        WHERE k.contype IN ('c', 'f') AND (k.conrelid = home AND leaving.attnum = ANY (k.conkey)
            OR k.confrelid = home AND leaving.attnum = ANY (k.confkey))
        UNION ALL
        SELECT 9, format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, k.conrelid::regclass,
            obj_description(k.oid, 'pg_constraint'))
        FROM pg_constraint AS k
        WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
            AND (k.conrelid = home AND leaving.attnum = ANY (k.conkey)
                OR k.confrelid = home AND leaving.attnum = ANY (k.confkey))
        UNION ALL
        SELECT 10 + turn, todo
        FROM pg_statistic_ext AS e JOIN pg_namespace AS n ON n.oid = e.stxnamespace,
            unnest(ARRAY[pg_get_statisticsobjdef(e.oid), format('COMMENT ON STATISTICS %I.%I IS %L',
                n.nspname, e.stxname, obj_description(e.oid, 'pg_statistic_ext')),
                CASE WHEN e.stxstattarget >= 0 THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s',
                    n.nspname, e.stxname, e.stxstattarget) END])
            WITH ORDINALITY AS it (todo, turn)
        WHERE EXISTS (SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_statistic_ext'::regclass AND d.objid = e.oid
                AND d.refobjid = home AND d.refobjsubid = leaving.attnum)
        UNION ALL
        SELECT 14, unnest(ARRAY[
            format('COMMENT ON COLUMN %s.%I IS %L', home, leaving.attname,
                col_description(home, leaving.attnum)),
            CASE WHEN leaving.attstattarget >= 0 THEN format(
                'ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s',
                home, leaving.attname, leaving.attstattarget) END,
            CASE WHEN leaving.attstorage <> was.typstorage AND becomes.typstorage <> 'p' THEN format(
                'ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', home, leaving.attname,
                CASE leaving.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                    WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END,
            CASE WHEN leaving.attcompression <> '' AND becomes.typstorage <> 'p' THEN format(
                'ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', home, leaving.attname,
                CASE leaving.attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END) END,
            CASE WHEN leaving.attoptions IS NOT NULL THEN format('ALTER TABLE %s ALTER COLUMN %I SET (%s)',
                home, leaving.attname, array_to_string(leaving.attoptions, ', ')) END])
        FROM pg_type AS was, pg_type AS becomes
        WHERE was.oid = leaving.atttypid AND becomes.oid = entering.atttypid
        UNION ALL
        SELECT 15, format('GRANT %s (%I) ON %s TO %s%s', acl.privilege_type, leaving.attname, home,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
            CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' END)
        FROM aclexplode(leaving.attacl) AS acl
    ) AS list WHERE todo IS NOT NULL;

    /* What would go with the column, or stand in its way. */
    SELECT coalesce(array_agg(todo), ARRAY[]::text[]) INTO before FROM (
        SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', sequence.name, home, entering.attname) AS todo
        WHERE sequence.deptype = 'a'
        UNION ALL
        /* A dropped column keeps its grants before PostgreSQL 15. */
        SELECT DISTINCT format('REVOKE ALL (%I) ON %s FROM %s', leaving.attname, home,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END)
        FROM aclexplode(leaving.attacl) AS acl
        UNION ALL
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
        FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.confrelid = home AND leaving.attnum = ANY (k.confkey)
    ) AS list;
    FOREACH command IN ARRAY before LOOP
        EXECUTE command;
    END LOOP;
    EXECUTE format('ALTER TABLE %s DROP COLUMN %I', home, leaving.attname);
    EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', home, entering.attname, leaving.attname);
    IF leaving.attnotnull THEN
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', home, leaving.attname);
        /* Since PostgreSQL 18 it has a name. */
        FOR command IN
            SELECT format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', home, k.conname, called_before)
            FROM pg_constraint AS k
            WHERE k.conrelid = home AND k.contype = 'n' AND k.conkey = ARRAY[entering.attnum]
                AND k.conname <> called_before
        LOOP
            EXECUTE command;
        END LOOP;
    END IF;
    FOREACH command IN ARRAY again LOOP
        EXECUTE command;
    END LOOP;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', home, :proof);
END
$swap$

-- name: validated
DO $validate$
DECLARE
    home CONSTANT regclass := :home;
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname)
        FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = home AND a.attname = :leaving
        WHERE k.contype IN ('c', 'f') AND NOT k.convalidated
            AND (k.conrelid = home AND a.attnum = ANY (k.conkey)
                OR k.confrelid = home AND a.attnum = ANY (k.confkey))
    LOOP
        EXECUTE command;
    END LOOP;
END
$validate$
