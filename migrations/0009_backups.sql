-- Backups that exist, so that programs know how old the newest is, and whether one is left that holds what was erased since.
-- How each table is written, and by whom: migrations/README.md.

-- Written by deploy/backup. Ids are random: after a restore none is given out twice.
CREATE TABLE backups (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind           text NOT NULL CHECK (kind IN ('dump', 'base')),
    taken_at       timestamptz NOT NULL DEFAULT clock_timestamp(),  -- before it began: it holds what was committed until then, and maybe more
    finished_at    timestamptz,                             -- absent: under way, or given up (then removed_at says so)
    location       text NOT NULL,                           -- HOST:FOLDER
    bytes          bigint,
    checksum       text,                                    -- SHA-256 of its manifest, in hex
    schema_version bigint,                                  -- of the newest migration
    positions      jsonb,                                   -- {"0": 4711}: per lane the lowest message from which a restore reads on
    removed_at     timestamptz                              -- its files are gone
);
