-- What is counted of a whole ledger again and again, for whoever watches it.

-- name: written
-- What the log takes, and when the oldest event was recorded that is not projected, if there is one
SELECT pg_total_relation_size('ledger.log') AS log_bytes,
    (SELECT next.recorded_at FROM ledger.read_model_position AS model
     JOIN ledger.log AS next ON next.position = model.position + 1) AS unshown_at

-- name: rollouts
-- How many rollouts there are by status, those that have ended too
SELECT status, count(*) AS rollouts FROM ledger.rollout GROUP BY status

-- name: unreachable
-- How many active databases nobody reached last: the latest look did not, or a rollout that has not
-- ended, and nobody was in them since. Looks that read a journal are left out first: most do.
WITH missed AS (
    SELECT look.database, look.answered_at AS at FROM ledger.look AS look
    WHERE NOT look.is_read
      AND convert_from(look.body, 'UTF8')::jsonb -> 'reachable' = 'false'
      AND NOT EXISTS (
          SELECT FROM ledger.look AS newer
          WHERE newer.database = look.database AND newer.answered_at > look.answered_at)
    UNION ALL
    SELECT one.database, ended.recorded_at AS at FROM ledger.rollout AS rollout
    JOIN ledger.rollout_database AS one ON one.rollout = rollout.rollout
    JOIN ledger.log AS ended ON ended.position = coalesce(
        one.details ->> 'settled_position', one.details ->> 'ordered_position')::bigint
    WHERE rollout.status NOT IN ('completed', 'aborted') AND one.state IN ('failed', 'unfinished')
      AND one.details #>> '{failure,kind}' IN ('unreachable', 'unavailable'))
SELECT count(DISTINCT fleet.database) FROM missed
JOIN ledger.fleet_database AS fleet ON fleet.database = missed.database
WHERE fleet.status = 'active'
  AND coalesce(fleet.last_contact_at < missed.at, fleet.last_contact_at IS NULL)

-- name: last_runs
-- Of these databases ($1), the migration that ran last in each, and how long it took if it is known
SELECT DISTINCT ON (database) database, at, succeeded, error, duration_ms
FROM ledger.execution WHERE database = ANY ($1) ORDER BY database, position DESC

-- name: backups
-- By pool, when the oldest latest backup of an active database was made, of those that were recorded
SELECT pool, min(backed_up_at::timestamptz) AS at FROM ledger.fleet_database WHERE status = 'active' AND backed_up_at IS NOT NULL GROUP BY pool
