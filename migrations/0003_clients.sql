-- What a key may do, and what became of resends.
-- How each table is written, and by whom: migrations/README.md.

-- Fair use: absent means the setting of the process, 0 means no limit.
ALTER TABLE api_keys
    ADD COLUMN events_per_second bigint CHECK (events_per_second >= 0),
    ADD COLUMN bytes_per_second  bigint CHECK (bytes_per_second >= 0),
    ADD COLUMN burst_seconds     integer CHECK (burst_seconds > 0),
    ADD COLUMN identity_secret   text CHECK (identity_secret <> '');        -- set: reads for a user need its HMAC

-- Copies of stored events that were dropped, for receipts: one row per event that came again.
CREATE TABLE duplicates (
    event_id         uuid PRIMARY KEY,
    copies           bigint NOT NULL,
    last_received_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX duplicates_last_received_at ON duplicates (last_received_at);     -- retention
