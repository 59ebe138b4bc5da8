-- What status, lists and orders ask of the read models. An array of databases that is NULL means all.

-- position: how far the read models are
SELECT position FROM ledger.read_model_position

-- fleet: databases with what is believed of them
SELECT database, status, pool, host, port, dbname, username, password_reference, sslmode,
    schema_name, role, labels::text AS labels, identity_uuid, system_identifier, database_oid,
    journal_head, server_version, last_contact_at, registered_at, registered_by
FROM ledger.fleet_database
WHERE $1::text[] IS NULL OR database = ANY ($1)
ORDER BY database

-- latest_orders: the latest order of each database, and whether one that was given since an answer
-- last told the journal's head is unanswered, or was answered by one that did not know it
SELECT known.database, known.command, silent.database IS NOT NULL AS unanswered
FROM ledger.fleet_database AS known
LEFT JOIN (
    SELECT DISTINCT attempt.database
    FROM ledger.attempt AS attempt
    JOIN ledger.fleet_database AS fleet ON fleet.database = attempt.database
    LEFT JOIN ledger.attempt AS heard ON heard.command = fleet.head_command
    WHERE fleet.command IS NOT NULL
      AND (attempt.verdict IS NULL OR attempt.verdict = 'failed'
           OR attempt.verdict <> 'done' AND attempt.failure_kind = 'unreachable')
      AND attempt.ordered_position > coalesce(heard.ordered_position, 0)
) AS silent ON silent.database = known.database

-- bundle: a bundle by the beginning of its digest; two rows mean that it is ambiguous
SELECT bundle, migrations::text AS migrations, source, git_commit, git_dirty, registered_position,
    registered_at, registered_by
FROM ledger.bundle WHERE starts_with(bundle, $1) LIMIT 2

-- latest_bundle: the bundle registered last
SELECT bundle, migrations::text AS migrations, source, git_commit, git_dirty, registered_position,
    registered_at, registered_by
FROM ledger.bundle ORDER BY registered_position DESC LIMIT 1

-- rollouts: newest first; $1 rollouts, $2 statuses, $3 planned before this position, $4 how many
SELECT rollout, status, mode, bundle, steps::text AS steps, selection, fleet_position, databases,
    waves, wave_spec, current_wave, in_flight, budget_count, budget_percent, when_spent, expiry_s,
    deadline_s, planned_position, planned_at, planned_by, reason, ticket, started_at, ended_at, why
FROM ledger.rollout
WHERE ($1::text[] IS NULL OR rollout = ANY ($1))
  AND ($2::text[] IS NULL OR status = ANY ($2))
  AND ($3::bigint IS NULL OR planned_position < $3)
ORDER BY planned_position DESC LIMIT $4

-- rollout_counts: databases by wave and state
SELECT rollout, wave, state, count(*) AS databases
FROM ledger.rollout_database WHERE rollout = ANY ($1) GROUP BY rollout, wave, state
ORDER BY rollout, wave, state

-- rollout_databases: one page, wave by wave; $2 states, $3 and $4 the wave and database to go on
-- after, $5 how many
SELECT rollout, database, wave, state, command, pool, mode, attempt, ordered_position, ordered_at,
    expires_at, deadline_at, started_at, finished_at, verdict, changed, failure_kind,
    failure_message, failure_sqlstate, failure_statement, failure_file, failure_line,
    failure_blocker
FROM ledger.rollout_database
WHERE rollout = $1 AND ($2::text[] IS NULL OR state = ANY ($2))
  AND ($3::integer IS NULL OR (wave, database) > ($3, $4::text))
ORDER BY wave, database LIMIT $5

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
        look.reachable IS NOT TRUE OR look.failure_kind IS NOT NULL
        OR look.inspected_at > clock_timestamp() - interval '1 day'
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
  AND (look.reachable IS NOT TRUE OR look.failure_kind IS NOT NULL)

-- busy: which of these databases belong to an unfinished rollout
SELECT planned.database, planned.rollout
FROM ledger.planned_database AS planned
JOIN ledger.rollout AS rollout ON rollout.rollout = planned.rollout
WHERE planned.database = ANY ($1)
  AND rollout.status NOT IN ('completed', 'rolled_back', 'aborted')
ORDER BY planned.database, rollout.planned_position

-- busy_beside: which databases of a rollout belong to another one that has not ended
SELECT planned.database, planned.rollout
FROM ledger.rollout AS rollout
JOIN ledger.planned_database AS planned ON planned.rollout = rollout.rollout
JOIN ledger.planned_database AS own ON own.database = planned.database AND own.rollout = $1
WHERE rollout.rollout <> $1 AND rollout.status NOT IN ('completed', 'rolled_back', 'aborted')
ORDER BY planned.database, rollout.planned_position

-- beginning: rollouts whose id begins so, newest first
SELECT rollout FROM ledger.rollout WHERE starts_with(rollout, $1) ORDER BY planned_position DESC

-- applied: migrations on databases, and who ordered them; $1 databases, $2 versions
SELECT applied.database, applied.version, applied.state, applied.checksum, applied.rollout,
    applied.command, applied.position, applied.at, applied.duration_ms, applied.outside,
    attempt.ordered_by
FROM ledger.applied AS applied
LEFT JOIN ledger.attempt AS attempt ON attempt.command = applied.command
WHERE ($1::text[] IS NULL OR applied.database = ANY ($1))
  AND ($2::text[] IS NULL OR applied.version = ANY ($2))
ORDER BY applied.database, applied.version

-- version_counts: migrations by state, over databases that have not left the fleet
SELECT applied.version, applied.state, count(*) AS databases
FROM ledger.applied AS applied
JOIN ledger.fleet_database AS fleet ON fleet.database = applied.database
WHERE fleet.status <> 'retired' AND ($1::text[] IS NULL OR applied.database = ANY ($1))
GROUP BY applied.version, applied.state

-- fleet_size: how many databases there are
SELECT count(*) FROM ledger.fleet_database
WHERE status <> 'retired' AND ($1::text[] IS NULL OR database = ANY ($1))

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

-- inspections: the latest looks that a check or a rollout asked for
SELECT stream, database, purpose, requested_at, command, inspected_at, reachable, tls,
    server_version, in_recovery, identity_uuid, system_identifier, database_oid, journal_head,
    owner, rights::text AS rights, entries::text AS entries, failure_kind, failure_message
FROM ledger.inspection WHERE stream = $1 ORDER BY database

-- attempts: every attempt on a database, or of a rollout, or of one in the other; oldest first
SELECT command, rollout, database, pool, mode, attempt, ordered_position, ordered_at, ordered_by,
    started_at, finished_at, timed_out_position IS NOT NULL AS timed_out, verdict, changed,
    failure_kind, failure_message
FROM ledger.attempt
WHERE ($1::text IS NULL OR rollout = $1) AND ($2::text IS NULL OR database = $2)
ORDER BY ordered_position
