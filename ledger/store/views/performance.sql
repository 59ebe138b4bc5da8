-- How long migrations take and how often they fail, of what ran: `ledger.execution`.
-- In all of these: $1 versions, $2 and $3 from when and until when ($2 <= at < $3), $4 the terms of a
-- selection as JSON, or NULL for the whole fleet; or, where they are few, the names of databases.

-- name: versions
-- The versions of which something ran, the last ones by name first, at most $1: a step through the
-- index for each
WITH RECURSIVE known (version) AS (
    (SELECT version FROM ledger.execution ORDER BY version DESC LIMIT 1)
    UNION ALL
    SELECT (
        SELECT one.version FROM ledger.execution AS one
        WHERE one.version < known.version ORDER BY one.version DESC LIMIT 1)
    FROM known WHERE known.version IS NOT NULL)
SELECT version FROM known WHERE version IS NOT NULL LIMIT $1

-- name: summaries
-- Of each migration and direction: how often it ran and succeeded, and how long it took then
SELECT version, direction, count(*) AS executions,
    count(*) FILTER (WHERE succeeded) AS successes,
    percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE succeeded)
        AS percentiles,
    max(duration_ms) FILTER (WHERE succeeded) AS longest, min(at) AS first_at, max(at) AS last_at
FROM ledger.execution AS one
WHERE version = ANY ($1) AND at >= $2 AND at < $3 AND {selected}
GROUP BY version, direction

-- name: failures
-- Of each migration and direction, how often it failed by which class of error
SELECT version, direction, error, count(*) AS failures
FROM ledger.execution AS one
WHERE version = ANY ($1) AND NOT succeeded AND at >= $2 AND at < $3 AND {selected}
GROUP BY version, direction, error ORDER BY count(*) DESC, error

-- name: sizes
-- How long each migration and direction took, by how large the largest table was that it was to touch:
-- the power of ten of its MB, NULL where it was not asked
SELECT version, direction,
    CASE WHEN table_mb <= 1 THEN 0 WHEN table_mb <= 10 THEN 1 WHEN table_mb <= 100 THEN 2
        WHEN table_mb <= 1000 THEN 3 WHEN table_mb <= 10000 THEN 4 WHEN table_mb <= 100000 THEN 5
        WHEN table_mb <= 1000000 THEN 6 WHEN table_mb IS NOT NULL THEN 9 END AS magnitude,
    count(*) AS executions,
    percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS percentiles,
    max(duration_ms) AS longest
FROM ledger.execution AS one
WHERE version = ANY ($1) AND succeeded AND at >= $2 AND at < $3 AND {selected}
GROUP BY version, direction, magnitude ORDER BY version DESC, direction, magnitude

-- name: slowest
-- Where one migration ($1) took the longest, at most $5
SELECT version, direction, database, rollout, duration_ms, table_mb, at
FROM ledger.execution AS one
WHERE version = ANY ($1) AND succeeded AND at >= $2 AND at < $3 AND {selected}
ORDER BY duration_ms DESC, position LIMIT $5

-- name: few
-- The names of at most $2 databases that a selection ($1, its terms as JSON) means
SELECT fleet.database FROM ledger.fleet_database AS fleet WHERE NOT EXISTS (
    SELECT FROM jsonb_to_recordset($1::jsonb)
        AS term (key text, "values" text[], globs text[], negated boolean)
    CROSS JOIN LATERAL (
        SELECT CASE term.key WHEN 'id' THEN fleet.database WHEN 'pool' THEN fleet.pool
            WHEN 'status' THEN fleet.status ELSE fleet.labels ->> term.key END AS value) AS own
    WHERE term.negated = coalesce(
        own.value = ANY (term."values") OR own.value LIKE ANY (term.globs), false))
LIMIT $2

-- name: usual
-- How long each of these migrations ($1) in a direction ($2) usually takes: of the last $3 that
-- succeeded; if $5 is not NULL, of those whose largest table was larger than $4 MB, up to $5
SELECT wanted.version, last.number, last.percentiles
FROM unnest($1::text[]) AS wanted (version)
CROSS JOIN LATERAL (
    SELECT count(*) AS number,
        percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS percentiles
    FROM (
        SELECT duration_ms FROM ledger.execution
        WHERE version = wanted.version AND direction = $2 AND succeeded
          AND ($5::float8 IS NULL OR table_mb > $4::float8 AND table_mb <= $5)
        ORDER BY position DESC LIMIT $3) AS latest) AS last
WHERE last.number > 0

-- name: running
-- What runs in a rollout ($1) since before a moment ($2), the oldest first, at most $3, and how large
-- its largest table is, where that was asked; of a data migration how many seconds it was last said to
-- need, and when that was said
SELECT one.database, begun.recorded_at AS since, attempt.table_mb, told.left_s,
    told.recorded_at AS told_at
FROM ledger.rollout_database AS one
JOIN ledger.attempt AS attempt ON attempt.command = one.command
CROSS JOIN LATERAL (
    SELECT log.recorded_at FROM ledger.database_event AS event
    JOIN ledger.log AS log ON log.position = event.position
    WHERE event.database = one.database AND event.position >= attempt.ordered_position
      AND log.type IN ('AttemptStarted', 'MigrationOrdered')
    ORDER BY event.position DESC LIMIT 1) AS begun
LEFT JOIN LATERAL (
    SELECT log.recorded_at, (convert_from(log.body, 'UTF8')::jsonb ->> 'left_s')::integer AS left_s
    FROM ledger.database_event AS event
    JOIN ledger.log AS log ON log.position = event.position
    WHERE event.database = one.database AND event.position > attempt.ordered_position
      AND one.details -> 'progress' ->> 'command' = one.command::text
      AND log.type = 'BatchProgressed'
    ORDER BY event.position DESC LIMIT 1) AS told ON true
WHERE one.rollout = $1 AND one.state = 'running' AND begun.recorded_at < $2
ORDER BY begun.recorded_at, one.database LIMIT $3

-- name: pace
-- How often a migration ($2) in a direction ($3) succeeded in a rollout ($1) since a moment ($4), of the
-- last $5, and when the first of these was
SELECT count(*) AS number, min(at) AS since FROM (
    SELECT at FROM ledger.execution
    WHERE version = $2 AND direction = $3 AND succeeded AND rollout = $1 AND at >= $4
      AND position > (SELECT planned_position FROM ledger.rollout WHERE rollout = $1)
    ORDER BY position DESC LIMIT $5) AS latest
