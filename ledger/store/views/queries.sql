-- What status, lists and orders ask of the read models. An array of databases that is NULL means all.
-- {fleet_row} are all columns of a database, {fleet_entry} those of a FleetEntry, in their order.

-- name: position
-- How far the read models are
SELECT position FROM ledger.read_model_position

-- name: fleet
-- Databases with what is believed of them
SELECT {fleet_row}
FROM ledger.fleet_database AS t
WHERE database = ANY ($1)
ORDER BY database

-- name: fleet_entries
-- What a leader knows of the next $2 databases behind the id $1
SELECT {fleet_entry}
FROM ledger.fleet_database AS t WHERE database > $1 ORDER BY database LIMIT $2

-- name: fleet_named
-- Databases of these ids, or whose name on their server is one of those
SELECT {fleet_row}
FROM ledger.fleet_database AS t
WHERE database = ANY ($1) OR target_database = ANY ($2)

-- name: fleet_at
-- Databases of these ids, or that were last known to be one of these targets ($2, $3)
SELECT {fleet_row}
FROM ledger.fleet_database AS t
WHERE database = ANY ($1) OR (system_identifier, database_oid) IN (
    SELECT system_identifier, database_oid
    FROM unnest($2::text[], $3::bigint[]) AS place (system_identifier, database_oid))

-- name: fleet_page
-- The next $4 databases behind the id $3 that a selection means ($1, its terms as JSON),
-- retired ones only with $2
SELECT {fleet_row}
FROM ledger.fleet_database AS t
WHERE ($2 OR status <> 'retired') AND database > $3 AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset($1::jsonb)
        AS term (key text, "values" text[], globs text[], negated boolean)
    CROSS JOIN LATERAL (
        SELECT CASE term.key WHEN 'id' THEN database WHEN 'pool' THEN pool
            WHEN 'status' THEN status ELSE labels ->> term.key END AS value) AS own
    WHERE term.negated = coalesce(
        own.value = ANY (term."values") OR own.value LIKE ANY (term.globs), false))
ORDER BY database LIMIT $4

-- name: fleet_count
-- How many databases a selection means
SELECT count(*) FROM ledger.fleet_database
WHERE ($2 OR status <> 'retired') AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset($1::jsonb)
        AS term (key text, "values" text[], globs text[], negated boolean)
    CROSS JOIN LATERAL (
        SELECT CASE term.key WHEN 'id' THEN database WHEN 'pool' THEN pool
            WHEN 'status' THEN status ELSE labels ->> term.key END AS value) AS own
    WHERE term.negated = coalesce(
        own.value = ANY (term."values") OR own.value LIKE ANY (term.globs), false))

-- name: unmet
-- Which of these databases have a journal of which nothing is known, or of which is still to be said
-- what it lost when it was reinstated or repointed
SELECT database FROM ledger.fleet_database WHERE database = ANY ($1) AND journal_head IS NULL
UNION
SELECT reading.database FROM ledger.reading AS reading
JOIN ledger.requested_check AS asked ON asked.stream = reading.stream
WHERE reading.database = ANY ($1) AND asked.finished_position IS NULL

-- name: unheard
-- The numbers of the words of a selection that no database has ($1 keys; $2 values, NULL for a label
-- itself; $3 patterns for values that stand for several; $4 whether retired databases count)
SELECT word.number
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS word (key, value, glob, number)
WHERE EXISTS (SELECT FROM ledger.fleet_database WHERE $4 OR status <> 'retired') AND CASE
    WHEN word.value IS NULL THEN NOT EXISTS (
        SELECT FROM ledger.fleet_database
        WHERE labels ? word.key AND ($4 OR status <> 'retired'))
    WHEN word.glob IS NOT NULL THEN NOT EXISTS (
        SELECT FROM ledger.fleet_database
        WHERE ($4 OR status <> 'retired') AND CASE word.key WHEN 'id' THEN database
            WHEN 'pool' THEN pool ELSE labels ->> word.key END LIKE word.glob)
    WHEN word.key = 'id' THEN NOT EXISTS (
        SELECT FROM ledger.fleet_database
        WHERE database = word.value AND ($4 OR status <> 'retired'))
    WHEN word.key = 'pool' THEN NOT EXISTS (
        SELECT FROM ledger.fleet_database
        WHERE pool = word.value AND ($4 OR status <> 'retired'))
    ELSE NOT EXISTS (
        SELECT FROM ledger.fleet_database
        WHERE labels @> jsonb_build_object(word.key, word.value)
          AND ($4 OR status <> 'retired'))
END
ORDER BY word.number

-- name: near_labels
-- All labels ($1 whether retired databases count)
SELECT DISTINCT jsonb_object_keys(labels) COLLATE "C" AS value FROM ledger.fleet_database
WHERE $1 OR status <> 'retired' ORDER BY value

-- name: near_values
-- What comes near to a value ($2) that no database has under a key ($1): $3 before and behind it,
-- and as many of those that end alike in $4 characters; $5 whether retired databases count
WITH had AS (
    SELECT DISTINCT CASE $1::text WHEN 'id' THEN database WHEN 'pool' THEN pool
        ELSE labels ->> $1::text END COLLATE "C" AS value
    FROM ledger.fleet_database WHERE $5 OR status <> 'retired')
(SELECT value FROM had WHERE value < $2 ORDER BY value DESC LIMIT $3)
UNION (SELECT value FROM had WHERE value > $2 ORDER BY value LIMIT $3)
UNION (SELECT value FROM had WHERE right(value, $4) = right($2, $4) ORDER BY value LIMIT $3)
ORDER BY value

-- name: fleet_pools
-- How many databases there are, by status and pool, and at most $1 of each
SELECT status, pool, count(*) AS databases, (array_agg(database ORDER BY database))[1:$1] AS examples
FROM ledger.fleet_database GROUP BY status, pool ORDER BY status, pool

-- name: fleet_gaps
-- Which of these versions ($1) a database lacks that has not retired: counted by the index alone, for
-- most versions are everywhere; a version whose rollback failed is in force still
WITH alive AS (SELECT count(*) AS number FROM ledger.fleet_database WHERE status <> 'retired'),
gone AS (
    SELECT held.version, count(*) AS number FROM ledger.fleet_database AS fleet
    JOIN ledger.applied AS held ON held.database = fleet.database
    WHERE fleet.status = 'retired' AND held.version = ANY ($1)
      AND held.state IN ('applied', 'rollback_failed')
    GROUP BY held.version)
SELECT wanted.version FROM unnest($1::text[]) WITH ORDINALITY AS wanted (version, number)
CROSS JOIN alive LEFT JOIN gone ON gone.version = wanted.version
WHERE alive.number + coalesce(gone.number, 0) > (
    SELECT count(*) FROM ledger.applied AS held
    WHERE held.version = wanted.version AND held.state IN ('applied', 'rollback_failed'))
ORDER BY wanted.number

-- name: fleet_standings
-- Databases that have not retired by what they have of these versions ($1), as bits in their order,
-- and at most $2 of each; bits need no sorting, and a fleet is large
WITH has AS (
    SELECT applied.database, bit_or(
        set_bit(repeat('0', cardinality($1::text[]))::bit varying, wanted.number::integer - 1, 1)
    ) AS bits
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (version, number)
    JOIN ledger.applied AS applied ON applied.version = wanted.version
        AND applied.state IN ('applied', 'rollback_failed')
    GROUP BY applied.database)
SELECT fleet.status, coalesce(has.bits::text, '') AS bits, count(*) AS databases,
    (array_agg(fleet.database ORDER BY fleet.database))[1:$2] AS examples
FROM ledger.fleet_database AS fleet LEFT JOIN has ON has.database = fleet.database
WHERE fleet.status <> 'retired'
GROUP BY 1, 2 ORDER BY count(*) DESC, min(fleet.database)

-- name: fleet_lacking
-- The next $3 databases behind the id $2 that have not retired and lack any of these versions ($1)
SELECT fleet.database FROM ledger.fleet_database AS fleet
WHERE fleet.status <> 'retired' AND fleet.database > $2 AND cardinality($1::text[]) > (
    SELECT count(*) FROM ledger.applied AS applied
    WHERE applied.database = fleet.database AND applied.version = ANY ($1)
      AND applied.state IN ('applied', 'rollback_failed'))
ORDER BY fleet.database LIMIT $3

-- name: fleet_troubles
-- Where these versions ($1) failed, were lost or are unknown, and why, as far as the rollout that
-- did it knows; at most $2 databases of each, at most $3
SELECT applied.version, applied.state, one.details -> 'failure' ->> 'sqlstate' AS sqlstate,
    one.details -> 'failure' ->> 'message' AS message, one.details -> 'failure' ->> 'file' AS file,
    (one.details -> 'failure' ->> 'line')::integer AS line, count(*) AS databases,
    (array_agg(applied.database ORDER BY applied.database))[1:$2] AS examples
FROM ledger.applied AS applied
JOIN ledger.fleet_database AS fleet ON fleet.database = applied.database
LEFT JOIN ledger.rollout_database AS one
    ON one.rollout = applied.rollout AND one.database = applied.database
WHERE applied.version = ANY ($1) AND fleet.status <> 'retired'
  AND applied.state IN ('failed', 'rollback_failed', 'unknown', 'regressed')
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY count(*) DESC, applied.version, min(applied.database) LIMIT $3

-- name: troubled_by
-- The next $3 databases behind the id $2 of which that is true
SELECT DISTINCT applied.database FROM ledger.applied AS applied
JOIN ledger.fleet_database AS fleet ON fleet.database = applied.database
WHERE applied.version = ANY ($1) AND fleet.status <> 'retired' AND applied.database > $2
  AND applied.state IN ('failed', 'rollback_failed', 'unknown', 'regressed')
ORDER BY applied.database LIMIT $3

-- name: latest_bundles
-- The bundle registered last of each history, the latest first
SELECT bundle, migrations::text AS migrations, source, git_commit, git_dirty, history, name,
    registered_position, registered_at, registered_by
FROM ledger.bundle WHERE registered_position IN (
    SELECT max(registered_position) FROM ledger.bundle GROUP BY history)
ORDER BY registered_position DESC

-- name: histories
-- The histories that what is applied in these databases comes from, as far as rollouts applied it
SELECT applied.database, array_agg(DISTINCT bundle.history) AS histories
FROM ledger.applied AS applied
JOIN ledger.rollout AS rollout ON rollout.rollout = applied.rollout
JOIN ledger.bundle AS bundle ON bundle.bundle = rollout.bundle
WHERE applied.database = ANY ($1)
  AND applied.state IN ('applied', 'rollback_failed', 'unknown', 'regressed')
GROUP BY applied.database ORDER BY applied.database

-- name: rollouts
-- Newest first; $1 statuses, $2 planned before this position, $3 how many, $4 ids
SELECT rollout, status, mode, bundle, steps::text AS steps, selection, fleet_position, databases,
    waves, wave_spec, current_wave, in_flight, budget_count, budget_percent, when_spent, expiry_s,
    deadline_s, planned_position, planned_at, planned_by, reason, ticket, started_at, ended_at, why,
    undoes, undone_by
FROM ledger.rollout
WHERE ($1::text[] IS NULL OR status = ANY ($1))
  AND ($2::bigint IS NULL OR planned_position < $2)
  AND ($4::text[] IS NULL OR rollout = ANY ($4))
ORDER BY planned_position DESC LIMIT $3

-- name: rollout_counts
-- Databases by wave and state
SELECT rollout, wave, state, count(*) AS databases
FROM ledger.rollout_database WHERE rollout = ANY ($1) GROUP BY rollout, wave, state
ORDER BY rollout, wave, state

-- name: rollout_databases
-- Databases of a rollout ($1) in these states ($2; NULL: in any), and with $3 those
-- that failed or wait for another attempt; behind a wave and a database ($4, $5), at most $6
SELECT rollout, database, wave, state, command, again, details::text AS details
FROM ledger.rollout_database
WHERE rollout = $1
  AND ($2::text[] IS NULL OR state = ANY ($2) OR $3 AND (again OR details ? 'failure'))
  AND (wave, database) > ($4, $5)
ORDER BY wave, database LIMIT $6

-- name: rollout_done
-- The databases of a rollout of which nothing is owed any more, as
-- `ledger.domain.states.DatabaseState.done` says it
SELECT database, state FROM ledger.rollout_database
WHERE rollout = $1 AND state IN ('applied', 'skipped') AND NOT again AND details ? 'answered'
  AND NOT details ?| ARRAY['failure', 'open'] AND jsonb_array_length(
      coalesce(details -> 'changed', '[]')) >= coalesce((details ->> 'told')::integer, 0)

-- name: rollout_undone
-- The others ($1), behind a wave and a database ($2, $3), at most $4, without those that
-- are as they were planned
SELECT rollout, database, wave, state, command, again, details::text AS details
FROM ledger.rollout_database
WHERE rollout = $1 AND (wave, database) > ($2, $3)
  AND NOT (state = 'pending' AND NOT again AND NOT details ? 'attempt')
  AND NOT (state IN ('applied', 'skipped') AND NOT again AND details ? 'answered'
      AND NOT details ?| ARRAY['failure', 'open'] AND jsonb_array_length(
          coalesce(details -> 'changed', '[]')) >= coalesce((details ->> 'told')::integer, 0))
ORDER BY wave, database LIMIT $4

-- name: rollout_databases_named
-- These databases of a rollout
SELECT rollout, database, wave, state, command, again, details::text AS details
FROM ledger.rollout_database WHERE rollout = $1 AND database = ANY ($2)

-- name: troubled
-- How many databases of a rollout are in these states, failed, or wait for another attempt
SELECT count(*) FROM ledger.rollout_database
WHERE rollout = $1 AND (state = ANY ($2) OR again OR details ? 'failure')

-- name: rollout_toll
-- How many databases of a rollout were ordered, have failed at the budget's cost, and have reported
-- a failure of an attempt that goes on, or where somebody in the way was cancelled
SELECT count(*) FILTER (WHERE details ? 'attempt') AS ordered,
    count(*) FILTER (WHERE state = 'failed' AND NOT details ? 'forgiven') AS counted,
    count(*) FILTER (WHERE details ? 'open' AND details ? 'failure') AS failing,
    count(*) FILTER (WHERE details ? 'cancelled') AS cancelled
FROM ledger.rollout_database WHERE rollout = $1

-- name: rollout_causes
-- What went wrong in a rollout, by state and cause: of these databases ($2; NULL: of all), but not
-- of those ($3); at most $4 of each are named; at most $5
SELECT state, details ? 'forgiven' AS accepted, details -> 'failure' ->> 'kind' AS kind,
    details -> 'failure' ->> 'sqlstate' AS sqlstate, details -> 'failure' ->> 'message' AS message,
    details -> 'failure' ->> 'file' AS file, (details -> 'failure' ->> 'line')::integer AS line,
    count(*) AS databases, (array_agg(database ORDER BY wave, database))[1:$4] AS examples,
    least(coalesce(sum((details -> 'committed' ->> 0)::bigint), 0), 9223372036854775807)::bigint AS rows,
    least(coalesce(sum((details -> 'committed' ->> 1)::bigint), 0), 9223372036854775807)::bigint AS batches
FROM ledger.rollout_database
WHERE rollout = $1 AND (state IN ('failed', 'blocked', 'unknown') OR details ? 'failure')
  AND ($2::text[] IS NULL OR database = ANY ($2)) AND NOT database = ANY ($3)
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY count(*) DESC, min(database) LIMIT $5

-- name: rollout_queues
-- Unfinished databases of a rollout with which nothing is wrong, by state, wave and pool; at most $2
SELECT one.state, one.wave, fleet.pool, count(*) AS databases, min(one.database) AS example
FROM ledger.rollout_database AS one
LEFT JOIN ledger.fleet_database AS fleet ON fleet.database = one.database
WHERE one.rollout = $1 AND NOT one.details ? 'failure'
  AND one.state IN ('pending', 'unfinished', 'ordered', 'running')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $2

-- name: unfinished
-- Rollouts that have not ended
SELECT rollout FROM ledger.rollout
WHERE status NOT IN ('completed', 'aborted') ORDER BY planned_position

-- name: unsettled
-- Rollouts that have not ended, ended while something was still at work, or are undone by one that
-- has not ended
SELECT rollout FROM ledger.rollout
WHERE status NOT IN ('completed', 'aborted')
   OR status = 'aborted' AND EXISTS (
       SELECT FROM ledger.rollout_database AS one
       WHERE one.rollout = rollout.rollout
         AND one.state IN ('ordered', 'running', 'unknown', 'blocked')
   )
   OR EXISTS (
       SELECT FROM ledger.rollout AS undo
       WHERE undo.undoes = rollout.rollout AND undo.status NOT IN ('completed', 'aborted')
   )
ORDER BY planned_position

-- name: open_checks
-- Looks that were asked for and are not over, the oldest first
SELECT stream FROM ledger.requested_check
WHERE finished_position IS NULL ORDER BY requested_position

-- name: unreadable
-- Events that could not be read, the latest first, and what set them aside: $1 whether they are set
-- aside, $2 positions, $3 how many
SELECT position, stream, type, recorded_at, recorded_by, aside_position, aside_at, aside_by,
    aside_who, aside_reason
FROM ledger.unreadable_event
WHERE ($1::boolean IS NULL OR (aside_position IS NOT NULL) = $1)
  AND ($2::bigint[] IS NULL OR position = ANY ($2))
ORDER BY position DESC LIMIT $3

-- name: bound
-- Whether any database was registered, or is labelled, for a history by name
SELECT EXISTS (
    SELECT FROM ledger.fleet_database
    WHERE status <> 'retired' AND (target_history <> '' OR labels ? 'history')) AS bound

-- name: half_done
-- What is half done, or in doubt, in these databases
SELECT database, half_done::text AS half_done FROM ledger.fleet_database
WHERE half_done IS NOT NULL AND status <> 'retired' AND database = ANY ($1) ORDER BY database

-- name: unread
-- Which of these databases were reinstated or repointed, and what they lost was not said since
SELECT DISTINCT reading.database FROM ledger.reading AS reading
JOIN ledger.fleet_database AS fleet ON fleet.database = reading.database
JOIN ledger.requested_check AS asked ON asked.stream = reading.stream
WHERE ($1::text[] IS NULL OR reading.database = ANY ($1))
  AND fleet.status <> 'retired'
  AND (reading.read_at IS NULL OR asked.finished_position IS NULL)

-- name: busy
-- Which of these databases belong to an unfinished rollout
SELECT planned.database, planned.rollout
FROM ledger.rollout_database AS planned
JOIN ledger.rollout AS rollout ON rollout.rollout = planned.rollout
WHERE planned.database = ANY ($1)
  AND rollout.status NOT IN ('completed', 'aborted')
ORDER BY planned.database, rollout.planned_position

-- name: beginning
-- Rollouts whose id begins so, newest first
SELECT rollout FROM ledger.rollout WHERE starts_with(rollout, $1) ORDER BY planned_position DESC

-- name: applied
-- Migrations on databases, and who ordered them; $1 databases, $2 versions
SELECT database, version, state, checksum, rollout, command, ordered_position, ordered_by,
    position, at, duration_ms, outside
FROM ledger.applied
WHERE ($1::text[] IS NULL OR database = ANY ($1))
  AND ($2::text[] IS NULL OR version = ANY ($2))
ORDER BY database, version

-- name: durations
-- How long these migrations ($1) took where they are applied, by text
SELECT version, checksum, count(*) AS databases,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) AS usual_ms,
    max(duration_ms) AS longest_ms
FROM ledger.applied
WHERE version = ANY ($1) AND state = 'applied' AND checksum IS NOT NULL AND duration_ms IS NOT NULL
GROUP BY version, checksum ORDER BY version, checksum

-- name: held_texts
-- With which texts databases have these migrations ($1), or may have them: what is applied or in
-- doubt, and what a rollout that goes up may still run
SELECT applied.version, applied.checksum, applied.database AS holder
FROM ledger.applied AS applied
JOIN ledger.fleet_database AS fleet ON fleet.database = applied.database
WHERE applied.version = ANY ($1) AND fleet.status <> 'retired'
  AND applied.state IN ('applied', 'rollback_failed', 'unknown', 'regressed')
UNION
SELECT step.version, step.checksum, 'rollout ' || rollout.rollout
FROM ledger.rollout AS rollout,
    jsonb_to_recordset(rollout.steps) AS step (version text, checksum text)
WHERE step.version = ANY ($1) AND rollout.mode = 'up'
  AND (rollout.status NOT IN ('completed', 'aborted') OR EXISTS (
      SELECT FROM ledger.rollout_database AS one
      WHERE one.rollout = rollout.rollout
        AND one.state IN ('ordered', 'running', 'unknown', 'blocked')))
ORDER BY version, holder

-- name: database_versions
-- Each database against the versions of a bundle, in the bundle's order ($2);
-- a version whose rollback failed is in force still
SELECT fleet.database,
    array_agg(wanted.version ORDER BY wanted.number)
        FILTER (WHERE applied.version IS NOT NULL) AS applied,
    array_agg(wanted.version ORDER BY wanted.number)
        FILTER (WHERE applied.version IS NULL) AS missing
FROM ledger.fleet_database AS fleet
CROSS JOIN unnest($2::text[]) WITH ORDINALITY AS wanted (version, number)
LEFT JOIN ledger.applied AS applied
    ON applied.database = fleet.database AND applied.version = wanted.version
    AND applied.state IN ('applied', 'rollback_failed')
WHERE fleet.status <> 'retired' AND ($1::text[] IS NULL OR fleet.database = ANY ($1))
GROUP BY fleet.database ORDER BY fleet.database
