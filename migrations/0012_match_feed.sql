-- Matches for apps: where a match lies, and what became of it on its way to the user's devices.
-- How each table is written, and by whom: migrations/README.md.

-- The place of the event in the stream orders the matches of one user, and is the same after a restore that reads the stream again
-- (`position` is not). Matches of releases before have none, and are not fetched. Those of a user are
-- found by `matches_user`.
ALTER TABLE matches
    ADD COLUMN stream_generation bigint,                    -- what the sequence counts in: shared/src/domain/place.rs
    ADD COLUMN stream_seq        bigint,                    -- the message
    ADD COLUMN stream_index      integer;                   -- the line in the segment of its partition

-- A match that a device has fetched, or that was shown. An acknowledgment may come before the worker has committed the match, as the
-- reply to the event has shown the campaign already.
CREATE TABLE deliveries (
    user_id       text NOT NULL,                            -- who fetched or acknowledged it; counts only if it is their match
    user_kind     text NOT NULL CHECK (user_kind IN ('user', 'anonymous')),
    event_id      uuid NOT NULL,
    campaign_id   text NOT NULL,
    device_id     text,                                     -- the latest that fetched it
    claimed_until timestamptz,                              -- until then no other device gets it
    acked_at      timestamptz,                              -- then no device gets it any more
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, event_id, campaign_id, user_kind)
) WITH (fillfactor = 80);
CREATE INDEX deliveries_updated_at ON deliveries USING brin (updated_at) WITH (autosummarize = on);     -- retention
