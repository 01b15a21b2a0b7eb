-- Database roles with as little as each program needs. Run by deploy/roles, which sets the variables prefix, and NAME_password for
-- each role whose password it sets. All of it is one transaction, and running it again ends in the same state: what a role may do
-- with tables is revoked and granted anew, so this file is the whole truth about it.
\set ingest :prefix _ingest
\set worker :prefix _worker
\set read :prefix _read
\set events_owner :prefix _events

BEGIN;
SET LOCAL client_min_messages = warning;
-- Changing an owner waits for the flushes under way, and others wait behind it.
SET LOCAL lock_timeout = '10s';
-- Passwords do not belong into the server's log. (Only a superuser may say so.)
SELECT set_config('log_statement', 'none', true) FROM pg_roles WHERE rolname = current_user AND rolsuper \g /dev/null

DO $$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NULL THEN
        RAISE 'this database has no schema yet: run `worker migrate` first';
    END IF;
END $$;

-- The roles. Nobody logs in as the owner of events.
SELECT format('CREATE ROLE %I %s', name, kind)
  FROM (VALUES (:'ingest', 'LOGIN'), (:'worker', 'LOGIN'), (:'read', 'LOGIN CONNECTION LIMIT 20'), (:'events_owner', 'NOLOGIN')) AS r (name, kind)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT set_config('ec.roles', concat_ws(',', :'ingest', :'worker', :'read', :'events_owner'), true) \g /dev/null
DO $$
DECLARE mighty text := (SELECT string_agg(rolname, ', ') FROM pg_roles
    WHERE rolname = ANY (string_to_array(current_setting('ec.roles'), ','))
      AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls));
BEGIN
    IF mighty IS NOT NULL THEN
        RAISE 'these roles were there before and may more than our programs need: %. Choose another --prefix, or take it from them', mighty;
    END IF;
END $$;
\if :{?ingest_password}
    ALTER ROLE :"ingest" PASSWORD :'ingest_password';
\endif
\if :{?worker_password}
    ALTER ROLE :"worker" PASSWORD :'worker_password';
\endif
\if :{?read_password}
    ALTER ROLE :"read" PASSWORD :'read_password';
\endif

-- The worker makes and drops daily partitions, which only an owner may. It becomes that owner for these statements alone (NOINHERIT:
-- being a member gives nothing by itself), so its other statements can insert and read events but not change or delete one.
-- Functions with the owner's rights would be narrower, but DETACH CONCURRENTLY runs in no function.
ALTER ROLE :"worker" NOINHERIT;
GRANT :"events_owner" TO :"worker";
-- Who runs this goes on migrating `events`.
SELECT format('GRANT %I TO %I', :'events_owner', current_user) FROM pg_roles WHERE rolname = current_user AND NOT rolsuper \gexec

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"ingest", :"worker", :"read";
GRANT USAGE ON SCHEMA public TO :"ingest", :"worker", :"read";
GRANT USAGE, CREATE ON SCHEMA public TO :"events_owner";

SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, :'events_owner') FROM pg_class c
 WHERE (c.oid = 'public.events'::regclass
        OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.events'::regclass)
        -- detached and not dropped yet
        OR c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^events_\d{8}$')
   AND c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = :'events_owner')
 ORDER BY c.oid \gexec

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"ingest", :"worker", :"read";
-- The owner of events, beside its own tables: what goes with the events it drops or erases.
REVOKE ALL ON _sqlx_migrations, active_users, campaigns, changes, conversions, dead_letters, duplicates, features, holds, identity_links,
    lanes, late_ids, ledger, matches, removals, retention, rollups, segments, users, webhook_deliveries, webhook_endpoints FROM :"events_owner";

-- ingest: what the admin API changes, with the tables that triggers change along (catalog, campaign_totals); the rest it only reads.
GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns, segments, features TO :"ingest";
GRANT SELECT, INSERT ON changes TO :"ingest";
GRANT SELECT, UPDATE ON catalog TO :"ingest";
GRANT SELECT, DELETE ON campaign_totals TO :"ingest";
GRANT SELECT, INSERT, UPDATE ON api_keys TO :"ingest";
GRANT SELECT ON _sqlx_migrations, active_users, backups, conversions, day_spans, dead_letters, duplicates, erasures, events, holds,
    identity_links, lanes, late_ids, matches, partitions, rollups, tombstones, users TO :"ingest";
-- How the pipeline is doing.
GRANT SELECT ON ledger, workers TO :"ingest";
-- Not what receipts are signed with.
GRANT SELECT (salt, public_key) ON erasure_secrets TO :"ingest";
-- A dead letter is marked, never rewritten. (The id of its event is filled in where it could not be read at first.)
GRANT UPDATE (event_id, redriven_at, redriven_by, redriven_seq, discarded_at, discarded_by, discard_reason) ON dead_letters
    TO :"ingest", :"worker";

-- Webhooks: a trigger on campaigns keeps the endpoints; people resume them and change secrets, send again, and try.
GRANT SELECT, UPDATE (secret, previous_secret, previous_until, failures, failing_since, not_before, paused_at) ON webhook_endpoints TO :"ingest";
GRANT SELECT, INSERT ON webhook_deliveries TO :"ingest";
GRANT UPDATE (state, attempts, next_attempt_at, claim, finished_at, resent_at, resent_by) ON webhook_deliveries TO :"ingest", :"worker";

-- worker: the effects of events, ownership and positions. Never a key, never a change of a campaign.
GRANT SELECT ON _sqlx_migrations, backups, campaigns, catalog, changes, features, layouts, segments TO :"worker";
GRANT SELECT, INSERT ON active_users, conversions, dead_letters, events, identity_links, matches, removals TO :"worker";
GRANT SELECT, INSERT, UPDATE ON erasures, tombstones TO :"worker";
GRANT SELECT, UPDATE ON erasure_secrets, retention TO :"worker";
GRANT SELECT, INSERT, UPDATE ON campaign_totals, day_spans, duplicates, lanes, ledger, partitions, rollups, users TO :"worker";
GRANT SELECT, INSERT ON late_ids TO :"worker";
GRANT SELECT, UPDATE (failures, failing_since, last_error, last_failed_at, not_before, paused_at) ON webhook_endpoints TO :"worker";
GRANT SELECT, INSERT, UPDATE (last_attempt_at, last_status, last_error) ON webhook_deliveries TO :"worker";
GRANT SELECT, INSERT, UPDATE, DELETE ON holds, workers TO :"worker";
-- Who drops a partition or erases rows notes it, in the same transaction.
GRANT INSERT, SELECT (events) ON removals TO :"events_owner";
-- Rows of other tables that have expired, or are erased with a person.
GRANT SELECT, DELETE ON active_users, changes, duplicates, identity_links, late_ids, users, webhook_deliveries, webhook_endpoints TO :"events_owner";
GRANT SELECT, UPDATE, DELETE ON conversions, dead_letters, matches TO :"events_owner";
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger, rollups TO :"events_owner";
GRANT SELECT, UPDATE ON retention TO :"events_owner";
GRANT SELECT ON _sqlx_migrations, campaigns, features, holds, lanes, segments TO :"events_owner";

-- read: for people and dashboards. Everything but what opens doors: of api_keys neither hashes nor secrets.
GRANT SELECT ON _sqlx_migrations, active_users, backups, campaign_totals, campaigns, catalog, changes, conversions, day_spans,
    dead_letters, duplicates, erasures, events, features, holds, identity_links, lanes, late_ids, layouts, ledger, matches, partitions, removals,
    retention, rollups, segments, tombstones, users, webhook_deliveries, workers TO :"read";
GRANT SELECT (id, name, role, created_at, revoked_at, events_per_second, bytes_per_second, burst_seconds) ON api_keys TO :"read";
GRANT SELECT (campaign_id, webhook, previous_until, failures, failing_since, last_error, last_failed_at, not_before, paused_at, changed_at)
    ON webhook_endpoints TO :"read";
-- A question that takes for ever would hold back the removal of old partitions.
ALTER ROLE :"read" SET default_transaction_read_only = on;
ALTER ROLE :"read" SET statement_timeout = '5min';
ALTER ROLE :"read" SET idle_in_transaction_session_timeout = '1min';
COMMIT;
