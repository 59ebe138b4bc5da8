-- The log: one append-only table, one head row, one function that writes.
--
-- How leaf and chain are computed is written down in ops/decisions/0001-the-log.md and can never be
-- changed. There is no Down section: a log is not taken back.

-- +migrate Up

-- Group roles belong to the server, not to the database: another ledger on this server may have
-- created them already, even at this moment.
-- +migrate StatementBegin
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY[
        'ledger_viewer', 'ledger_operator', 'ledger_service', 'ledger_notifier', 'ledger_auditor'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;
-- +migrate StatementEnd

CREATE SCHEMA ledger;

-- The head of the log: where it ends, and who leads. Exactly one row, and the lock that every append
-- takes first. Its chain value stands in the log at this position; before the first event it is the
-- SHA-256 of the ledger's id. `schema_version` is written by the installer.
CREATE TABLE ledger.head (
    ledger_id uuid NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    schema_version integer NOT NULL DEFAULT 0,
    term bigint NOT NULL DEFAULT 0,
    leader text,
    leader_host text,
    leader_since timestamptz
) WITH (fillfactor = 50);

-- An index and not a CHECK, which PostgreSQL would prepare anew for each append.
CREATE UNIQUE INDEX head_has_one_row ON ledger.head ((true));

-- Body and metadata are bytea because they are the exact bytes that were hashed. Texts compare byte
-- by byte: an order that a new version of a locale changes would damage the indexes.
CREATE TABLE ledger.log (
    position bigint NOT NULL,
    stream_version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    schema_version integer NOT NULL,
    stream text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    recorded_by text NOT NULL,
    leaf bytea NOT NULL,
    chain bytea NOT NULL,
    metadata bytea NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT log_pkey PRIMARY KEY (position),
    CONSTRAINT log_stream_version_key UNIQUE (stream, stream_version),
    CONSTRAINT log_event_id_key UNIQUE (event_id)
)
-- Statistics of a small log would make plans that read all of it, and sessions keep plans: the first
-- are taken when the log is large.
WITH (autovacuum_analyze_threshold = 10000, autovacuum_vacuum_insert_threshold = 10000);

-- What turns a rollout, and whom it concerns: a few of the many events of a stream, found without
-- walking the orders among which they stand.
CREATE INDEX log_turns ON ledger.log (stream, stream_version)
WHERE type IN (
    'RolloutPlanned', 'WavePlanned', 'RolloutStarted', 'RolloutPaused', 'RolloutResumed',
    'RolloutHalted', 'RetryRequested', 'UndoStarted', 'RolloutCompleted', 'RolloutAborted',
    'OutcomeResolved', 'WaveOpened', 'WaveCompleted', 'ReportContradicted');

-- What people asked for: few of the events of a log, and what is looked for in it most.
CREATE INDEX log_requests ON ledger.log (position)
WHERE type IN (
    'BundleRegistered', 'ChangeAccepted', 'CheckRequested', 'DatabaseFenceReset',
    'DatabaseRegistered', 'DatabaseReinstated', 'DatabaseRelabelled', 'DatabaseRepointed',
    'DatabaseRetired', 'DatabaseSuspended', 'DriftAccepted', 'EventSetAside', 'FactRecorded', 'FileGone',
    'KeyRegistered', 'KeyRevoked', 'OutcomeResolved', 'RehearsalRecorded', 'RetryRequested', 'RolloutAborted',
    'RolloutPaused', 'RolloutPlanned', 'RolloutResumed', 'RolloutStarted', 'UndoStarted');

-- What databases were asked before anything was applied there: the latest say how large tables are.
CREATE INDEX log_preflights ON ledger.log (position) WHERE type = 'PreflightChecked';

-- Every type that the log can hold, its newest version, and a regular expression for the streams that
-- it may stand in; it has no counts, which would cost ten times as much for each event.
CREATE TABLE ledger.event_type (
    type text COLLATE "C" NOT NULL,
    schema_version integer NOT NULL,
    streams text COLLATE "C" NOT NULL,
    CONSTRAINT event_type_pkey PRIMARY KEY (type),
    CONSTRAINT event_type_version_counts_from_one CHECK (schema_version > 0)
);

-- Who may append it: the service role everything, because it also takes in what agents report; an
-- operator what a person may decide, never what happened, and never an order; whoever notifies people
-- that it could not; whoever audits what it found.
CREATE TABLE ledger.event_type_permission (
    type text COLLATE "C" NOT NULL,
    role text NOT NULL,
    CONSTRAINT event_type_permission_pkey PRIMARY KEY (type, role),
    CONSTRAINT event_type_permission_role_known CHECK (
        role IN ('ledger_operator', 'ledger_service', 'ledger_notifier', 'ledger_auditor'))
);

-- The registry in ledger/contracts/events.py, as `python -m ops.event_reference` writes it. A
-- type or version that comes later is written by a schema file of its own.
INSERT INTO ledger.event_type (type, schema_version, streams) VALUES
    ('DatabaseRegistered', 1, '^(fleet)$'),
    ('DatabaseRelabelled', 1, '^(fleet)$'),
    ('DatabaseRepointed', 1, '^(fleet)$'),
    ('DatabaseSuspended', 1, '^(fleet)$'),
    ('DatabaseReinstated', 1, '^(fleet)$'),
    ('DatabaseFenceReset', 1, '^(fleet)$'),
    ('DatabaseRetired', 1, '^(fleet)$'),
    ('MigrationRegressed', 1, '^(fleet)$'),
    ('DriftDetected', 1, '^(fleet)$'),
    ('DriftEnded', 1, '^(fleet)$'),
    ('DriftAccepted', 1, '^(fleet)$'),
    ('FactRecorded', 1, '^(fleet)$'),
    ('ChangeAccepted', 1, '^(bundles)$'),
    ('FileGone', 1, '^(bundles)$'),
    ('BundleRegistered', 1, '^(bundles)$'),
    ('RehearsalRecorded', 1, '^(bundles)$'),
    ('KeyRegistered', 1, '^(keys)$'),
    ('KeyRevoked', 1, '^(keys)$'),
    ('RolloutPlanned', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('WavePlanned', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutStarted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('WaveOpened', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('MigrationOrdered', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('DatabaseLeftOut', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('WaveCompleted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutPaused', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutResumed', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutHalted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RetryRequested', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('UndoStarted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutCompleted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('RolloutAborted', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('AttemptTimedOut', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('OutcomeResolved', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('AttemptStarted', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('DatabaseIdentified', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('MigrationApplied', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('MigrationSkipped', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('MigrationRolledBack', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('HistoryAdopted', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('MigrationFailed', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('BatchProgressed', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('CommandRefused', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('ContentMissing', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('OutsideChangeFound', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('PreflightChecked', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('BlockerCancelled', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('AttemptFinished', 1, '^(rollout-[A-Za-z0-9._-]+/reports)$'),
    ('DatabaseInspected', 1, '^(rollout-[A-Za-z0-9._-]+/reports|check-[A-Za-z0-9._-]+/reports)$'),
    ('CheckRequested', 1, '^(check-[A-Za-z0-9._-]+)$'),
    ('CheckFinished', 1, '^(check-[A-Za-z0-9._-]+)$'),
    ('InspectionOrdered', 1, '^(rollout-[A-Za-z0-9._-]+)$'),
    ('ReportContradicted', 1, '^(rollout-[A-Za-z0-9._-]+/reports|check-[A-Za-z0-9._-]+/reports)$'),
    ('MessageParked', 1, '^(ledger)$'),
    ('LedgerInitialised', 1, '^(ledger)$'),
    ('EventSetAside', 1, '^(ledger)$'),
    ('LeadershipTaken', 1, '^(ledger)$'),
    ('NotificationFailed', 1, '^(ledger)$'),
    ('DifferenceFound', 1, '^(ledger)$');
INSERT INTO ledger.event_type_permission (type, role) VALUES
    ('DatabaseRegistered', 'ledger_operator'),
    ('DatabaseRegistered', 'ledger_service'),
    ('DatabaseRelabelled', 'ledger_operator'),
    ('DatabaseRelabelled', 'ledger_service'),
    ('DatabaseRepointed', 'ledger_operator'),
    ('DatabaseRepointed', 'ledger_service'),
    ('DatabaseSuspended', 'ledger_operator'),
    ('DatabaseSuspended', 'ledger_service'),
    ('DatabaseReinstated', 'ledger_operator'),
    ('DatabaseReinstated', 'ledger_service'),
    ('DatabaseFenceReset', 'ledger_operator'),
    ('DatabaseFenceReset', 'ledger_service'),
    ('DatabaseRetired', 'ledger_operator'),
    ('DatabaseRetired', 'ledger_service'),
    ('MigrationRegressed', 'ledger_service'),
    ('DriftDetected', 'ledger_service'),
    ('DriftEnded', 'ledger_service'),
    ('DriftAccepted', 'ledger_operator'),
    ('DriftAccepted', 'ledger_service'),
    ('FactRecorded', 'ledger_operator'),
    ('FactRecorded', 'ledger_service'),
    ('ChangeAccepted', 'ledger_operator'),
    ('ChangeAccepted', 'ledger_service'),
    ('FileGone', 'ledger_operator'),
    ('FileGone', 'ledger_service'),
    ('BundleRegistered', 'ledger_operator'),
    ('BundleRegistered', 'ledger_service'),
    ('RehearsalRecorded', 'ledger_operator'),
    ('RehearsalRecorded', 'ledger_service'),
    ('KeyRegistered', 'ledger_operator'),
    ('KeyRegistered', 'ledger_service'),
    ('KeyRevoked', 'ledger_operator'),
    ('KeyRevoked', 'ledger_service'),
    ('RolloutPlanned', 'ledger_operator'),
    ('RolloutPlanned', 'ledger_service'),
    ('WavePlanned', 'ledger_operator'),
    ('WavePlanned', 'ledger_service'),
    ('RolloutStarted', 'ledger_operator'),
    ('RolloutStarted', 'ledger_service'),
    ('WaveOpened', 'ledger_service'),
    ('MigrationOrdered', 'ledger_service'),
    ('DatabaseLeftOut', 'ledger_service'),
    ('WaveCompleted', 'ledger_service'),
    ('RolloutPaused', 'ledger_operator'),
    ('RolloutPaused', 'ledger_service'),
    ('RolloutResumed', 'ledger_operator'),
    ('RolloutResumed', 'ledger_service'),
    ('RolloutHalted', 'ledger_service'),
    ('RetryRequested', 'ledger_operator'),
    ('RetryRequested', 'ledger_service'),
    ('UndoStarted', 'ledger_operator'),
    ('UndoStarted', 'ledger_service'),
    ('RolloutCompleted', 'ledger_service'),
    ('RolloutAborted', 'ledger_operator'),
    ('RolloutAborted', 'ledger_service'),
    ('AttemptTimedOut', 'ledger_service'),
    ('OutcomeResolved', 'ledger_operator'),
    ('OutcomeResolved', 'ledger_service'),
    ('AttemptStarted', 'ledger_service'),
    ('DatabaseIdentified', 'ledger_service'),
    ('MigrationApplied', 'ledger_service'),
    ('MigrationSkipped', 'ledger_service'),
    ('MigrationRolledBack', 'ledger_service'),
    ('HistoryAdopted', 'ledger_service'),
    ('MigrationFailed', 'ledger_service'),
    ('BatchProgressed', 'ledger_service'),
    ('CommandRefused', 'ledger_service'),
    ('ContentMissing', 'ledger_service'),
    ('OutsideChangeFound', 'ledger_service'),
    ('PreflightChecked', 'ledger_service'),
    ('BlockerCancelled', 'ledger_service'),
    ('AttemptFinished', 'ledger_service'),
    ('DatabaseInspected', 'ledger_service'),
    ('CheckRequested', 'ledger_operator'),
    ('CheckRequested', 'ledger_service'),
    ('CheckFinished', 'ledger_service'),
    ('InspectionOrdered', 'ledger_service'),
    ('ReportContradicted', 'ledger_service'),
    ('MessageParked', 'ledger_service'),
    ('LedgerInitialised', 'ledger_service'),
    ('EventSetAside', 'ledger_operator'),
    ('EventSetAside', 'ledger_service'),
    ('LeadershipTaken', 'ledger_service'),
    ('NotificationFailed', 'ledger_notifier'),
    ('NotificationFailed', 'ledger_service'),
    ('DifferenceFound', 'ledger_auditor'),
    ('DifferenceFound', 'ledger_service');

-- Texts of migrations, stored once by their hash.
CREATE TABLE ledger.content (
    sha256 bytea NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT content_pkey PRIMARY KEY (sha256),
    CONSTRAINT content_matches_its_hash CHECK (sha256 = sha256(body)),
    -- As much as is read of a file (migrations/formats/bundle.py): a leader sends it, agents keep it.
    CONSTRAINT content_is_no_larger_than_a_file CHECK (octet_length(body) <= 62914560)
);

-- How far each follower of the log, or of a partition of the reports topic, has come.
CREATE TABLE ledger.consumer_position (
    consumer text NOT NULL,
    position bigint NOT NULL,
    term bigint NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT consumer_position_pkey PRIMARY KEY (consumer)
) WITH (fillfactor = 50);

-- What agents say of themselves: outside the log, lost by a crash of the server, said again soon.
CREATE UNLOGGED TABLE ledger.heartbeat (
    agent text NOT NULL,
    pool text NOT NULL,
    seen_at timestamptz NOT NULL,
    body jsonb NOT NULL,
    CONSTRAINT heartbeat_pkey PRIMARY KEY (agent)
);

-- What agents found when they looked at databases: outside the log, which has what that changed
-- (ops/decisions/0028). For an hour for whoever asked, by the check's stream; the last of each
-- database for longer. `position` is where the log was when the answer was kept, `is_read` whether it
-- tells what the journal holds, `body` the answer as the agent wrote it, but for the schema's `snapshot`,
-- which is large and kept for that hour alone.
CREATE TABLE ledger.look (
    stream text NOT NULL,
    database text NOT NULL,
    attempt integer NOT NULL,
    is_read boolean NOT NULL,
    position bigint NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    schema_version integer NOT NULL,
    body bytea NOT NULL,
    snapshot text NOT NULL DEFAULT '',
    CONSTRAINT look_pkey PRIMARY KEY (stream, database)
) WITH (fillfactor = 80);
CREATE INDEX look_database_idx ON ledger.look (database, answered_at);

-- +migrate StatementBegin
CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: what is recorded is never changed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'LG006', HINT = 'Append an event that says what is different now.';
END
$$;
-- +migrate StatementEnd

CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.log
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER content_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.content
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER head_stays BEFORE DELETE OR TRUNCATE ON ledger.head
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- Creates the head row. Again is harmless: the first id stays.
-- +migrate StatementBegin
CREATE FUNCTION ledger.initialise(p_ledger_id uuid) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ledger.head (ledger_id) VALUES (p_ledger_id)
    ON CONFLICT DO NOTHING;
    SELECT ledger_id FROM ledger.head
$$;
-- +migrate StatementEnd

-- What follows defines the hashes: ops/decisions/0001-the-log.md says the same in prose. These are
-- single expressions without a search path of their own, so that PostgreSQL puts them in place.
--
-- A field is its length as four bytes, most significant first, and then its bytes. Here it comes with
-- the length of the field that follows it, so that a leaf is put together from few pieces. The
-- database's encoding is UTF8, the installer sees to that.
-- +migrate StatementBegin
CREATE FUNCTION ledger.field(p_text text, p_next_length bytea) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT int4send(octet_length(p_text)) || convert_to(p_text, 'UTF8') || p_next_length
$$;
-- +migrate StatementEnd

-- When (microseconds since 1970, UTC) and by whom: two fields of a leaf, alike for a whole batch.
-- +migrate StatementBegin
CREATE FUNCTION ledger.circumstances(p_at timestamptz, p_by text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT '\x00000008'::bytea || int8send((extract(epoch FROM p_at) * 1000000)::bigint)
        || ledger.field(p_by, '\x00000020')
$$;
-- +migrate StatementEnd

-- An event's own hash. Stream, type and circumstances are given as fields. The literals are the
-- leaf's 0x00 and the lengths of what follows them.
-- +migrate StatementBegin
CREATE FUNCTION ledger.leaf(
    p_position bigint, p_stream bytea, p_version bigint, p_id uuid, p_type bytea,
    p_schema_version integer, p_circumstances bytea, p_metadata bytea, p_body bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(
        '\x0000000008'::bytea || int8send(p_position) || p_stream
        || int8send(p_version) || '\x00000010'::bytea || uuid_send(p_id)
        || p_type || int4send(p_schema_version) || p_circumstances
        || sha256(p_metadata) || '\x00000020'::bytea || sha256(p_body))
$$;
-- +migrate StatementEnd

-- The chain's value after an event.
-- +migrate StatementBegin
CREATE FUNCTION ledger.link(p_chain bytea, p_leaf bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256('\x01'::bytea || p_chain || p_leaf)
$$;
-- +migrate StatementEnd

-- The functions from here to `ledger.append` are parts of it: nobody else may call them, and they run
-- with its search path. Those that read the log are VOLATILE, so that each of their statements sees
-- what was committed before the head row was locked.

-- Moves a follower's saved position. The caller holds the lock on the head row, so that a leader
-- whose term has ended cannot move it.
-- +migrate StatementBegin
CREATE FUNCTION ledger.set_position(p_consumer text, p_position bigint, p_term bigint)
RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO ledger.consumer_position (consumer, position, term)
    VALUES (p_consumer, p_position, p_term)
    ON CONFLICT (consumer) DO UPDATE
    SET position = excluded.position, term = excluded.term, moved_at = excluded.moved_at
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
CREATE FUNCTION ledger.refuse_term(p_term bigint, p_current bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION 'leadership term % has ended, term % is current', p_term, p_current
        USING ERRCODE = 'LG005', DETAIL = json_build_object('term', p_term, 'current', p_current);
END
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
CREATE FUNCTION ledger.refuse_call() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION 'an append needs a stream, as many types, schema versions, bodies and metadatas '
        'as ids, none of them NULL, and a position and a term with a consumer'
        USING ERRCODE = 'LG007';
END
$$;
-- +migrate StatementEnd

-- +migrate StatementBegin
CREATE FUNCTION ledger.refuse_event(p_type text, p_why text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION '% cannot be recorded: %', p_type, p_why
        USING ERRCODE = 'LG010', DETAIL = json_build_object('type', p_type, 'why', p_why);
END
$$;
-- +migrate StatementEnd

-- Refuses an event of a type that is not known or that the session's role may not write, of a version
-- that no schema file has named, or in a stream of another kind. The session's role is who logged in:
-- neither SET ROLE nor the rights of `ledger.append` change it. The schema's owner counts as service.
-- Versions before the newest are taken: agents, and a leader of before an upgrade, still write them.
-- +migrate StatementBegin
CREATE FUNCTION ledger.check_kind(p_stream text, p_type text, p_schema_version integer)
RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_newest integer;
    v_is_here boolean;
BEGIN
    IF p_type IS NULL OR p_schema_version IS NULL THEN
        PERFORM ledger.refuse_call();
    END IF;
    SELECT known.schema_version, p_stream ~ known.streams AND octet_length(p_stream) <= 116
    INTO v_newest, v_is_here
    FROM ledger.event_type AS known
    WHERE known.type = p_type AND EXISTS (
        SELECT FROM ledger.event_type_permission AS permission
        WHERE permission.type = p_type
          AND (pg_has_role(session_user, permission.role, 'MEMBER')
               OR session_user = current_user AND permission.role = 'ledger_service'));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role % may not append %', session_user, p_type
            USING ERRCODE = 'LG004',
                DETAIL = json_build_object('role', session_user, 'type', p_type);
    END IF;
    IF p_schema_version NOT BETWEEN 1 AND v_newest THEN
        PERFORM ledger.refuse_event(p_type, format(
            'its version %s is not known here, the newest is %s', p_schema_version, v_newest));
    END IF;
    IF v_is_here IS NOT TRUE THEN
        PERFORM ledger.refuse_event(
            p_type, format('it does not belong into the stream %s', p_stream));
    END IF;
END
$$;
-- +migrate StatementEnd

-- Refuses a batch in which an id stands for two contents, here or in the log, and, unless known
-- events are to be skipped, a batch that is known in part or repeats an id.
-- Metadata is no part of the comparison: who sent it again, when, and in which trace may differ.
-- +migrate StatementBegin
CREATE FUNCTION ledger.check_known(
    p_stream text, p_ids uuid[], p_types text[], p_schema_versions integer[], p_bodies bytea[],
    p_skip_known boolean
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_differs record;
    v_known bigint;
BEGIN
    SELECT given.id, min(given.position) AS position INTO v_differs
    FROM (
        SELECT id, p_stream, type, schema_version, body, NULL::bigint AS position
        FROM unnest(p_ids, p_types, p_schema_versions, p_bodies)
            AS batch (id, type, schema_version, body)
        UNION ALL
        SELECT event_id, stream, type, schema_version, body, position
        FROM ledger.log WHERE event_id = ANY (p_ids)
    ) AS given (id, stream, type, schema_version, body, position)
    GROUP BY given.id
    HAVING count(DISTINCT (given.stream, given.type, given.schema_version, given.body)) > 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event id % stands for two contents', v_differs.id
            USING ERRCODE = 'LG002', DETAIL = json_build_object(
                'event_id', v_differs.id, 'position', v_differs.position);
    END IF;
    SELECT count(*) INTO v_known FROM ledger.log WHERE event_id = ANY (p_ids);
    IF NOT p_skip_known AND v_known < cardinality(p_ids) AND (
        v_known > 0
        OR (SELECT count(DISTINCT id) FROM unnest(p_ids) AS id) < cardinality(p_ids))
    THEN
        RAISE EXCEPTION '% of the % events are in the log already', v_known, cardinality(p_ids)
            USING ERRCODE = 'LG003', DETAIL = json_build_object(
                'known', v_known, 'given', cardinality(p_ids));
    END IF;
END
$$;
-- +migrate StatementEnd

-- Appends events to one stream: the only way into the log. Call it by itself (autocommit) under
-- READ COMMITTED, so that the head row is locked for no longer than this call and its commit.
--
-- p_expected_version  the stream's version that the caller decided on (0: no such stream yet);
--                     NULL appends after whatever is there.
-- p_skip_known        append the events whose ids are unknown; otherwise a batch is either wholly
--                     new or wholly known, and a known one returns its first result.
-- p_term              the leadership term the caller acts under; NULL is not fenced.
-- p_consumer          whose read position moves with these events, to p_consumer_position; for the
--                     service alone, and under its term.
--
-- Returns [position, version] of the first event when all were new; otherwise, for each event in the
-- order given, [position, version, 1 if it was known before].
--
-- Errors: LG001 version conflict, LG002 one id with two contents, LG003 batch partly known,
-- LG004 not permitted, LG005 stale term, LG007 malformed call, LG008 the log's last event is gone,
-- LG010 a version or a stream that the type does not have.
-- +migrate StatementBegin
CREATE FUNCTION ledger.append(
    p_stream text, p_expected_version bigint, p_ids uuid[], p_types text[],
    p_schema_versions integer[], p_bodies bytea[], p_metadatas bytea[],
    p_skip_known boolean, p_term bigint, p_consumer text, p_consumer_position bigint
)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- A plan made while the log was empty must not become a sequential scan of a large one, and planning
-- anew for every batch size would cost more than the append itself.
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_given constant uuid[] := p_ids;
    v_count integer := cardinality(p_ids);
    v_head bigint;
    v_ledger_id uuid;
    v_term bigint;
    v_version bigint;
    v_resent boolean;
    v_now timestamptz;
    v_stream bytea;
    v_circumstances bytea;
    v_type text;
    v_schema_version integer;
    v_kind text;
    v_kinds text[] := '{}';
    v_type_field bytea;
    v_leaf bytea;
    v_last bytea;
    v_chain bytea;
    v_leaves bytea[];
    v_chains bytea[];
BEGIN
    IF p_stream IS NULL OR p_stream = '' OR v_count IS NULL OR v_count = 0
        OR cardinality(p_types) <> v_count OR cardinality(p_schema_versions) <> v_count
        OR cardinality(p_bodies) <> v_count OR cardinality(p_metadatas) <> v_count
        OR p_consumer IS NOT NULL AND (p_consumer_position IS NULL OR p_term IS NULL)
    THEN
        PERFORM ledger.refuse_call();
    END IF;

    -- Others act on what is recorded as soon as they see it, so it is on this server's disk by then,
    -- whatever the database or the login says of that.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    -- The lock. Everything below sees what was committed before it was ours, and nobody else
    -- appends until this call has committed.
    UPDATE ledger.head SET position = position + v_count
    RETURNING position - v_count, ledger_id, term INTO v_head, v_ledger_id, v_term;

    IF p_term <> v_term THEN
        PERFORM ledger.refuse_term(p_term, v_term);
    END IF;
    IF p_consumer IS NOT NULL THEN
        IF session_user <> current_user
            AND NOT pg_has_role(session_user, 'ledger_service', 'MEMBER')
        THEN
            RAISE EXCEPTION 'role % may not move read positions', session_user
                USING ERRCODE = 'LG004',
                    DETAIL = json_build_object('role', session_user, 'type', NULL);
        END IF;
        PERFORM ledger.set_position(p_consumer, p_consumer_position, p_term);
    END IF;

    SELECT
        coalesce((SELECT stream_version FROM ledger.log
                  WHERE stream = p_stream ORDER BY stream_version DESC LIMIT 1), 0),
        CASE WHEN v_head = 0 THEN sha256(uuid_send(v_ledger_id))
             ELSE (SELECT chain FROM ledger.log WHERE position = v_head) END
    INTO v_version, v_last;

    -- Ids are looked for when something says that this batch was here before: the stream has moved
    -- on, or an id is refused by its key. Looking each time would cost a tenth of the append.
    v_resent := coalesce(p_expected_version <> v_version, false);
    LOOP
        IF v_resent THEN
            PERFORM ledger.check_known(
                p_stream, p_ids, p_types, p_schema_versions, p_bodies, p_skip_known);
            SELECT array_agg(new.id ORDER BY new.number), array_agg(new.type ORDER BY new.number),
                array_agg(new.schema_version ORDER BY new.number),
                array_agg(new.body ORDER BY new.number),
                array_agg(new.metadata ORDER BY new.number)
            INTO p_ids, p_types, p_schema_versions, p_bodies, p_metadatas
            FROM (
                SELECT DISTINCT ON (given.id) given.*
                FROM unnest(p_ids, p_types, p_schema_versions, p_bodies, p_metadatas)
                    WITH ORDINALITY
                    AS given (id, type, schema_version, body, metadata, number)
                WHERE NOT EXISTS (SELECT FROM ledger.log WHERE event_id = given.id)
                ORDER BY given.id, given.number
            ) AS new;
            v_count := coalesce(cardinality(p_ids), 0);
            UPDATE ledger.head SET position = v_head + v_count;
            EXIT WHEN v_count = 0;
        END IF;
        IF p_expected_version <> v_version THEN
            RAISE EXCEPTION 'stream % is at version %, expected %',
                p_stream, v_version, p_expected_version
                USING ERRCODE = 'LG001', DETAIL = json_build_object(
                    'stream', p_stream, 'expected', p_expected_version, 'found', v_version);
        END IF;
        IF v_last IS NULL THEN
            RAISE EXCEPTION 'the log has lost its last event, position %', v_head
                USING ERRCODE = 'LG008', DETAIL = json_build_object('position', v_head);
        END IF;

        v_now := clock_timestamp();
        v_stream := ledger.field(p_stream, '\x00000008');
        v_circumstances := ledger.circumstances(v_now, session_user::text);
        v_chain := v_last;
        v_leaves := '{}';
        v_chains := '{}';
        FOR i IN 1..v_count LOOP
            IF p_types[i] IS DISTINCT FROM v_type
                OR p_schema_versions[i] IS DISTINCT FROM v_schema_version
            THEN
                v_type := p_types[i];
                v_schema_version := p_schema_versions[i];
                v_kind := format('%s/%s', v_type, v_schema_version);
                IF v_kind <> ALL (v_kinds) THEN
                    PERFORM ledger.check_kind(p_stream, v_type, v_schema_version);
                    v_kinds := v_kinds || v_kind;
                END IF;
                v_type_field := ledger.field(v_type, '\x00000004');
            END IF;
            v_leaf := ledger.leaf(
                v_head + i, v_stream, v_version + i, p_ids[i], v_type_field, p_schema_versions[i],
                v_circumstances, p_metadatas[i], p_bodies[i]);
            v_chain := ledger.link(v_chain, v_leaf);
            v_leaves[i] := v_leaf;
            v_chains[i] := v_chain;
        END LOOP;
        -- Where a part of an event is NULL, or stands in an array of another shape, all behind it is.
        IF v_chain IS NULL THEN
            PERFORM ledger.refuse_call();
        END IF;
        BEGIN
            INSERT INTO ledger.log (
                position, stream_version, recorded_at, event_id, schema_version, stream, type,
                recorded_by, leaf, chain, metadata, body)
            SELECT v_head + i, v_version + i, v_now, p_ids[i], p_schema_versions[i], p_stream,
                p_types[i], session_user, v_leaves[i], v_chains[i], p_metadatas[i], p_bodies[i]
            FROM generate_series(1, v_count) AS i;
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            IF v_resent THEN
                RAISE;
            END IF;
            v_resent := true;
        END;
    END LOOP;

    IF NOT v_resent THEN
        RETURN ARRAY[v_head + 1, v_version + 1];
    END IF;
    RETURN (
        SELECT array_agg(
            ARRAY[known.position, known.stream_version, (known.position <= v_head)::integer]
            ORDER BY given.number)
        FROM unnest(v_given) WITH ORDINALITY AS given (id, number)
        JOIN ledger.log AS known ON known.event_id = given.id);
END
$$;
-- +migrate StatementEnd

-- Appends one event: the same as `ledger.append` above for arrays of one and no consumer, in two
-- statements when nothing speaks against the event. Otherwise it steps back and lets the other find
-- out what does.
-- +migrate StatementBegin
CREATE FUNCTION ledger.append(
    p_stream text, p_expected_version bigint, p_id uuid, p_type text, p_schema_version integer,
    p_body bytea, p_metadata bytea, p_term bigint
)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_position bigint;
    v_version bigint;
    v_ledger_id uuid;
    v_term bigint;
    v_now timestamptz;
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    UPDATE ledger.head SET position = position + 1
    RETURNING position, ledger_id, term, clock_timestamp()
    INTO v_position, v_ledger_id, v_term, v_now;

    INSERT INTO ledger.log (
        position, stream_version, recorded_at, event_id, schema_version, stream, type,
        recorded_by, leaf, chain, metadata, body)
    SELECT v_position, event.version, v_now, p_id, p_schema_version, p_stream, p_type,
        session_user, event.leaf, ledger.link(event.chain, event.leaf), p_metadata, p_body
    FROM (
        SELECT last.version + 1 AS version, last.chain, ledger.leaf(
            v_position, ledger.field(p_stream, '\x00000008'), last.version + 1, p_id,
            ledger.field(p_type, '\x00000004'), p_schema_version,
            ledger.circumstances(v_now, session_user::text), p_metadata, p_body) AS leaf
        FROM (
            SELECT
                coalesce((SELECT stream_version FROM ledger.log WHERE stream = p_stream
                          ORDER BY stream_version DESC LIMIT 1), 0) AS version,
                CASE WHEN v_position = 1 THEN sha256(uuid_send(v_ledger_id))
                     ELSE (SELECT chain FROM ledger.log WHERE position = v_position - 1)
                END AS chain
            OFFSET 0
        ) AS last
        WHERE last.version = coalesce(p_expected_version, last.version)
          AND last.chain IS NOT NULL
          AND num_nulls(p_id, p_body, p_metadata) = 0
          AND v_term = coalesce(p_term, v_term)
          AND NOT EXISTS (SELECT FROM ledger.log WHERE event_id = p_id)
          -- Nobody else may call this, and the service may append every type.
          AND (session_user = current_user
               OR pg_has_role(session_user, 'ledger_service', 'MEMBER'))
          AND EXISTS (SELECT FROM ledger.event_type
                      WHERE type = p_type
                        AND p_schema_version BETWEEN 1 AND schema_version
                        AND p_stream ~ streams AND octet_length(p_stream) <= 116)
        OFFSET 0
    ) AS event
    RETURNING stream_version INTO v_version;
    IF FOUND THEN
        RETURN ARRAY[v_position, v_version];
    END IF;

    UPDATE ledger.head SET position = v_position - 1;
    RETURN ledger.append(
        p_stream, p_expected_version, ARRAY[p_id], ARRAY[p_type], ARRAY[p_schema_version],
        ARRAY[p_body], ARRAY[p_metadata], false, p_term, NULL, NULL);
END
$$;
-- +migrate StatementEnd

-- Which database an event is about: what stands behind the first `"database":"` of its body, which
-- cannot begin inside a text, where JSON escapes quotes. NULL where there is none. Bytes throughout,
-- so that no body, whatever it holds, makes this fail.
-- +migrate StatementBegin
CREATE FUNCTION ledger.database_in(p_body bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(named.rest FROM 1 FOR nullif(position('"'::bytea IN named.rest), 0) - 1)
    FROM (
        SELECT substring(
            p_body FROM nullif(position('"database":"'::bytea IN p_body), 0) + 12) AS rest
    ) AS named
$$;
-- +migrate StatementEnd

-- Whether a report may be one that a failure budget pays for. What cannot be told counts.
-- +migrate StatementBegin
CREATE FUNCTION ledger.may_fail(p_type text, p_body bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_type
        WHEN 'MigrationFailed' THEN true
        WHEN 'CommandRefused' THEN true
        WHEN 'ReportContradicted' THEN true
        WHEN 'AttemptFinished' THEN
            position('"verdict":"done"'::bytea IN p_body) = 0
            AND position('"verdict":"expired"'::bytea IN p_body) = 0
            AND position('"verdict":"cancelled"'::bytea IN p_body) = 0
        ELSE false
    END
$$;
-- +migrate StatementEnd

-- Appends what was decided, unless the log holds something that the decision did not know and that
-- may change it. What that is, and why nobody loses a race for nothing, is explained in
-- ledger/domain/premises.py. The rest is `ledger.append`, which this calls.
--
-- p_known      everything up to this position was known to the decision.
-- p_turns      types of events; one of them behind p_known in the same stream changes the decision.
-- p_failures   how many databases more may fail without changing it; NULL: any number.
-- p_databases  whatever is new about one of these databases, in the stream or in its reports,
--              changes it.
--
-- Errors: those of `ledger.append`, and LG009 when the decision was overtaken.
-- +migrate StatementBegin
CREATE FUNCTION ledger.append_on_premise(
    p_known bigint, p_turns text[], p_failures bigint, p_databases text[],
    p_stream text, p_expected_version bigint, p_ids uuid[], p_types text[],
    p_schema_versions integer[], p_bodies bytea[], p_metadatas bytea[], p_term bigint
)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_reports constant text := p_stream || '/reports';
    v_databases constant bytea[] := ARRAY(
        SELECT convert_to(name, 'UTF8') FROM unnest(p_databases) AS name);
    v_news bigint;
    v_failed bigint;
BEGIN
    PERFORM FROM ledger.head FOR UPDATE;
    SELECT min(position) FILTER (WHERE
            stream = p_stream AND type = ANY (p_turns)
            OR ledger.database_in(body) = ANY (v_databases)),
        count(DISTINCT ledger.database_in(body)) FILTER (WHERE
            stream = v_reports AND ledger.may_fail(type, body))
    INTO v_news, v_failed
    FROM (
        -- By position alone: what came since is little, what the streams hold is not.
        SELECT position, stream, type, body FROM ledger.log WHERE position > p_known OFFSET 0
    ) AS news
    WHERE stream IN (p_stream, v_reports);
    -- A call that comes again, because its answer was lost, has overtaken itself: the other says so.
    IF (v_news IS NOT NULL OR v_failed > p_failures)
        AND NOT EXISTS (SELECT FROM ledger.log WHERE event_id = ANY (p_ids))
    THEN
        RAISE EXCEPTION 'a decision on stream % knew the log up to %, and what came since changes it',
            p_stream, p_known
            USING ERRCODE = 'LG009', DETAIL = json_build_object(
                'stream', p_stream, 'known', p_known);
    END IF;
    RETURN ledger.append(
        p_stream, p_expected_version, p_ids, p_types, p_schema_versions, p_bodies, p_metadatas,
        false, p_term, NULL, NULL);
END
$$;
-- +migrate StatementEnd

-- Moves a follower's position when there is nothing to append with it. Fenced like an append.
-- +migrate StatementBegin
CREATE FUNCTION ledger.move_position(p_consumer text, p_position bigint, p_term bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_term constant bigint := (SELECT term FROM ledger.head FOR UPDATE);
BEGIN
    IF p_term IS DISTINCT FROM v_term THEN
        PERFORM ledger.refuse_term(p_term, v_term);
    END IF;
    PERFORM ledger.set_position(p_consumer, p_position, p_term);
END
$$;
-- +migrate StatementEnd

-- The second half of the key of the leader's lock; the first is always 1818584167.
CREATE TABLE ledger.leader_key (key integer NOT NULL);
CREATE UNIQUE INDEX leader_key_has_one_row ON ledger.leader_key ((true));
INSERT INTO ledger.leader_key (key) VALUES (1);

-- The session that leads: it holds the leader's lock, and its role is the service's. Anybody who may
-- connect can take an advisory lock, and leads nothing by that.
-- +migrate StatementBegin
CREATE FUNCTION ledger.leader_pid() RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT lock.pid
    FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS session USING (pid)
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 2
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lock.classid = 1818584167
      AND lock.objid::bigint = (SELECT key FROM ledger.leader_key)
      -- Of a session that is just beginning or ending nobody knows the role yet.
      AND (session.usesysid IS NULL OR session.usename = current_user
           OR pg_has_role(session.usesysid, 'ledger_service', 'MEMBER'))
    LIMIT 1
$$;
-- +migrate StatementEnd

-- Takes the leader's lock for this session, if nobody leads. A key that a stranger holds is given up
-- for one that nobody can know: under the lock on the head row, which a stranger cannot take, so
-- that all who want to lead mean the same key.
-- +migrate StatementBegin
CREATE FUNCTION ledger.try_leadership() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_key integer;
BEGIN
    PERFORM FROM ledger.head FOR UPDATE;
    SELECT key INTO v_key FROM ledger.leader_key;
    IF pg_try_advisory_lock(1818584167, v_key) THEN
        RETURN true;
    END IF;
    IF ledger.leader_pid() IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE ledger.leader_key
    SET key = ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 8))::bit(32)::integer
        & 2147483647
    RETURNING key INTO v_key;
    RETURN pg_try_advisory_lock(1818584167, v_key);
END
$$;
-- +migrate StatementEnd

-- Begins a new leadership term and returns it. Whoever calls leads by `ledger.try_leadership` on the
-- same connection; otherwise this is refused.
-- +migrate StatementBegin
CREATE FUNCTION ledger.begin_term(p_leader text, p_host text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_term bigint;
BEGIN
    IF ledger.leader_pid() IS DISTINCT FROM pg_backend_pid() THEN
        PERFORM ledger.refuse_term(NULL, (SELECT term FROM ledger.head));
    END IF;
    UPDATE ledger.head
    SET term = term + 1, leader = p_leader, leader_host = p_host, leader_since = clock_timestamp()
    RETURNING term INTO v_term;
    RETURN v_term;
END
$$;
-- +migrate StatementEnd

-- Who may do what. Nobody writes the log but through `ledger.append`.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO ledger_viewer, ledger_operator, ledger_service;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO ledger_viewer, ledger_operator, ledger_service;
GRANT INSERT ON ledger.content TO ledger_operator, ledger_service;
GRANT INSERT, UPDATE, DELETE ON ledger.heartbeat, ledger.look TO ledger_service;
GRANT EXECUTE ON FUNCTION
    ledger.append(text, bigint, uuid[], text[], integer[], bytea[], bytea[], boolean, bigint, text,
        bigint),
    ledger.append(text, bigint, uuid, text, integer, bytea, bytea, bigint),
    ledger.append_on_premise
    TO ledger_operator, ledger_service;
GRANT EXECUTE ON FUNCTION ledger.database_in, ledger.may_fail
    TO ledger_viewer, ledger_operator, ledger_service;
GRANT EXECUTE ON FUNCTION ledger.leader_pid TO ledger_viewer, ledger_operator, ledger_service;
GRANT EXECUTE ON FUNCTION ledger.move_position, ledger.try_leadership, ledger.begin_term
    TO ledger_service;

-- +migrate Verify
SELECT NOT has_table_privilege(role, 'ledger.log', 'INSERT, UPDATE, DELETE, TRUNCATE')
    AND NOT has_table_privilege(role, 'ledger.head', 'INSERT, UPDATE, DELETE, TRUNCATE')
FROM unnest(ARRAY['ledger_viewer', 'ledger_operator', 'ledger_service']) AS role;
SELECT NOT has_function_privilege('ledger_viewer', oid, 'EXECUTE')
FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace AND proname = 'append';
SELECT count(*) = 2 FROM pg_trigger
WHERE tgrelid IN ('ledger.log'::regclass, 'ledger.content'::regclass)
    AND tgname IN ('log_is_append_only', 'content_is_append_only') AND tgenabled = 'O';
