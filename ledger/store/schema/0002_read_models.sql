-- The read models: what the log says, as tables that can be selected from.
--
-- Everything here is a projection. It may be emptied and is then built again from the log; nothing
-- decides by it. Only `ledger.store.views.advance` writes here. Column order is part of no contract.

-- +migrate Up

-- How far the read models follow the log. Whoever moves them forward locks this row first.
CREATE TABLE ledger.read_model_position (
    singleton boolean NOT NULL DEFAULT true,
    position bigint NOT NULL,
    CONSTRAINT read_model_position_pkey PRIMARY KEY (singleton),
    CONSTRAINT read_model_position_has_one_row CHECK (singleton)
) WITH (fillfactor = 50);
INSERT INTO ledger.read_model_position (position) VALUES (0);

-- Events that could not be read when they were projected: nothing followed from them. Those that a
-- person has set aside say by which event, when, under which role, who that is, and why.
CREATE TABLE ledger.unreadable_event (
    position bigint NOT NULL,
    stream text NOT NULL,
    type text NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    aside_position bigint,
    aside_at timestamptz,
    aside_by text,
    aside_who text,
    aside_reason text,
    CONSTRAINT unreadable_event_pkey PRIMARY KEY (position)
);

-- The fleet as it is registered, and what the ledger believes of each database. Identity and
-- journal head are what the next order expects to find; they are NULL until they are learned.
-- `command`, `unanswered`, `doubted`, `forged`, `half_done` and `seen` are those of
-- `ledger.domain.belief.Belief`.
CREATE TABLE ledger.fleet_database (
    database text NOT NULL,
    status text NOT NULL,
    pool text NOT NULL,
    -- The target: a schema of a database on a server.
    target_host text NOT NULL,
    target_port integer NOT NULL,
    target_database text NOT NULL,
    target_schema text NOT NULL,
    target_history text NOT NULL,
    -- Where names are looked up behind the target's own schema; a list.
    further_schemas jsonb,
    username text NOT NULL,
    password_reference text,
    sslmode text,
    role text,
    labels jsonb NOT NULL,
    -- When a job that backs it up had recorded that it did, as in ISO 8601.
    backed_up_at text,
    identity_uuid uuid,
    system_identifier text,
    database_oid bigint,
    journal_head text,
    command uuid,
    unanswered boolean NOT NULL,
    doubted boolean NOT NULL,
    forged jsonb,
    half_done jsonb,
    seen text,
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
-- Whose place another one may not have.
CREATE INDEX fleet_database_target_database_idx ON ledger.fleet_database (target_database);

CREATE TABLE ledger.bundle (
    bundle text NOT NULL,
    migrations jsonb NOT NULL,
    source text NOT NULL,
    git_commit text,
    git_dirty boolean,
    -- Key of the history that its versions belong to, and what the project calls that.
    history text NOT NULL,
    name text NOT NULL,
    registered_position bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    registered_by text NOT NULL,
    CONSTRAINT bundle_pkey PRIMARY KEY (bundle)
);

-- A rollout as `ledger.domain.rollout` folds it, beside its plan; `undone_by` is the latest one that
-- `undoes` it.
CREATE TABLE ledger.rollout (
    rollout text NOT NULL,
    status text NOT NULL,
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
    undoes text,
    undone_by text,
    CONSTRAINT rollout_pkey PRIMARY KEY (rollout),
    CONSTRAINT rollout_status_known CHECK (status IN (
        'planned', 'running', 'paused', 'halted', 'completed', 'aborted'))
) WITH (fillfactor = 80);
CREATE INDEX rollout_planned_position_idx ON ledger.rollout (planned_position);

-- Each database of each rollout as `ledger.domain.rollout` folds it; the states are drawn there.
-- `command` is the latest one ordered, `again` says that it waits for a new attempt, `details` what
-- else the fold knows: whatever of `ledger.domain.states.DatabaseState` is not as it was when the
-- rollout was planned.
CREATE TABLE ledger.rollout_database (
    rollout text NOT NULL,
    database text NOT NULL,
    wave integer NOT NULL,
    state text NOT NULL,
    command uuid,
    again boolean NOT NULL,
    details jsonb NOT NULL,
    CONSTRAINT rollout_database_pkey PRIMARY KEY (rollout, database)
) WITH (fillfactor = 80);
CREATE INDEX rollout_database_database_idx ON ledger.rollout_database (database);

-- Every order that was ever given, by its command: when a report speaks, its order says how much it
-- counts and who gave it.
CREATE TABLE ledger.attempt (
    command uuid NOT NULL,
    rollout text NOT NULL,
    database text NOT NULL,
    attempt integer NOT NULL,
    ordered_position bigint NOT NULL,
    ordered_by text NOT NULL,
    -- Size of the largest table that it was to touch, where that was asked before; in MB.
    table_mb double precision,
    CONSTRAINT attempt_pkey PRIMARY KEY (command)
);

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
    ordered_by text,
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

-- Every time that a migration ran, in either direction: how long it took, or the class of its failure,
-- and how large the largest table was that its attempt was to touch, where that was asked.
CREATE TABLE ledger.execution (
    position bigint NOT NULL,
    database text NOT NULL,
    rollout text,
    version text NOT NULL,
    direction text NOT NULL,
    succeeded boolean NOT NULL,
    error text,
    duration_ms integer,
    table_mb double precision,
    at timestamptz NOT NULL,
    CONSTRAINT execution_pkey PRIMARY KEY (position)
);
-- What reports count and sort, without the table itself.
CREATE INDEX execution_version_idx ON ledger.execution (version, direction, position)
INCLUDE (succeeded, error, duration_ms, table_mb, at, database);
-- Reports of a few databases among many.
CREATE INDEX execution_database_idx ON ledger.execution (database, version);

-- Looks at databases that people asked for (their stream), and whether they are over. What was found
-- and is not known otherwise is in the log; what was found at all, for a while in `ledger.look`.
CREATE TABLE ledger.requested_check (
    stream text NOT NULL,
    purpose text NOT NULL,
    databases integer NOT NULL,
    requested_position bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    finished_position bigint,
    finished_at timestamptz,
    CONSTRAINT requested_check_pkey PRIMARY KEY (stream)
) WITH (fillfactor = 80);
CREATE INDEX requested_check_open_idx ON ledger.requested_check (requested_position)
WHERE finished_position IS NULL;

-- Databases that were reinstated or moved, by the look that is to read their journal: when it was.
CREATE TABLE ledger.reading (
    stream text NOT NULL,
    database text NOT NULL,
    read_position bigint,
    read_at timestamptz,
    CONSTRAINT reading_pkey PRIMARY KEY (stream, database)
) WITH (fillfactor = 80);

-- Which events name a database: the index behind the history of one database.
CREATE TABLE ledger.database_event (
    database text NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT database_event_pkey PRIMARY KEY (database, position)
);

GRANT SELECT ON ledger.read_model_position, ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.rollout_database, ledger.attempt, ledger.applied, ledger.execution,
    ledger.requested_check,
    ledger.reading, ledger.database_event, ledger.unreadable_event
    TO ledger_viewer, ledger_operator, ledger_service;
GRANT UPDATE ON ledger.read_model_position TO ledger_service;
GRANT INSERT, UPDATE, DELETE ON ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.rollout_database, ledger.attempt, ledger.applied, ledger.execution,
    ledger.requested_check,
    ledger.reading, ledger.database_event, ledger.unreadable_event
    TO ledger_service;

-- +migrate Down

DROP TABLE ledger.read_model_position, ledger.fleet_database, ledger.bundle, ledger.rollout,
    ledger.rollout_database, ledger.attempt, ledger.applied, ledger.execution,
    ledger.requested_check,
    ledger.reading, ledger.database_event, ledger.unreadable_event;

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
