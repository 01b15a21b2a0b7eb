-- The event pipeline. Each index names the query that needs it; one that no query names does not exist: index and WAL work is
-- three quarters of what an event costs.

-- Campaigns: the document is the client's object, verbatim; columns are what the programs sort, filter or index by.
CREATE TABLE campaigns (
    id          text PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,        -- list order: newest created first
    version     bigint NOT NULL DEFAULT 1,                  -- grows with each change; recorded with every match
    status      text,                                       -- absent means never active, as on the old server
    document    jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);

-- One row that changes whenever anything compiled from the database changes; every process polls it twice a second.
CREATE TABLE catalog (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version     bigint NOT NULL DEFAULT 0
);
INSERT INTO catalog DEFAULT VALUES;

CREATE FUNCTION catalog_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE catalog SET version = version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER campaigns_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON campaigns
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_changed();

-- Keys: only the SHA-256 of a key is kept.
CREATE TABLE api_keys (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CHECK (name <> ''),           -- becomes the source of its events
    role        text NOT NULL CHECK (role IN ('client', 'admin')),
    hash        bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);

-- Profiles. Changed only by the worker that owns the user's partition, as a merge per top-level key.
CREATE TABLE users (
    kind        text NOT NULL CHECK (kind IN ('user', 'anonymous')),
    id          text NOT NULL,
    traits      jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 80);

-- Which anonymous ids turned out to be which user. Traits never move; reads follow the links.
CREATE TABLE identity_links (
    user_id      text NOT NULL,
    anonymous_id text NOT NULL,
    linked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, anonymous_id)
);

-- Every event is a row. Partitioned by the day it is filed under; no foreign key to users, because a track may come first.
CREATE TABLE events (
    day                date NOT NULL,
    id                 uuid NOT NULL,
    type               text NOT NULL,
    user_id            text,
    anonymous_id       text,
    event              text,
    message_id         text,
    event_id           text,
    group_id           text,
    previous_id        text,
    "timestamp"        timestamptz NOT NULL,
    original_timestamp text,
    sent_at            timestamptz,
    received_at        timestamptz NOT NULL,
    source             text NOT NULL,
    flags              smallint NOT NULL DEFAULT 0,
    properties         jsonb,
    traits             jsonb,
    context            jsonb,
    extra              jsonb,
    PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);
-- "newest first" of GET /v1/admin/events, with or without an event name: read from its end, nearly append-only to write.
CREATE INDEX events_timestamp ON events ("timestamp");
-- The same of one user (and, through identity_links, of the anonymous visitor they were).
CREATE INDEX events_user ON events ((coalesce(user_id, anonymous_id)), "timestamp");

-- Ids of events whose day may come out differently on a resend; one row is one event that was seen.
CREATE TABLE late_ids (
    id           uuid PRIMARY KEY,
    received_day date NOT NULL
);
CREATE INDEX late_ids_received_day ON late_ids (received_day);     -- retention

-- What the worker decided: this event matched this campaign, in that version. Written with the event, once.
CREATE TABLE matches (
    event_id         uuid NOT NULL,
    campaign_id      text NOT NULL,
    campaign_version bigint NOT NULL,
    day              date NOT NULL,                         -- of the event, to find its row
    user_kind        text,
    user_id          text,
    matched_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, campaign_id)
);

-- Ownership and position. The row is locked and advanced in the transaction that holds the effects.
CREATE TABLE partitions (
    partition     integer PRIMARY KEY,
    lane          integer NOT NULL,
    owner         uuid,
    lease_until   timestamptz NOT NULL DEFAULT '-infinity',
    last_seq      bigint NOT NULL DEFAULT 0,
    last_batch_id text,
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Live owners, one lane each; one process may have several.
CREATE TABLE workers (
    id         uuid PRIMARY KEY,
    lane       integer NOT NULL,
    name       text NOT NULL,
    version    text NOT NULL,
    locked     boolean NOT NULL,                            -- holds its session lock: who can take that lock knows it is dead
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The streams that the positions belong to.
CREATE TABLE lanes (
    lane       integer PRIMARY KEY,
    stream     text NOT NULL,
    generation text NOT NULL,                               -- stream identity: our id in its metadata and its creation time
    trimmed_to bigint NOT NULL DEFAULT 0
);

-- The books: every event read ended in one of four outcomes. The hour is that of the stream message.
CREATE TABLE ledger (
    partition  integer NOT NULL,
    hour       timestamptz NOT NULL,
    read       bigint NOT NULL,
    stored     bigint NOT NULL,
    duplicate  bigint NOT NULL,
    dead       bigint NOT NULL,
    suppressed bigint NOT NULL,
    PRIMARY KEY (partition, hour),
    CHECK (read = stored + duplicate + dead + suppressed)
) WITH (fillfactor = 50);

-- Events that could not be stored, with the reason. The payload is kept as bytes: what is wrong may be its encoding.
CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid,
    lane        integer NOT NULL,
    stream_seq  bigint NOT NULL,
    partition   integer NOT NULL,
    position    integer NOT NULL,                           -- line within the partition's segment of the message
    events      integer NOT NULL DEFAULT 1,
    sqlstate    text,
    reason      text NOT NULL,
    payload     bytea NOT NULL,
    received_at timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    redriven_at timestamptz,
    UNIQUE (lane, stream_seq, partition, position)          -- a replay never doubles one
);
