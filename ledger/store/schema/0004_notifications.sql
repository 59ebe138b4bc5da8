-- Notifications: what waits to be told outside, and how far the log was looked at for them.
--
-- Who notifies is a process of its own, under a role that may do nothing else: it reads the log,
-- keeps these tables, and says with `ledger.request` that a target takes nothing. Nothing here is
-- read by who leads, and no append waits for it. Documents hold what may be told
-- (ledger/domain/notices.py); no secret and no address of a target is in them.

-- +migrate Up

-- How far the log was looked at, and who does so until when: one process at a time, and whoever takes
-- over from one that is silent goes on there. Before the first there is no position.
CREATE TABLE ledger.notification_position (
    singleton boolean NOT NULL DEFAULT true,
    position bigint,
    holder text,
    held_until timestamptz,
    CONSTRAINT notification_position_pkey PRIMARY KEY (singleton),
    CONSTRAINT notification_position_has_one_row CHECK (singleton)
) WITH (fillfactor = 50);
INSERT INTO ledger.notification_position (singleton) VALUES (true);

-- What waits for a target; a row goes when it was delivered. `key` is the same however often it is
-- sent. What has a `topic` is collected there until it is `due_at`.
CREATE TABLE ledger.notification (
    target text NOT NULL,
    key text NOT NULL,
    topic text NOT NULL,
    position bigint NOT NULL,
    made_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    document jsonb NOT NULL,
    CONSTRAINT notification_pkey PRIMARY KEY (target, key)
);
CREATE INDEX notification_due_idx ON ledger.notification (target, due_at, position);
CREATE INDEX notification_topic_idx ON ledger.notification (target, topic, due_at) WHERE topic <> '';

-- How each target does: since when it takes nothing, when it is tried next, when that was last said in
-- the log and how often since it began, and what it has taken in all.
CREATE TABLE ledger.notification_target (
    target text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    why text NOT NULL DEFAULT '',
    next_try_at timestamptz,
    said integer NOT NULL DEFAULT 0,
    said_at timestamptz,
    delivered bigint NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    given_up bigint NOT NULL DEFAULT 0,
    CONSTRAINT notification_target_pkey PRIMARY KEY (target)
) WITH (fillfactor = 50);

GRANT USAGE ON SCHEMA ledger TO ledger_notifier;
GRANT SELECT ON ledger.head, ledger.log, ledger.read_model_position, ledger.fleet_database,
    ledger.rollout_database TO ledger_notifier;
GRANT EXECUTE ON FUNCTION ledger.request TO ledger_notifier;
GRANT SELECT ON ledger.notification_position, ledger.notification, ledger.notification_target
    TO ledger_viewer, ledger_operator, ledger_service, ledger_notifier;
GRANT UPDATE ON ledger.notification_position TO ledger_service, ledger_notifier;
GRANT INSERT, UPDATE, DELETE ON ledger.notification, ledger.notification_target
    TO ledger_service, ledger_notifier;

-- +migrate Down

DROP TABLE ledger.notification_position, ledger.notification, ledger.notification_target;

-- +migrate Verify
SELECT NOT has_table_privilege('ledger_notifier', 'ledger.log', 'INSERT, UPDATE, DELETE, TRUNCATE');
SELECT NOT has_function_privilege('ledger_notifier', oid, 'EXECUTE')
FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace AND proname LIKE 'append%';
