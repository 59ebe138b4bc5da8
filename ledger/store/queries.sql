-- name: append
-- The only way into the log, described in schema/0001_log.sql
SELECT ledger.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: append_one
-- The same for one event, with less ado
SELECT ledger.append($1, $2, $3, $4, $5, $6, $7, $8);

-- name: append_on_premise
-- The same for a decision, unless something that changes it came meanwhile
SELECT ledger.append_on_premise($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: request
-- What a person asks for, described in schema/0003_requests.sql
SELECT ledger.request($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: append_both
-- Two decisions on two streams, of one leader, both or neither; the second call sees what the first
-- has done
SELECT json_build_array(
    ledger.append_on_premise($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12),
    ledger.append_on_premise($13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24))::text;

-- name: request_both
-- The same for what a person asks for
SELECT json_build_array(
    ledger.request($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12),
    ledger.request($13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24))::text;

-- name: read_turns
-- What turned a rollout, up to a position; the list is a part of that of the index
-- log_turns, and has to stand here for the index to be found
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE stream = $1 AND position <= $2 AND type IN (
    'RolloutPlanned', 'RolloutStarted', 'RolloutPaused', 'RolloutResumed', 'RolloutHalted',
    'RetryRequested', 'UndoStarted', 'RolloutCompleted', 'RolloutAborted', 'OutcomeResolved')
ORDER BY stream_version;

-- name: read_frame
-- The same with what became of its waves, and with $3 also who is in them, and which
-- reports were contradicted: all of a rollout but its orders and what agents report
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE stream IN ($1, $1 || '/reports') AND position <= $2
  AND type IN (
    'RolloutPlanned', 'WavePlanned', 'RolloutStarted', 'RolloutPaused', 'RolloutResumed',
    'RolloutHalted', 'RetryRequested', 'UndoStarted', 'RolloutCompleted', 'RolloutAborted',
    'OutcomeResolved', 'WaveOpened', 'WaveCompleted', 'ReportContradicted')
  AND ($3 OR type NOT IN ('WavePlanned', 'ReportContradicted'))
ORDER BY position;

-- name: version_at
-- The version of a stream at a position
SELECT stream_version FROM ledger.log
WHERE stream = $1 AND position <= $2 ORDER BY stream_version DESC LIMIT 1;

-- name: about
-- What a rollout's streams say of databases ($2), of each since a position ($3)
SELECT log.position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM unnest($2::text[], $3::bigint[]) AS asked (database, since)
JOIN ledger.database_event AS named
    ON named.database = asked.database AND named.position >= asked.since
JOIN ledger.log AS log ON log.position = named.position
WHERE stream IN ($1, $1 || '/reports')
ORDER BY log.position;
-- name: turned_since
-- The rollouts that were turned behind a position
SELECT stream FROM ledger.log
WHERE position > $1 AND starts_with(stream, 'rollout-') AND type IN (
    'RolloutPlanned', 'RolloutStarted', 'RolloutPaused', 'RolloutResumed', 'RolloutHalted',
    'RetryRequested', 'UndoStarted', 'RolloutCompleted', 'RolloutAborted', 'OutcomeResolved')
GROUP BY stream ORDER BY max(position);

-- name: read_concerned
-- A rollout's turns and plan, and all about some databases, up to a position; of no
-- databases, about all that once were in trouble
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM (
    SELECT * FROM ledger.log WHERE stream IN ($1, $1 || '/reports') OFFSET 0
) AS both_streams
WHERE position <= $2 AND (
    type IN (
        'RolloutPlanned', 'WavePlanned', 'RolloutStarted', 'RolloutPaused', 'RolloutResumed',
        'RolloutHalted', 'RetryRequested', 'UndoStarted', 'RolloutCompleted', 'RolloutAborted',
        'OutcomeResolved')
    OR ledger.database_in(body) IN (
        SELECT convert_to(name, 'UTF8') FROM unnest($3::text[]) AS name
        UNION ALL
        SELECT ledger.database_in(body) FROM ledger.log
        WHERE $3::text[] IS NULL AND stream IN ($1, $1 || '/reports') AND (
            type IN ('AttemptTimedOut', 'DatabaseLeftOut') OR ledger.may_fail(type, body))))
ORDER BY position;

-- name: preflights
-- The latest reports of what databases were asked before anything was applied there; by log_preflights
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log WHERE type = 'PreflightChecked' ORDER BY position DESC LIMIT $1;

-- name: news
-- What a rollout's streams got behind a position, up to another; by position alone, for what
-- came since is little, and what the streams hold is not
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM (SELECT * FROM ledger.log WHERE position > $2 AND position <= $3 OFFSET 0) AS news
WHERE stream IN ($1, $1 || '/reports') ORDER BY position;

-- name: fleet_since
-- What the fleet's stream says behind a position; by position alone, which is little
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM (SELECT * FROM ledger.log WHERE position > $1 OFFSET 0) AS news
WHERE stream = 'fleet' ORDER BY stream_version;

-- name: read_by_id
-- These events, wherever they stand
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE event_id = ANY ($1::uuid[]);

-- name: read_stream
-- Events of one stream after a version, in order, of some types or of all
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE stream = $1 AND stream_version > $2 AND ($3::text[] IS NULL OR type = ANY ($3))
ORDER BY stream_version
LIMIT $4;

-- name: tail
-- Events behind a position, in order; positions have no gaps, so nothing is missed
SELECT position, stream, stream_version, event_id, type, schema_version, body, metadata,
    recorded_by, recorded_at, leaf, chain
FROM ledger.log
WHERE position > $1
ORDER BY position
LIMIT $2;

-- name: announce
-- Wake the leader, whose own connection listens; it would look by itself a little later
SELECT pg_notify('migration_ledger_log', '');

-- name: head
-- Where the log ends, whose it is, and who leads
SELECT position, ledger_id, schema_version, term, leader, leader_host, leader_since
FROM ledger.head;

-- name: chain_end
-- What the head says and what the log holds, in one snapshot, before a verification
SELECT head.ledger_id, head.position, (SELECT max(position) FROM ledger.log) AS last
FROM ledger.head;

-- name: chain_rows
-- What the hashes cover and the hashes themselves, for a range of positions
SELECT position, stream, stream_version, uuid_send(event_id), type, schema_version,
    (extract(epoch FROM recorded_at) * 1000000)::bigint, recorded_by, metadata, body, leaf, chain
FROM ledger.log
WHERE position > $1 AND position <= $2
ORDER BY position;

-- name: usable
-- Whether this is a primary that holds a ledger
SELECT pg_is_in_recovery() AS standby, to_regclass('ledger.head') IS NOT NULL AS installed;

-- name: put_content
-- Texts by their hash; known ones are left alone
INSERT INTO ledger.content (sha256, body)
SELECT DISTINCT sha256(body), body FROM unnest($1::bytea[]) AS body
ON CONFLICT ON CONSTRAINT content_pkey DO NOTHING;

-- name: get_content
-- One text
SELECT body FROM ledger.content WHERE sha256 = $1;

-- name: try_leadership_lock
-- Held by this session until it ends; and what time it is here
SELECT ledger.try_leadership() AS locked, clock_timestamp() AS clock;

-- name: prove_leadership
-- The leader's sign of life, on the connection that holds its lock, under the name that
-- no agent has, and what it says of the broker stays
INSERT INTO ledger.heartbeat (agent, pool, seen_at, body)
VALUES ('', '', clock_timestamp(), '{"broker": true}')
ON CONFLICT ON CONSTRAINT heartbeat_pkey DO UPDATE SET seen_at = excluded.seen_at
RETURNING seen_at;

-- name: leader_session
-- The session that holds the leader's lock
SELECT leader.pid, activity.usename
FROM (SELECT ledger.leader_pid() AS pid) AS leader
LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE leader.pid IS NOT NULL;

-- name: release_leadership_lock
-- A clean end, seen at once by whoever wants to lead next
SELECT pg_advisory_unlock_all();

-- name: current_leader
-- Whoever holds the leader's lock now, when it was last heard of, and for how many
-- seconds it is silent and has led
SELECT leader, leader_host, leader_since, greatest(leader_since, beat.seen_at) AS heard_at,
    extract(epoch FROM clock_timestamp() - greatest(leader_since, beat.seen_at))::double precision
        AS silent_s,
    extract(epoch FROM clock_timestamp() - leader_since)::double precision AS led_s
FROM ledger.head LEFT JOIN ledger.heartbeat AS beat ON beat.agent = ''
WHERE leader IS NOT NULL AND ledger.leader_pid() IS NOT NULL;

-- name: begin_term
-- The next leadership term, for the session that holds the lock
SELECT ledger.begin_term($1, $2);

-- name: move_position
-- How far a follower has come, without an append
SELECT ledger.move_position($1, $2, $3);

-- name: positions
-- How far the followers whose names begin so have come
SELECT consumer, position FROM ledger.consumer_position WHERE starts_with(consumer, $1);

-- name: may_request
-- Whether this login may have an event of this type recorded; the schema's owner may everything
SELECT EXISTS (
    SELECT FROM ledger.event_type_permission AS one
    WHERE one.type = $1 AND pg_has_role(session_user, one.role, 'MEMBER'))
    OR EXISTS (
        SELECT FROM pg_catalog.pg_namespace AS ours
        WHERE ours.nspname = 'ledger' AND pg_get_userbyid(ours.nspowner) = session_user);

-- name: put_heartbeats
-- What agents say of themselves now
INSERT INTO ledger.heartbeat (agent, pool, seen_at, body)
SELECT agent, pool, clock_timestamp(), body
FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS beat (agent, pool, body)
ON CONFLICT ON CONSTRAINT heartbeat_pkey DO UPDATE
SET pool = excluded.pool, seen_at = excluded.seen_at, body = excluded.body;

-- name: trim_heartbeats
-- Only so many agents are kept, those heard last; the leader has no name
DELETE FROM ledger.heartbeat WHERE agent IN (
    SELECT agent FROM ledger.heartbeat WHERE agent <> '' ORDER BY seen_at DESC OFFSET $1);

-- name: recent_heartbeats
-- The agents heard of within so many seconds; when and how long ago, by one clock
SELECT agent, pool, body, seen_at,
    extract(epoch FROM clock_timestamp() - seen_at)::double precision AS age_s
FROM ledger.heartbeat
WHERE seen_at > clock_timestamp() - make_interval(secs => $1)
ORDER BY agent;

-- name: put_looks
-- What agents found when they looked, and where the log was when they had
INSERT INTO ledger.look
    (stream, database, attempt, is_read, schema_version, body, snapshot, position)
SELECT stream, database, attempt, is_read, schema_version, body, snapshot,
    (SELECT position FROM ledger.head)
FROM unnest(
        $1::text[], $2::text[], $3::integer[], $4::boolean[], $5::integer[], $6::bytea[], $7::text[])
    AS look (stream, database, attempt, is_read, schema_version, body, snapshot)
ON CONFLICT ON CONSTRAINT look_pkey DO UPDATE
SET attempt = excluded.attempt, is_read = excluded.is_read, position = excluded.position,
    answered_at = excluded.answered_at, schema_version = excluded.schema_version,
    body = excluded.body, snapshot = excluded.snapshot;

-- name: looks_of
-- What was found by the looks of a check (its stream, $1): of the next $3 databases behind the id $2
SELECT stream, database, attempt, is_read, schema_version, body, position, answered_at
FROM ledger.look WHERE stream = $1 AND database > $2 ORDER BY database LIMIT $3;

-- name: number_of_looks
-- How many databases have answered a check (its stream)
SELECT count(*) FROM ledger.look WHERE stream = $1;

-- name: snapshots_of
-- The schemas that these databases ($2) sent to a check (its stream, $1), and that are kept still
SELECT database, snapshot FROM ledger.look
WHERE stream = $1 AND database = ANY ($2) AND snapshot <> '';

-- name: latest_looks
-- What the latest look found at each of these databases
SELECT DISTINCT ON (database) stream, database, attempt, is_read, schema_version, body, position,
    answered_at
FROM ledger.look WHERE database = ANY ($1) ORDER BY database, answered_at DESC;

-- name: read_at
-- When each of these databases was last read by a look
SELECT database, max(answered_at) AS read_at
FROM ledger.look WHERE database = ANY ($1) AND is_read GROUP BY database;

-- name: trim_snapshots
-- Schemas that nobody compares any more; what else the answer says stays
UPDATE ledger.look SET snapshot = ''
WHERE snapshot <> '' AND answered_at < clock_timestamp() - make_interval(secs => $1);

-- name: trim_looks
-- Answers that nobody waits for any more, where a later one is kept
DELETE FROM ledger.look AS old
WHERE old.answered_at < clock_timestamp() - make_interval(secs => $1)
  AND EXISTS (
      SELECT FROM ledger.requested_check AS asked
      WHERE asked.stream = old.stream AND asked.finished_position IS NOT NULL)
  AND EXISTS (
      SELECT FROM ledger.look AS newer
      WHERE newer.database = old.database AND newer.answered_at > old.answered_at);
