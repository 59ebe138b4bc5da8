-- What status, lists and orders ask of the read models. An array of databases that is NULL means all.

-- position: how far the read models are
SELECT position FROM ledger.read_model_position

-- fleet: these databases with what is believed of them
SELECT database, status, pool, host, port, dbname, username, password_reference, sslmode,
    schema_name, role, labels::text AS labels, identity_uuid, system_identifier, database_oid,
    journal_head, command, unanswered, doubted, server_version, last_contact_position,
    last_contact_at, registered_position, registered_at, registered_by
FROM ledger.fleet_database
WHERE database = ANY ($1)
ORDER BY database

-- fleet_named: databases of these ids, or whose name on their server is one of those
SELECT database, status, pool, host, port, dbname, username, password_reference, sslmode,
    schema_name, role, labels::text AS labels, identity_uuid, system_identifier, database_oid,
    journal_head, command, unanswered, doubted, server_version, last_contact_position,
    last_contact_at, registered_position, registered_at, registered_by
FROM ledger.fleet_database
WHERE database = ANY ($1) OR dbname = ANY ($2)

-- fleet_at: databases of these ids, or that were last known to be one of these targets ($2, $3)
SELECT database, status, pool, host, port, dbname, username, password_reference, sslmode,
    schema_name, role, labels::text AS labels, identity_uuid, system_identifier, database_oid,
    journal_head, command, unanswered, doubted, server_version, last_contact_position,
    last_contact_at, registered_position, registered_at, registered_by
FROM ledger.fleet_database
WHERE database = ANY ($1) OR (system_identifier, database_oid) IN (
    SELECT system_identifier, database_oid
    FROM unnest($2::text[], $3::bigint[]) AS place (system_identifier, database_oid))

-- fleet_page: the next $4 databases behind the id $3 that a selection means ($1, its terms as JSON),
-- retired ones only with $2
SELECT database, status, pool, host, port, dbname, username, password_reference, sslmode,
    schema_name, role, labels::text AS labels, identity_uuid, system_identifier, database_oid,
    journal_head, command, unanswered, doubted, server_version, last_contact_position,
    last_contact_at, registered_position, registered_at, registered_by
FROM ledger.fleet_database
WHERE ($2 OR status <> 'retired') AND database > $3 AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset($1::jsonb) AS term (key text, "values" text[], negated boolean)
    WHERE term.negated = coalesce(
        CASE term.key WHEN 'id' THEN database WHEN 'pool' THEN pool ELSE labels ->> term.key END
            = ANY (term."values"),
        false))
ORDER BY database LIMIT $4

-- fleet_count: how many databases a selection means
SELECT count(*) FROM ledger.fleet_database
WHERE ($2 OR status <> 'retired') AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset($1::jsonb) AS term (key text, "values" text[], negated boolean)
    WHERE term.negated = coalesce(
        CASE term.key WHEN 'id' THEN database WHEN 'pool' THEN pool ELSE labels ->> term.key END
            = ANY (term."values"),
        false))

-- latest_bundle: the bundle registered last
SELECT bundle, migrations::text AS migrations, source, git_commit, git_dirty, registered_position,
    registered_at, registered_by
FROM ledger.bundle ORDER BY registered_position DESC LIMIT 1

-- rollouts: newest first; $1 statuses, $2 planned before this position, $3 how many, $4 ids
SELECT rollout, status, mode, bundle, steps::text AS steps, selection, fleet_position, databases,
    waves, wave_spec, current_wave, in_flight, budget_count, budget_percent, when_spent, expiry_s,
    deadline_s, planned_position, planned_at, planned_by, reason, ticket, started_at, ended_at, why
FROM ledger.rollout
WHERE ($1::text[] IS NULL OR status = ANY ($1))
  AND ($2::bigint IS NULL OR planned_position < $2)
  AND ($4::text[] IS NULL OR rollout = ANY ($4))
ORDER BY planned_position DESC LIMIT $3

-- rollout_counts: databases by wave and state
SELECT rollout, wave, state, count(*) AS databases
FROM ledger.rollout_database WHERE rollout = ANY ($1) GROUP BY rollout, wave, state
ORDER BY rollout, wave, state

-- rollout_databases: databases of a rollout ($1) in these states ($2; NULL: in any), and with $3 those
-- that failed or wait for another attempt; behind a wave and a database ($4, $5), at most $6
SELECT rollout, database, wave, state, command, again, details::text AS details
FROM ledger.rollout_database
WHERE rollout = $1
  AND ($2::text[] IS NULL OR state = ANY ($2) OR $3 AND (again OR details ? 'failure'))
  AND (wave, database) > ($4, $5)
ORDER BY wave, database LIMIT $6

-- rollout_databases_named: these databases of a rollout
SELECT rollout, database, wave, state, command, again, details::text AS details
FROM ledger.rollout_database WHERE rollout = $1 AND database = ANY ($2)

-- troubled: how many databases of a rollout are in these states, failed, or wait for another attempt
SELECT count(*) FROM ledger.rollout_database
WHERE rollout = $1 AND (state = ANY ($2) OR again OR details ? 'failure')

-- unfinished: rollouts that have not ended
SELECT rollout FROM ledger.rollout
WHERE status NOT IN ('completed', 'rolled_back', 'aborted') ORDER BY planned_position

-- unsettled: rollouts that have not ended, or ended while something was still at work
SELECT rollout FROM ledger.rollout
WHERE status NOT IN ('completed', 'rolled_back', 'aborted')
   OR status = 'aborted' AND EXISTS (
       SELECT FROM ledger.rollout_database AS one
       WHERE one.rollout = rollout.rollout
         AND one.state IN ('ordered', 'running', 'unknown', 'blocked', 'rolling_back')
   )
ORDER BY planned_position

-- recent_checks: checks of the last hour that wait for an answer; of a reinstated database until
-- its journal was read, however long that takes, and a day longer, for what follows from it
SELECT look.stream FROM ledger.inspection AS look
JOIN ledger.fleet_database AS fleet ON fleet.database = look.database
WHERE starts_with(look.stream, 'check-') AND CASE look.purpose
    WHEN 'reinstate' THEN fleet.status <> 'retired' AND (
        NOT look.journal_read OR look.inspected_at > clock_timestamp() - interval '1 day'
    )
    ELSE look.inspected_at IS NULL AND look.requested_at > clock_timestamp() - interval '1 hour'
END
GROUP BY look.stream

-- unreadable: where events stand that could not be read
SELECT position FROM ledger.unreadable_event ORDER BY position DESC LIMIT 1000;

-- unread: which of these databases were reinstated or repointed and have not been read since
SELECT DISTINCT look.database FROM ledger.inspection AS look
JOIN ledger.fleet_database AS fleet ON fleet.database = look.database
WHERE look.purpose = 'reinstate' AND look.database = ANY ($1) AND fleet.status <> 'retired'
  AND NOT look.journal_read

-- busy: which of these databases belong to an unfinished rollout
SELECT planned.database, planned.rollout
FROM ledger.rollout_database AS planned
JOIN ledger.rollout AS rollout ON rollout.rollout = planned.rollout
WHERE planned.database = ANY ($1)
  AND rollout.status NOT IN ('completed', 'rolled_back', 'aborted')
ORDER BY planned.database, rollout.planned_position

-- busy_beside: which databases of a rollout belong to another one that has not ended
SELECT planned.database, planned.rollout
FROM ledger.rollout AS rollout
JOIN ledger.rollout_database AS planned ON planned.rollout = rollout.rollout
JOIN ledger.rollout_database AS own ON own.database = planned.database AND own.rollout = $1
WHERE rollout.rollout <> $1 AND rollout.status NOT IN ('completed', 'rolled_back', 'aborted')
ORDER BY planned.database, rollout.planned_position

-- beginning: rollouts whose id begins so, newest first
SELECT rollout FROM ledger.rollout WHERE starts_with(rollout, $1) ORDER BY planned_position DESC

-- applied: migrations on databases, and who ordered them; $1 databases, $2 versions
SELECT database, version, state, checksum, rollout, command, ordered_position, ordered_by,
    position, at, duration_ms, outside
FROM ledger.applied
WHERE ($1::text[] IS NULL OR database = ANY ($1))
  AND ($2::text[] IS NULL OR version = ANY ($2))
ORDER BY database, version

-- database_versions: each database against the versions of a bundle, in the bundle's order ($2);
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
