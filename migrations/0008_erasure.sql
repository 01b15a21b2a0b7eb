-- Erasure of a person's data on request, and what keeps it away afterwards.
-- How each table is written, and by whom: migrations/README.md.

-- What ids are hashed with, so that a list of known ids does not read the tombstones by itself; and what receipts are signed with.
CREATE TABLE erasure_secrets (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    salt        bytea NOT NULL CHECK (length(salt) = 32),
    signing_key bytea CHECK (length(signing_key) = 32),     -- Ed25519 seed, made at the first erasure unless a setting holds one
    public_key  bytea CHECK (length(public_key) = 32)
);
INSERT INTO erasure_secrets (salt)
SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- Whose events are dropped: one row per erased user or visitor, by the keyed hash of kind and id.
CREATE TABLE tombstones (
    key_hash         bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    erasure_id       uuid NOT NULL,                         -- the latest
    erased_at        timestamptz NOT NULL,                  -- when that was asked for
    renewed_at       timestamptz,                           -- what happened later is stored again; absent: nothing is
    suppressed       bigint NOT NULL DEFAULT 0,             -- events that were dropped, replays included
    last_received_at timestamptz                            -- the latest of these
) WITH (fillfactor = 80);
CREATE INDEX tombstones_erasure ON tombstones (erasure_id);         -- consent renewed: all keys that were erased together

-- Requests, in the order in which they took effect; an erasure's receipt.
CREATE TABLE erasures (
    id              uuid PRIMARY KEY,                       -- of the request: a replay does nothing
    position        bigint GENERATED ALWAYS AS IDENTITY,
    action          text NOT NULL CHECK (action IN ('erase', 'renew')),
    mode            text CHECK (mode IN ('delete', 'anonymise')),
    kind            text NOT NULL CHECK (kind IN ('user', 'anonymous')),
    key_hash        bytea NOT NULL CHECK (length(key_hash) = 32),
    linked_keys     integer NOT NULL DEFAULT 0,             -- tombstones beside the one of the key itself
    keep_properties text[] NOT NULL DEFAULT '{}',
    requested_at    timestamptz NOT NULL,
    requested_by    text NOT NULL,
    reason          text,
    state           text NOT NULL CHECK (state IN ('sweeping', 'provisional', 'final', 'renewed')),
    erased_at       timestamptz NOT NULL DEFAULT now(),     -- when it took effect: nothing was stored any more
    swept_at        timestamptz,
    final_at        timestamptz,
    task            jsonb,                                  -- ids in clear: only until the sweep is done
    positions       jsonb NOT NULL DEFAULT '[]',            -- [{lane, stream, generation, sequence}]: up to there the streams hold it
    counts          jsonb NOT NULL DEFAULT '{}',            -- rows by table
    mentions        jsonb NOT NULL DEFAULT '[]',            -- [{table, id}]: documents that name an id
    receipt         text                                    -- JWS, compact
);
CREATE INDEX erasures_open ON erasures (position) WHERE state IN ('sweeping', 'provisional');
CREATE UNIQUE INDEX erasures_position ON erasures (position);       -- lists

-- A letter whose content was erased: it still stands for an event in the books.
ALTER TABLE dead_letters ADD COLUMN erased_at timestamptz;

-- The id of an event that was anonymised: its hour stays, what could be recomputed from the user's id does not.
CREATE FUNCTION anonymised_id(id uuid, secret bytea) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(set_byte(set_byte(bits, 6, (get_byte(bits, 6) & 15) | 128), 8, (get_byte(bits, 8) & 63) | 128), 'hex')::uuid
      FROM (SELECT substring(uuid_send(id) FOR 6) || substring(sha256(secret || uuid_send(id)) FOR 10) AS bits) AS b
$$;
