-- What is kept, and for how long.
-- How each table is written, and by whom: migrations/README.md.

-- Days whose events stay although they are older than the retention: an old store's history, an archive that was brought back.
-- While a day is held, its partition is left alone and events of it are filed under it.
CREATE TABLE holds (
    day     date PRIMARY KEY,
    until   date NOT NULL,                                  -- the last day on which it is held
    reason  text NOT NULL
);

-- What the retention job knows beside the partitions themselves.
CREATE TABLE retention (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    kept_from     date,                                     -- earlier days were dropped to save room: nothing is filed under them any more
    believed_day  date,                                     -- the date of its last look, to notice a clock that jumps
    doubted_since timestamptz,                              -- it noticed one then
    swept_on      date                                      -- when rows of other tables last went
);
INSERT INTO retention DEFAULT VALUES;

-- Daily sums that outlive the rows they were made of. Whoever reads them adds up all partitions.
CREATE TABLE rollups (
    day       date NOT NULL,                                -- that the event is filed under
    what      text NOT NULL,                                -- what is counted: shared/src/domain/rollup.rs
    metric    text NOT NULL,                                -- of which type, name or campaign
    partition integer NOT NULL,                             -- of the worker that counted, its only writer; -1: of several, summed up
    count     bigint NOT NULL,
    PRIMARY KEY (day, what, metric, partition)
) WITH (fillfactor = 50);

-- Letters that were closed long ago go; the ledger remembers how many of its dead events they held.
ALTER TABLE ledger ADD COLUMN letters_dropped bigint NOT NULL DEFAULT 0;

-- The rows of a time, for the retention. Rows come in order of time, so a summary of each block range is all it takes.
-- allowed: index-on-large-table: such a summary is made by one look through the table, a second for some millions of rows.
CREATE INDEX matches_received_at ON matches USING brin ((coalesce(received_at, matched_at))) WITH (autosummarize = on);
-- allowed: index-on-large-table: the same, of a smaller table.
CREATE INDEX conversions_converted_at ON conversions USING brin (converted_at) WITH (autosummarize = on);
