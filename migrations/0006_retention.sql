-- What is kept, and for how long.
-- How each table is written, and by whom: migrations/README.md.

-- Days whose events stay although they are older than the retention: an old store's history, an archive that was brought back.
-- While a day is held, its partition is left alone and events of it are filed under it.
CREATE TABLE holds (
    day     date PRIMARY KEY,
    until   date NOT NULL,                                  -- the last day on which it is held
    reason  text NOT NULL
);
