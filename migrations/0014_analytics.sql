-- What dashboards show, from sums that are kept with the events. How each table is written, and by whom: migrations/README.md.

-- Who sent anything on a day, so that each counts once in that day's sum. A hash of the user key, for room: the row is read by
-- whoever has the key, and by nobody else.
CREATE TABLE active_users (
    day       date NOT NULL,                                -- that the events are filed under
    user_hash uuid NOT NULL,                                -- shared/src/domain/user_key.rs: fingerprint
    PRIMARY KEY (day, user_hash)
);

-- The sums of one campaign, and all there are of a kind, over all days. The count is no part of it, so that counting does not touch it.
-- allowed: index-on-large-table: some thousand rows a day at most, and one look through them.
CREATE INDEX rollups_what ON rollups (what, metric, day);
