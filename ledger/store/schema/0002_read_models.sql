-- The read models: what the log says, as tables that can be selected from.
--
-- Everything here is a projection. It may be emptied and is then built again from the log; nothing
-- decides by it. Only `ledger.store.projecting` writes here. Column order is part of no contract.

-- +migrate Up

-- How far the read models follow the log. Whoever moves them forward locks this row first.
CREATE TABLE ledger.read_model_position (
    singleton boolean NOT NULL DEFAULT true,
    position bigint NOT NULL,
    CONSTRAINT read_model_position_pkey PRIMARY KEY (singleton),
    CONSTRAINT read_model_position_has_one_row CHECK (singleton)
) WITH (fillfactor = 50);
INSERT INTO ledger.read_model_position (position) VALUES (0);

-- The fleet as it is registered, and what the ledger believes of each database. Identity and
-- journal head are what the next order expects to find; they are NULL until they are learned.
-- `command` is the latest one ordered since the database was registered, repointed or reinstated:
-- only its answer moves the head, because an earlier one may speak of another journal.
-- Events that could not be read when they were projected: nothing followed from them.
CREATE TABLE ledger.unreadable_event (
    position bigint NOT NULL,
    type text NOT NULL,
    why text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT unreadable_event_pkey PRIMARY KEY (position)
);

CREATE TABLE ledger.fleet_database (
    database text NOT NULL,
    status text NOT NULL,
    pool text NOT NULL,
    host text NOT NULL,
    port integer NOT NULL,
    dbname text NOT NULL,
    username text NOT NULL,
    password_reference text,
    sslmode text,
    schema_name text NOT NULL,
    role text,
    labels jsonb NOT NULL,
    identity_uuid uuid,
    system_identifier text,
    database_oid bigint,
    journal_head text,
    command uuid,
    head_command uuid,
    server_version integer,
    last_contact_position bigint,
    last_contact_at timestamptz,
    registered_position bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    registered_by text NOT NULL,
    CONSTRAINT fleet_database_pkey PRIMARY KEY (database),
    CONSTRAINT fleet_database_status_known CHECK (status IN ('active', 'suspended', 'retired'))
) WITH (fillfactor = 80);
CREATE INDEX fleet_database_labels_idx ON ledger.fleet_database USING gin (labels);

CREATE TABLE ledger.bundle (
    bundle text NOT NULL,
    migrations jsonb NOT NULL,
    source text NOT NULL,
    git_commit text,
    git_dirty boolean,
    registered_position bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    registered_by text NOT NULL,
    CONSTRAINT bundle_pkey PRIMARY KEY (bundle)
);

-- A rollout that was halted while it went back goes on going back, so that is kept by itself.
CREATE TABLE ledger.rollout (
    rollout text NOT NULL,
    standing text NOT NULL,
    rollback_position bigint,
    aborted_position bigint,
    status text NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN standing = 'running' AND rollback_position IS NOT NULL THEN 'rolling_back'
            ELSE standing
        END
    ) STORED,
    mode text NOT NULL,
    bundle text NOT NULL,
    steps jsonb NOT NULL,
    selection text NOT NULL,
    fleet_position bigint NOT NULL,
    databases integer NOT NULL,
    waves integer NOT NULL,
    wave_spec text NOT NULL,
    current_wave integer,
    in_flight integer NOT NULL,
    budget_count integer,
    budget_percent double precision,
    when_spent text NOT NULL,
    limits jsonb NOT NULL,
    expiry_s double precision NOT NULL,
    deadline_s double precision NOT NULL,
    planned_position bigint NOT NULL,
    planned_at timestamptz NOT NULL,
    planned_by text NOT NULL,
    reason text,
    ticket text,
    started_at timestamptz,
    ended_at timestamptz,
    why text,
    CONSTRAINT rollout_pkey PRIMARY KEY (rollout),
    CONSTRAINT rollout_standing_known CHECK (standing IN (
        'planned', 'running', 'paused', 'halted', 'completed', 'rolled_back', 'aborted'))
) WITH (fillfactor = 80);
CREATE INDEX rollout_planned_position_idx ON ledger.rollout (planned_position);

-- Which databases a rollout was planned for, and the command that speaks for each of them now:
-- the latest one ordered. A report on an earlier command changes that command's attempt only.
-- `again_position` is where a person asked for a new attempt, `resolved_position` where one settled
-- what is in doubt, `left_out_position` where the fleet left the database out, `released_position`
-- the same until the next order: from there on nobody waits for the command's answer.
CREATE TABLE ledger.planned_database (
    rollout text NOT NULL,
    database text NOT NULL,
    wave integer NOT NULL,
    command uuid,
    again_position bigint,
    resolved_position bigint,
    left_out_position bigint,
    left_out_why text,
    released_position bigint,
    CONSTRAINT planned_database_pkey PRIMARY KEY (rollout, database)
) WITH (fillfactor = 80);
CREATE INDEX planned_database_database_idx ON ledger.planned_database (database);

-- Every attempt that was ever ordered, by its command.
CREATE TABLE ledger.attempt (
    command uuid NOT NULL,
    rollout text NOT NULL,
    database text NOT NULL,
    pool text NOT NULL,
    mode text NOT NULL,
    attempt integer NOT NULL,
    ordered_position bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    ordered_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    -- Whether the database has failed if this attempt comes to nothing.
    last_try boolean NOT NULL,
    started_at timestamptz,
    timed_out_position bigint,
    finished_position bigint,
    finished_at timestamptz,
    verdict text,
    changed integer,
    touched boolean,
    -- The latest BatchProgressed of a data migration.
    progress jsonb,
    failure_kind text,
    failure_message text,
    failure_sqlstate text,
    failure_statement text,
    failure_file text,
    failure_line integer,
    failure_blocker text,
    CONSTRAINT attempt_pkey PRIMARY KEY (command)
) WITH (fillfactor = 80);
CREATE INDEX attempt_rollout_database_idx ON ledger.attempt (rollout, database);

-- The latest that is known of one migration on one database. `ordered_position` is where the command
-- behind it was ordered: what an earlier command says late does not replace what a later one said.
-- `outside` says that no rollout did it.
CREATE TABLE ledger.applied (
    database text NOT NULL,
    version text NOT NULL,
    state text NOT NULL,
    checksum text,
    rollout text,
    command uuid,
    ordered_position bigint NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    duration_ms integer,
    outside boolean NOT NULL,
    CONSTRAINT applied_pkey PRIMARY KEY (database, version),
    CONSTRAINT applied_state_known CHECK (state IN (
        'applied', 'rolled_back', 'failed', 'rollback_failed', 'unknown', 'regressed',
        'not_applied'))
) WITH (fillfactor = 80);
CREATE INDEX applied_version_state_idx ON ledger.applied (version, state);

-- The latest look at a database that a check or a rollout (its stream) asked for.
CREATE TABLE ledger.inspection (
    stream text NOT NULL,
    database text NOT NULL,
    purpose text NOT NULL,
    requested_at timestamptz NOT NULL,
    command uuid,
    inspected_position bigint,
    inspected_at timestamptz,
    reachable boolean,
    tls boolean,
    server_version integer,
    in_recovery boolean,
    identity_uuid uuid,
    system_identifier text,
    database_oid bigint,
    journal_head text,
    owner text,
    rights jsonb,
    entries jsonb,
    failure_kind text,
    failure_message text,
    CONSTRAINT inspection_pkey PRIMARY KEY (stream, database)
);

-- Which events name a database: the index behind the history of one database.
CREATE TABLE ledger.database_event (
    database text NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT database_event_pkey PRIMARY KEY (database, position)
);

-- What the journal said of an attempt that nobody answered for, between two positions: the state it
-- settles, `pending` or `rolling_back` when the work is to be done still, NULL when nobody looked.
-- An entry says what holds, not what is half done, so a rollback is never settled by a look.
-- +migrate StatementBegin
CREATE FUNCTION ledger.looked_up(
    p_rollout text, p_database text, p_mode text, p_steps jsonb, p_after bigint, p_before bigint
) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN p_mode = 'rollback' THEN 'rolling_back'
        WHEN p_mode = 'up' AND found.in_force < jsonb_array_length(p_steps) THEN 'pending'
        WHEN p_mode = 'down' AND found.in_force > 0 THEN 'pending'
        WHEN p_mode = 'adopt' AND NOT found.ours THEN 'pending'
        WHEN found.ours THEN 'applied'
        ELSE 'skipped'
    END
    FROM ledger.inspection AS look
    CROSS JOIN LATERAL (
        SELECT
            coalesce(bool_or(entry->>'rollout' = p_rollout), false) AS ours,
            count(*) FILTER (
                WHERE entry->>'state' = 'applied' AND p_steps @> jsonb_build_array(
                    jsonb_build_object('version', entry->'version'))) AS in_force
        FROM jsonb_array_elements(look.entries) AS entry
    ) AS found
    WHERE look.stream = 'rollout-' || p_rollout AND look.database = p_database
      AND look.reachable AND look.failure_kind IS NULL
      AND look.inspected_position > p_after
      AND look.inspected_position < coalesce(p_before, look.inspected_position + 1)
$$;
-- +migrate StatementEnd

-- Each database of each rollout with its state, in the words of `ledger.domain.rollout`:
--
--   pending → ordered → running → applied | skipped | failed | blocked | unknown
--             rolling_back → rolled_back | rollback_failed | blocked | unknown
--
-- What waits for a new attempt (one came to nothing, and was not the last try; asked for again) is
-- pending, or rolling_back on the way back. An unknown outcome is settled by a look at the database that came after the time-out, and
-- what the agent says after that changes nothing. A person's word makes only what is blocked or
-- unknown wait for the attempt that carries it.
--
-- From the inside out: `closed` says where nobody waited for the attempt's answer any more, whether
-- that was a time-out, and whether the database was left out on the way back, where no answer to
-- what was ordered before counts (`forgotten`); `looked` what a look then said; `word` how the attempt ended;
-- `waits` whether the database was left out, or waits for another attempt, after that.
CREATE VIEW ledger.rollout_database AS
SELECT
    planned.rollout,
    planned.database,
    planned.wave,
    CASE
        WHEN waits.left_out AND closed.forgotten THEN 'rollback_failed'
        WHEN closed.forgotten THEN 'rolling_back'
        WHEN waits.left_out THEN 'skipped'
        WHEN attempt.command IS NULL THEN 'pending'
        WHEN waits.again AND attempt.mode = 'rollback' THEN 'rolling_back'
        WHEN waits.again THEN 'pending'
        WHEN word.verdict IS NULL AND closed.timed_out IS NOT NULL AND looked.state IS NULL
            THEN 'unknown'
        WHEN word.verdict IS NULL AND looked.state IN ('pending', 'rolling_back')
            THEN looked.state
        WHEN word.verdict IS NULL AND attempt.mode = 'rollback' THEN 'rolling_back'
        WHEN word.verdict IS NULL AND attempt.started_at IS NOT NULL THEN 'running'
        WHEN word.verdict IS NULL THEN 'ordered'
        WHEN word.verdict = 'done' AND attempt.mode = 'rollback' THEN 'rolled_back'
        WHEN word.verdict = 'done' AND (word.changed OR EXISTS (
                SELECT FROM ledger.attempt AS one
                WHERE one.rollout = planned.rollout AND one.database = planned.database
                  AND one.touched))
            THEN 'applied'
        WHEN word.verdict = 'done' THEN 'skipped'
        WHEN attempt.failure_kind = 'in_doubt' THEN 'blocked'
        WHEN attempt.mode = 'rollback' THEN 'rollback_failed'
        ELSE 'failed'
    END AS state,
    attempt.command,
    attempt.pool,
    attempt.mode,
    attempt.attempt,
    attempt.ordered_position,
    attempt.ordered_at,
    attempt.expires_at,
    attempt.deadline_at,
    attempt.started_at,
    attempt.finished_at,
    attempt.verdict,
    attempt.changed,
    CASE WHEN waits.left_out THEN 'left_out' ELSE attempt.failure_kind END AS failure_kind,
    CASE WHEN waits.left_out THEN planned.left_out_why ELSE attempt.failure_message END
        AS failure_message,
    attempt.failure_sqlstate,
    attempt.failure_statement,
    attempt.failure_file,
    attempt.failure_line,
    attempt.failure_blocker
FROM ledger.planned_database AS planned
JOIN ledger.rollout AS rollout ON rollout.rollout = planned.rollout
LEFT JOIN ledger.attempt AS attempt ON attempt.command = planned.command
CROSS JOIN LATERAL (
    SELECT
        least(attempt.finished_position, attempt.timed_out_position, planned.released_position)
            AS first_position,
        coalesce(planned.released_position > rollout.rollback_position, false) AS forgotten,
        CASE
            WHEN planned.released_position < attempt.timed_out_position
                OR attempt.finished_position < attempt.timed_out_position THEN NULL
            ELSE attempt.timed_out_position
        END AS timed_out
) AS closed
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN closed.timed_out IS NOT NULL THEN ledger.looked_up(
            planned.rollout, planned.database, attempt.mode, rollout.steps, closed.timed_out,
            least(
                attempt.finished_position,
                CASE WHEN planned.again_position > closed.timed_out
                    THEN planned.again_position END,
                CASE WHEN planned.resolved_position > closed.timed_out
                    THEN planned.resolved_position END,
                planned.left_out_position))
        END AS state
) AS looked
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN looked.state IN ('applied', 'skipped') THEN 'done' ELSE attempt.verdict END
            AS verdict,
        CASE WHEN looked.state IN ('applied', 'skipped') THEN looked.state = 'applied'
            ELSE attempt.changed > 0 END AS changed,
        CASE WHEN looked.state IN ('applied', 'skipped') THEN closed.timed_out
            ELSE attempt.finished_position END AS at_position
) AS word
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN closed.forgotten THEN planned.left_out_position IS NOT NULL
            ELSE coalesce(planned.left_out_position > coalesce(word.at_position, 0), false)
        END AS left_out,
        coalesce(
            planned.again_position > coalesce(word.at_position, closed.first_position)
            OR word.verdict = 'expired' AND NOT attempt.last_try
            OR word.verdict = 'refused' AND attempt.failure_kind = 'clock' AND NOT attempt.last_try
            OR word.verdict = 'cancelled' AND NOT attempt.last_try AND NOT coalesce(
                attempt.finished_position > rollout.aborted_position
                AND (rollout.rollback_position < rollout.aborted_position
                    OR attempt.finished_position < rollout.rollback_position
                    OR rollout.rollback_position IS NULL),
                false)
            OR planned.resolved_position > coalesce(word.at_position, closed.timed_out)
            AND CASE
                WHEN word.verdict IS NOT NULL
                    THEN word.verdict <> 'done' AND attempt.failure_kind = 'in_doubt'
                ELSE looked.state IS NULL
            END,
            false) AS again
) AS waits;

REVOKE ALL ON FUNCTION ledger.looked_up FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.looked_up TO ledger_viewer, ledger_operator, ledger_service;
GRANT SELECT ON ledger.read_model_position, ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.planned_database, ledger.attempt, ledger.applied, ledger.inspection,
    ledger.database_event, ledger.rollout_database
    TO ledger_viewer, ledger_operator, ledger_service;
GRANT SELECT ON ledger.unreadable_event TO ledger_viewer, ledger_operator, ledger_service;
GRANT INSERT ON ledger.unreadable_event TO ledger_service;
GRANT UPDATE ON ledger.read_model_position TO ledger_service;
GRANT INSERT, UPDATE, DELETE ON ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.planned_database, ledger.attempt, ledger.applied, ledger.inspection,
    ledger.database_event
    TO ledger_service;

-- +migrate Down

DROP VIEW ledger.rollout_database;
DROP FUNCTION ledger.looked_up;
DROP TABLE ledger.unreadable_event;
DROP TABLE ledger.read_model_position, ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.planned_database, ledger.attempt, ledger.applied, ledger.inspection,
    ledger.database_event;

-- +migrate Verify
-- +migrate StatementBegin
DO $$
BEGIN
    IF has_table_privilege('ledger_operator', 'ledger.applied', 'INSERT')
        OR has_table_privilege('ledger_viewer', 'ledger.rollout', 'UPDATE')
    THEN
        RAISE EXCEPTION 'a read model can be written by others than the service';
    END IF;
    IF (SELECT count(*) FROM ledger.read_model_position) <> 1 THEN
        RAISE EXCEPTION 'the position of the read models is not one row';
    END IF;
END
$$;
-- +migrate StatementEnd
