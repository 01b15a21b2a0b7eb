-- What the audit of the books needs: what was read again on purpose, where in the stream an hour begins, and which rows are gone on
-- purpose. In the order in which a flush locks: partitions first.

ALTER TABLE partitions ADD COLUMN counted_from bigint NOT NULL DEFAULT 0;      -- messages up to here count in no `read - settled`
ALTER TABLE ledger
    ADD COLUMN settled   bigint NOT NULL DEFAULT 0,         -- of `read`: before positions were last restarted, so maybe read again
    ADD COLUMN first_seq bigint NOT NULL DEFAULT 0;         -- no message before this one counts in `read - settled`; 0 unknown

-- What the continuous audit has compared so far.
ALTER TABLE lanes
    ADD COLUMN audited_to     bigint NOT NULL DEFAULT 0,    -- messages from `counted_from` to here …
    ADD COLUMN audited_events bigint NOT NULL DEFAULT 0,    -- … hold so many events
    ADD COLUMN imbalance      bigint NOT NULL DEFAULT 0,    -- events by which the last look did not balance
    ADD COLUMN suspect_seq    bigint;                       -- a message with an event that has no outcome: looked at again each time

-- Rows that left `events` on purpose. Sum of `stored` in the ledger = rows + these.
CREATE TABLE removals (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    removed_at timestamptz NOT NULL DEFAULT now(),
    day        date,                                        -- the day they were filed under, if it was one
    events     bigint NOT NULL,
    reason     text NOT NULL                                -- 'retention', or a person's words
);

-- What is there already is taken as settled: releases before this one did not note what they read again.
UPDATE partitions SET counted_from = last_seq;
UPDATE ledger l SET settled = l.read, first_seq = p.counted_from + 1 FROM partitions p WHERE p.partition = l.partition;
UPDATE lanes l SET audited_to = coalesce((SELECT min(counted_from) FROM partitions p WHERE p.lane = l.lane), 0);
-- They counted a letter that a replay brought again once more; it is a duplicate.
UPDATE ledger l SET dead = dead - again, duplicate = duplicate + again
  FROM (SELECT partition, hour, dead - coalesce(letters, 0) AS again
          FROM ledger LEFT JOIN (SELECT partition, date_trunc('hour', received_at, 'UTC') AS hour, sum(events) AS letters
                                   FROM dead_letters GROUP BY 1, 2) d USING (partition, hour)) a
 WHERE (l.partition, l.hour) = (a.partition, a.hour) AND again > 0;
-- And what they dropped was not counted. Nothing was dropped in the first days.
INSERT INTO removals (events, reason)
SELECT missing, 'expired before removals were counted'
  FROM (SELECT coalesce(sum(stored), 0) - (SELECT count(*) FROM events) AS missing FROM ledger HAVING min(hour) < now() - interval '3 days') m
 WHERE missing > 0;
