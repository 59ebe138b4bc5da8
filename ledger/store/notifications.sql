-- What a notifier asks of the ledger's database. Moments are the notifier's own clock's.

-- name: hold
-- Notify as $1 until $3, unless another does so now ($2); where the log was looked at up to, and at
-- first where it ends
UPDATE ledger.notification_position
SET holder = $1, held_until = $3,
    position = coalesce(position, (SELECT position FROM ledger.head))
WHERE holder IS NULL OR holder = $1 OR held_until < $2
RETURNING position

-- name: holder
-- Who notifies, and until when at least
SELECT holder, held_until, position FROM ledger.notification_position

-- name: release
-- Another may notify at once
UPDATE ledger.notification_position SET holder = NULL, held_until = NULL WHERE holder = $1

-- name: ends
-- Where the log ends, and up to where the fleet's rows follow it
SELECT head.position, model.position AS projected
FROM ledger.head, ledger.read_model_position AS model

-- name: news
-- The events of some types ($3) behind a position ($1) up to another ($2), in order
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE position > $1 AND position <= $2 AND type = ANY ($3)
ORDER BY position

-- name: labels
-- The labels of these databases
SELECT database, labels::text AS labels FROM ledger.fleet_database WHERE database = ANY ($1)

-- name: rollout_has
-- Whether any database of a rollout has these labels
SELECT EXISTS (
    SELECT FROM ledger.rollout_database AS one
    JOIN ledger.fleet_database AS fleet ON fleet.database = one.database
    WHERE one.rollout = $1 AND fleet.labels @> $2::jsonb)

-- name: move
-- The log was looked at up to here, by who may say so
UPDATE ledger.notification_position SET position = $2 WHERE holder = $1

-- name: open_digests
-- What waits for more of its topic, at a moment ($3)
SELECT target, key, topic, position, made_at, due_at, document::text AS document
FROM ledger.notification AS one
JOIN unnest($1::text[], $2::text[]) AS place (target, topic) USING (target, topic)
WHERE topic <> '' AND due_at > $3 AND tries = 0

-- name: put
-- Messages, in the place of those of the same target and key
INSERT INTO ledger.notification (target, key, topic, position, made_at, due_at, document)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[],
    $6::timestamptz[], $7::jsonb[])
ON CONFLICT ON CONSTRAINT notification_pkey DO UPDATE SET document = excluded.document

-- name: due
-- What a target ($1) is to be told at a moment ($2): the oldest first, at most $3
SELECT target, key, topic, position, made_at, due_at, document::text AS document, tries
FROM ledger.notification WHERE target = $1 AND due_at <= $2
ORDER BY due_at, position LIMIT $3

-- name: next_due
-- When the next message for a target is due
SELECT min(due_at) FROM ledger.notification WHERE target = $1

-- name: delivered
-- A target took a message ($2); what had waited for it comes now
WITH gone AS (DELETE FROM ledger.notification WHERE target = $1 AND key = $2 RETURNING 1),
again AS (
    UPDATE ledger.notification SET due_at = $3
    WHERE target = $1 AND tries > 0 AND due_at > $3 AND key <> $2 AND EXISTS (
        SELECT FROM ledger.notification_target WHERE target = $1 AND failures > 0))
INSERT INTO ledger.notification_target AS one (target, delivered, delivered_at)
VALUES ($1, (SELECT count(*) FROM gone), $3)
ON CONFLICT ON CONSTRAINT notification_target_pkey DO UPDATE
SET delivered = one.delivered + excluded.delivered, delivered_at = excluded.delivered_at,
    failures = 0, failing_since = NULL, why = '', next_try_at = NULL, said = 0

-- name: failed
-- A target did not take a message ($2), which is tried again at $5; why ($4), and where it is with
-- its failures
WITH tried AS (
    UPDATE ledger.notification SET tries = tries + 1, due_at = greatest(due_at, $5)
    WHERE target = $1 AND key = $2)
INSERT INTO ledger.notification_target AS one (target, failures, failing_since, why, next_try_at)
VALUES ($1, 1, $3, $4, $5)
ON CONFLICT ON CONSTRAINT notification_target_pkey DO UPDATE
SET failures = one.failures + 1, failing_since = coalesce(one.failing_since, excluded.failing_since),
    why = excluded.why, next_try_at = excluded.next_try_at
RETURNING why, failures, failing_since, said, said_at

-- name: said
-- It was said in the log that a target takes nothing
UPDATE ledger.notification_target SET said = said + 1, said_at = $2 WHERE target = $1

-- name: give_up
-- What was kept in vain for a target since before a moment ($2)
WITH gone AS (
    DELETE FROM ledger.notification WHERE target = $1 AND made_at < $2
    RETURNING target),
counted AS (SELECT target, count(*) AS number FROM gone GROUP BY target),
told AS (
    INSERT INTO ledger.notification_target AS one (target, given_up)
    SELECT target, number FROM counted
    ON CONFLICT ON CONSTRAINT notification_target_pkey DO UPDATE
    SET given_up = one.given_up + excluded.given_up)
SELECT coalesce(sum(number), 0) FROM counted

-- name: waiting
-- How many messages wait for a target
SELECT count(*) FROM ledger.notification WHERE target = $1

-- name: targets
-- How every target does that anything was for, with what waits there and since when
SELECT coalesce(one.target, waiting.target) AS target, coalesce(one.failures, 0) AS failures,
    one.failing_since, coalesce(one.why, '') AS why, one.next_try_at,
    coalesce(one.delivered, 0) AS delivered, one.delivered_at, coalesce(one.given_up, 0) AS given_up,
    coalesce(waiting.number, 0) AS waiting, waiting.oldest
FROM ledger.notification_target AS one
FULL JOIN (
    SELECT target, count(*) AS number, min(made_at) AS oldest
    FROM ledger.notification GROUP BY target) AS waiting ON waiting.target = one.target
ORDER BY 1
